"""`python -m mono3d_kd_core.cli`."""

from mono3d_kd_core.cli import main

main()
