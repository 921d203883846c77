"""Parts of the student's node."""
