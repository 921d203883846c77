"""Ways to run a student's network: PyTorch, or ONNX Runtime on the exported file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from mono3d_kd_core.deploy.folding import fold_batch_norm
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.students.base import Student
from mono3d_kd_core.students.peaks import PeakStudent


class Backend(Protocol):
    """From one letterboxed image, its camera and perhaps where that is to boxes in the frame "camera"."""

    student: Student

    def __call__(self, image: NDArray[np.uint8], camera: CameraModel, pose: Matrix | None = None) -> Boxes3D: ...


class TorchBackend:
    """Runs the student in PyTorch, channels last, with batch normalisation folded into the convolutions."""

    def __init__(self, student: Student, device: str) -> None:
        fold_batch_norm(student)
        self.student = student.to(device)
        for parameter in self.student.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.device = device

    @torch.inference_mode()
    def __call__(self, image: NDArray[np.uint8], camera: CameraModel, pose: Matrix | None = None) -> Boxes3D:
        # The view of an (H,W,3) array as (1,3,H,W) is channels last already.
        images = torch.from_numpy(image).to(self.device)[None].permute(0, 3, 1, 2)
        output = self.student(images, [camera], () if pose is None else [pose])
        boxes: list[Boxes3D] = self.student.decode(output, [camera])
        return boxes[0]


class OnnxBackend:
    """Runs `model.onnx` of a bundle in ONNX Runtime on the CPU; only the placing of peaks into space is ours."""

    def __init__(self, file: Path, student: PeakStudent, bundle_hash: str, threads: int | None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelError('the onnx backend needs the package onnxruntime: pip install "onnxruntime>=1.18"') from error
        from mono3d_kd_core.deploy.export import BUNDLE_HASH

        if not file.is_file():
            raise ModelError(f"{file}: no such file; make it with: mono3d-kd export {file.parent}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        made_from = self.session.get_modelmeta().custom_metadata_map.get(BUNDLE_HASH)
        if made_from != bundle_hash:
            raise ModelError(f"{file}: was made from other weights; make it again with: mono3d-kd export {file.parent}")
        self.student: Student = student
        self._place = student.place

    def __call__(self, image: NDArray[np.uint8], camera: CameraModel, pose: Matrix | None = None) -> Boxes3D:
        images = np.ascontiguousarray(image.transpose(2, 0, 1)[None])
        columns: Sequence[NDArray[np.generic]] = [column[0] for column in self.session.run(None, {"images": images})]
        return self._place(columns, camera)
