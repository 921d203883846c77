"""A simulated drive as an MCAP bag, with the ground truth beside the sensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY
from mono3d_kd_core.io.bag_writer import RAW_TOPICS, BagWriter
from mono3d_kd_core.io.messages import detections_message, points_message
from mono3d_kd_core.simulation.output.record import Recording, run
from mono3d_kd_core.simulation.renderer import Shot

TRUTH_TOPIC = "/ground_truth/objects"
WORLD, BASE = "world", "base"


def write_bag(
    recording: Recording, path: Path, workers: int = 1, done: Callable[[int], None] = lambda _n: None
) -> None:
    """Write a drive: image, camera_info, points at the LiDAR's own stamps, /tf, /tf_static, and the objects' true boxes.

    The frames' tree is world -> base (/tf, the car) -> LiDAR -> camera (/tf_static). Each detection's id is the object's
    identity. Raises DataError when the bag exists or cannot be written.
    """
    sensors = recording.rig.sensors()
    points_topic = RAW_TOPICS.points
    assert points_topic is not None
    with BagWriter(path) as bag:
        for number, shot in enumerate(run(recording, range(recording.frames), workers, _shot)):
            frame = shot.frame
            if number == 0:
                bag.write_transform(BASE, sensors.rig.lidar_frame, sensors.T_base_lidar, frame.stamp, static=True)
            bag.write_transform(WORLD, BASE, shot.T_world_base, frame.stamp)
            bag.write_frame(frame.without_points(), jpeg=recording.jpeg)
            if frame.points is not None:
                cloud = points_message(frame.points, shot.lidar_stamp, frame.rig.lidar_frame)
                bag.write(points_topic, cloud, shot.lidar_stamp)
            kept = np.flatnonzero(shot.truth.cared_for)
            objects = detections_message(shot.truth.boxes[kept], frame.stamp, frame.rig.camera_frame, T_CAMERA_BODY)
            for detection, identity in zip(objects.detections, shot.truth.identity[kept]):
                detection.id = str(identity)
            bag.write(TRUTH_TOPIC, objects, frame.stamp)
            done(1)


def _shot(_recording: Recording, shot: Shot) -> Shot:
    return shot
