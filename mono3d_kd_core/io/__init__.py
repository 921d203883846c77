"""Drives in and out: KITTI folders, bags, rig files, synchronisation."""
