"""What the LiDAR measures."""
