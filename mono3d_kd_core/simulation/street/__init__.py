"""The street and what stands beside it."""
