"""A simulated street with exact labels."""
