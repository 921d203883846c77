"""Parts of the teacher's node."""
