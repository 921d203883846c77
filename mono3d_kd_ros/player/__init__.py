"""Parts of the bag player."""
