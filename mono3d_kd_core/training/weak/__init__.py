"""A keypoint student learns from 2D boxes and depth (SKD-WM3D)."""
