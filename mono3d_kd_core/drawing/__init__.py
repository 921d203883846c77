"""Pictures for people: boxes and points on the image, scenes from above, contact sheets and videos. Images are RGB uint8."""

from mono3d_kd_core.drawing.bev import BevView, draw_bev
from mono3d_kd_core.drawing.overlay import draw_boxes, draw_points
from mono3d_kd_core.drawing.palette import class_colour, depth_colours
from mono3d_kd_core.drawing.sheet import beside, contact_sheet
from mono3d_kd_core.drawing.video import VideoWriter

__all__ = [
    "BevView",
    "VideoWriter",
    "beside",
    "class_colour",
    "contact_sheet",
    "depth_colours",
    "draw_bev",
    "draw_boxes",
    "draw_points",
]
