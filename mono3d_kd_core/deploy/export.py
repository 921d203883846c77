"""A student as ONNX: everything before the camera comes in, from the image to the peaks and what is read there."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from mono3d_kd_core.deploy.bundle import load_bundle
from mono3d_kd_core.deploy.loading import build_student
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.students.peaks import PeakStudent, PeakTensors

ONNX = "model.onnx"
OPSET = 18
BUNDLE_HASH = "mono3d_kd_bundle"
"""Key of the ONNX file's metadata that says which bundle it was made from."""


class PeakNetwork(nn.Module):
    """A student from images (B,3,H,W) uint8 to `PeakTensors`, without cameras."""

    def __init__(self, student: PeakStudent) -> None:
        super().__init__()
        self.student = student

    def forward(self, images: Tensor) -> PeakTensors:
        return self.student.peaks(self.student(images))


def export_onnx(path: str | Path) -> Path:
    """Write `model.onnx` into the bundle at `path`, beside its weights, and return the file. Raises ModelError."""
    bundle = load_bundle(path)
    student = build_student(bundle)
    if not isinstance(student, PeakStudent):
        raise ModelError(f"{path}: ONNX export knows keypoint and query students, this is a {bundle.card.architecture}")
    images = torch.zeros(1, 3, *student.input_size, dtype=torch.uint8)
    # The exporter talks to stdout, warns of its own future and misses torchvision; none of it helps a user.
    for talker in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(talker).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            PeakNetwork(student).eval(), (images,), input_names=["images"], output_names=list(PeakTensors._fields),
            opset_version=OPSET, dynamo=True, verbose=False,
        )  # fmt: skip
    if program is None:
        raise ModelError(f"{path}: the ONNX exporter gave nothing")
    model = program.model_proto
    onnx.helper.set_model_props(model, {BUNDLE_HASH: bundle.hash})
    target = bundle.path / ONNX
    partial = target.with_suffix(".onnx.part")
    partial.write_bytes(model.SerializeToString())
    os.replace(partial, target)
    return target
