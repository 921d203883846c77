"""Point-GNN: cars from LiDAR points by a graph neural network (Shi & Rajkumar, CVPR 2020), with its published weights."""

from mono3d_kd_core.teachers.point_gnn.teacher import PointGNN, PointGNNConfig

__all__ = ["PointGNN", "PointGNNConfig"]
