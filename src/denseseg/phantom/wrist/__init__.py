"""The wrist phantom."""
