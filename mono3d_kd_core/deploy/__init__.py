"""Trained models on disk and the detector that runs them."""
