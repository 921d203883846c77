"""`python -m mono3d_kd_ros.demo` shows the main job; `python -m mono3d_kd_ros.demo.distill` the whole loop in small."""
