"""One moment of a world, seen by all sensors of a rig."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, inverse
from mono3d_kd_core.simulation.labels import Truth, silhouette, upright_boxes
from mono3d_kd_core.simulation.lidar import scanner
from mono3d_kd_core.simulation.rendering import raster
from mono3d_kd_core.simulation.rendering.blur import smear, twist
from mono3d_kd_core.simulation.rendering.shading import shade
from mono3d_kd_core.simulation.rendering.shadow import HeightMap
from mono3d_kd_core.simulation.rig import Sensors
from mono3d_kd_core.simulation.scene import Scene
from mono3d_kd_core.simulation.sensor import develop
from mono3d_kd_core.simulation.world import World


@dataclass(frozen=True)
class Shot:
    """A frame and the whole truth about it.

    depth (H,W) float32 metres along z, 0 for the sky; instance (H,W) int32 is 1 + the row of `truth`, 0 elsewhere;
    seconds (N,) and owner (N,) belong to the frame's points: time from the stamp, and the row of `truth` or -1.
    lidar_stamp is the LiDAR's own, ns; T_world_base (4,4) is where the car was at the image's.
    """

    frame: SensorFrame
    truth: Truth
    depth: NDArray[np.float32]
    instance: NDArray[np.int32]
    seconds: NDArray[np.float32]
    owner: NDArray[np.int32]
    lidar_stamp: int
    T_world_base: Matrix


class Renderer:
    """Draws worlds for one set of sensors; block x block rays a pixel."""

    def __init__(self, sensors: Sensors, block: int = 1) -> None:
        self.sensors = sensors
        self._block = block
        camera = sensors.rig.camera
        self._lens = raster.Lens(camera.resized(camera.width * block, camera.height * block))

    def shoot(self, world: World, t: float, id_: str, stamp: int, rng: np.random.Generator) -> Shot:
        """Return what the sensors record of a world at t seconds."""
        T_world_base = world.ego(t)
        scene = Scene.at(world, t, T_world_base)
        camera = self._photograph(scene, world, t, T_world_base, rng)
        T_body_world = inverse(self.sensors.T_base_camera @ T_CAMERA_BODY) @ inverse(T_world_base)
        sweep = self._sweep(world, t, scene, rng)
        owner = scene.owner[sweep.triangle] if sweep else np.empty(0, np.int32)
        truth, row_of = self._truth(scene, camera, owner, T_body_world)
        frame = SensorFrame(id_, stamp, camera.image, sweep.points if sweep else None, self.sensors.rig)
        b = self._block
        return Shot(
            frame, truth, np.where(np.isfinite(camera.depth), camera.depth, 0)[b // 2 :: b, b // 2 :: b],
            (row_of[scene.owner[camera.face]] + 1)[b // 2 :: b, b // 2 :: b] * (camera.face >= 0)[b // 2 :: b, b // 2 :: b],
            sweep.seconds if sweep else np.empty(0, np.float32), row_of[owner],
            stamp + round(self.sensors.lidar_offset * 1e9), T_world_base,
        )  # fmt: skip

    def _photograph(
        self, scene: Scene, world: World, t: float, T_world_base: Matrix, rng: np.random.Generator
    ) -> _Photograph:
        light = world.light
        T_camera_base = inverse(self.sensors.T_base_camera).astype(np.float32)
        mesh = scene.mesh
        corners = mesh.corners @ T_camera_base[:3, :3].T + T_camera_base[:3, 3]
        depth, face = self._lens.draw(corners)
        local = replace(light, sun=T_world_base[:3, :3].T @ light.sun)
        sun = HeightMap.draw(mesh.corners, local.sun, (-12.0, 78.0), (-34.0, 34.0), 0.07)
        sky = HeightMap.draw(mesh.corners, np.array([0.0, 0.0, 1.0]), (-5.0, 75.0), (-32.0, 32.0), 0.125)
        radiance = shade(
            mesh, corners, self._lens.slopes, depth, face, self.sensors.T_base_camera, local, sun, sky, self._block
        )
        if self.sensors.exposure_seconds > 0:
            radiance = self._smeared(radiance, depth, np.where(face >= 0, scene.owner[face], -1), scene, world, t)
        image = develop(radiance, light.exposure, self.sensors.noise, self.sensors.jpeg_quality, rng)
        return _Photograph(image, depth, face, corners)

    def _smeared(
        self,
        radiance: NDArray[np.float32],
        depth: NDArray[np.float32],
        owner: NDArray[np.int32],
        scene: Scene,
        world: World,
        t: float,
    ) -> NDArray[np.float32]:
        """Let everything move on while the shutter is open."""
        b, step = self._block, 0.01
        before, after = (world.ego(s) @ self.sensors.T_base_camera for s in (t, t + step))
        T_camera_world = inverse(world.ego(t) @ self.sensors.T_base_camera)
        velocity = np.array([p.velocity for p in scene.placed]).reshape(-1, 3) @ T_camera_world[:3, :3].T
        pick = (slice(b // 2, None, b), slice(b // 2, None, b))
        return smear(
            radiance, depth[pick], self._lens.slopes[pick], owner[pick], velocity,
            twist(before, after, step), float(self.sensors.rig.camera.intrinsics[0, 0]), self.sensors.exposure_seconds,
        )  # fmt: skip

    def _sweep(self, world: World, t: float, scene: Scene, rng: np.random.Generator) -> scanner.Sweep | None:
        beams = self.sensors.beams
        if beams is None:
            return None
        T_lidar_base = inverse(self.sensors.T_base_lidar)
        start = t + self.sensors.lidar_offset
        seconds = (np.arange(beams.columns) + 0.5) / beams.columns * beams.turn - beams.turn / 2
        times = start + seconds if self.sensors.rolling else np.array([start])
        poses = scene.poses(world, t, times, T_lidar_base).astype(np.float32)
        distance, triangle = scanner.trace(scene.mesh.corners, scene.group, poses, beams)
        return scanner.returns(
            distance, triangle, scene.mesh, T_lidar_base, beams,
            seconds if self.sensors.rolling else np.zeros(beams.columns), rng,
        )  # fmt: skip

    def _truth(
        self, scene: Scene, camera: _Photograph, owner: NDArray[np.int32], T_body_world: Matrix
    ) -> tuple[Truth, NDArray[np.int32]]:
        """Return the truth, and for each object of the scene its row, -1 when it has none (and for index -1)."""
        model = self.sensors.rig.camera
        b = self._block
        count = len(scene.placed)
        visible = np.bincount(scene.owner[camera.face][camera.face >= 0] + 1, minlength=count + 1)[1:]
        points = np.bincount(owner + 1, minlength=count + 1)[1:]
        outlines = np.zeros((count, 4))
        windows = np.tile(np.array([1, 0, 1, 0], np.int32), (count, 1))
        for i, span in enumerate(scene.spans):
            outline = silhouette(camera.corners[span], model)
            if outline is None:
                continue
            outlines[i] = outline
            u0, v0, u1, v1 = ((np.asarray(outline) + 0.5) * b - 0.5).clip(-1e6, 1e6)
            windows[i] = (max(int(np.floor(u0)), 0), min(int(np.ceil(u1)), model.width * b - 1),
                          max(int(np.floor(v0)), 0), min(int(np.ceil(v1)), model.height * b - 1))  # fmt: skip
        movable = slice(scene.spans[0].start if scene.spans else 0, None)
        bounds = self._lens.bounds(camera.corners[movable])
        whole = raster.count_unoccluded(
            camera.corners[movable], bounds, self._lens.slopes, scene.owner[movable], windows
        )
        seen = np.flatnonzero(whole > 0)
        boxes = upright_boxes(
            [p.pose for p in scene.placed], [p.actor.size for p in scene.placed], [p.actor.kind for p in scene.placed],
            T_body_world,
        )  # fmt: skip
        rows = seen[np.argsort(boxes.centre[seen, 0], kind="stable")]
        limit = np.array([model.width - 1, model.height - 1] * 2)
        clipped = np.clip(outlines[rows], 0, limit)
        area, total = _area(clipped), np.maximum(_area(outlines[rows]), 1e-9)
        row_of = np.full(count + 1, -1, np.int32)
        row_of[rows] = np.arange(len(rows))
        velocity = np.array([p.velocity for p in scene.placed]).reshape(-1, 3)[rows] @ T_body_world[:3, :3].T
        truth = Truth(
            boxes[rows], np.array([p.identity for p in scene.placed], np.int64)[rows], velocity, clipped,
            np.clip(1 - area / total, 0, 1), visible[rows] / np.maximum(whole[rows], 1), visible[rows] // b**2, points[rows],
            float(model.intrinsics[1, 1]),
        )  # fmt: skip
        return truth, row_of


@dataclass(frozen=True)
class _Photograph:
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    face: NDArray[np.int32]
    corners: NDArray[np.float32]


def _area(boxes: Matrix) -> Matrix:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
