"""Parts of the trainer's node."""
