"""Pictures teach a LiDAR backbone, without labels (HVDistill)."""
