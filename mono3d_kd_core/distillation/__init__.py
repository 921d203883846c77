"""What a student is taught beside labels: one file for each method."""
