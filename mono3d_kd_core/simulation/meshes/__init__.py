"""Triangles with materials."""
