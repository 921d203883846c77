"""A bird's-eye student learns from a LiDAR detector, in stages (CMKD)."""
