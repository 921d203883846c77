"""Drives and frames on disk."""
