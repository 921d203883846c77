"""Who and what is on the road: shapes and looks."""
