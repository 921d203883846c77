"""LiDAR detectors that label what the camera student learns."""
