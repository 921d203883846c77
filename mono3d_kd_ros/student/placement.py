"""Where a student's detections belong: the frame they are published in, and the road under the camera, both by tf."""

from __future__ import annotations

from dataclasses import dataclass

from std_msgs.msg import Header

from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix
from mono3d_kd_core.geometry.tree import TransformError
from mono3d_kd_ros import messages
from mono3d_kd_ros.inputs.transform_input import TransformInput
from mono3d_kd_ros.node.frame_node import Refused
from mono3d_kd_ros.settings import StudentSettings


@dataclass(frozen=True)
class Placement:
    """Looks up transforms at an image's stamp; raises Refused where tf does not know them in time.

    `transforms` is None where the settings name no frame, so that none is needed.
    """

    settings: StudentSettings
    transforms: TransformInput | None

    def of_detections(self, source: Header, camera_frame: str) -> tuple[Header, Matrix]:
        """Return the header of an image's detections and the transform of the camera's body frame into its frame."""
        target = self.settings.target_frame
        if not target or target == camera_frame:
            return Header(stamp=source.stamp, frame_id=camera_frame), T_CAMERA_BODY
        T_target_camera = self._lookup(target, camera_frame, source)
        return Header(stamp=source.stamp, frame_id=target), T_target_camera @ T_CAMERA_BODY

    def over_ground(self, source: Header, camera_frame: str) -> Matrix | None:
        """Return T_camera_ground (4,4), None where no frame on the ground is named."""
        ground = self.settings.ground_frame
        return self._lookup(camera_frame, ground, source) if ground else None

    def _lookup(self, target: str, frame: str, source: Header) -> Matrix:
        assert self.transforms is not None
        stamp, timeout = messages.nanoseconds(source.stamp), self.settings.transform_timeout
        try:
            return self.transforms.lookup(target, frame, stamp, timeout)
        except TransformError as error:
            raise Refused("no_transform", str(error)) from error
