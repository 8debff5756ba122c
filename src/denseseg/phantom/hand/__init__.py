"""The hand phantom: the wrist phantom's hand to its finger tips, with the 37 landmarks of the Digital Hand Atlas."""
