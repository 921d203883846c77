"""Thin ROS 2 nodes over mono3d_kd_core."""
