"""How good a detector is, and how sure that figure is."""
