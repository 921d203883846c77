"""Camera-only 3D detectors."""
