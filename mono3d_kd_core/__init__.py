"""Camera-only 3D detection taught by LiDAR: everything that needs no ROS."""

__version__ = "0.1.0"
