"""Students learn from their like that sees depth (MonoSTL, MonoDistill, ADD)."""
