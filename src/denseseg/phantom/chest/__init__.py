"""The chest phantom."""
