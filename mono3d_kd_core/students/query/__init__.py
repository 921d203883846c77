"""The query student: a transformer that asks the image for objects, guided by a depth map (MonoDETR family)."""
