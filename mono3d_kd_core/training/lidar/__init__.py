"""LiDAR teachers learn labelled sweeps."""
