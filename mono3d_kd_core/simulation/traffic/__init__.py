"""Where everybody goes."""
