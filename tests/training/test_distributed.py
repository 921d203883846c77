"""Two processes learn what one would: the same gradients from half the batch each, and different frames for each."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mono3d_kd_core.deploy.loading import load_teacher
from mono3d_kd_core.distillation.cmkd import Cmkd, CmkdWeights
from mono3d_kd_core.students.bev.config import BevConfig
from mono3d_kd_core.students.bev.student import BevStudent
from mono3d_kd_core.training.data import EpochSampler
from mono3d_kd_core.training.distillation import DistillationModule
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lessons import LessonBatch, Lessons, SourceConfig, collate_lessons
from mono3d_kd_core.training.recipe import DataConfig, ScheduleConfig
from tests.training.cmkd.test_run import SHAPE, STUDENT, TEACHER, write_drive, write_teacher

EVERYTHING = CmkdWeights(features=4, classification=8, box=2, direction=0.4, depth=1, labels=1)


class Loss(nn.Module):
    """The loss of a batch, as a module that `DistributedDataParallel` can hold."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        torch.manual_seed(0)
        config = {**STUDENT, **SHAPE, "low": TEACHER.low, "high": TEACHER.high, "bev_channels": 8}
        # Statistics of a batch need more than a processor's processes to agree; in training that is SyncBatchNorm on GPUs.
        student = BevStudent(BevConfig.model_validate(config)).eval()
        schedule = ScheduleConfig(epochs=1, batch_size=2)
        self.learner = DistillationModule(student, Cmkd(student, EVERYTHING), load_teacher(place / "teacher"), schedule)

    def forward(self, batch: LessonBatch) -> Tensor:
        return torch.stack(list(self.learner.terms(batch).values())).sum()

    def gradient(self) -> Tensor:
        return torch.cat([p.grad.flatten() for p in self.parameters() if p.grad is not None])


def batch_of(place: Path, numbers: list[int]) -> LessonBatch:
    source = SourceConfig(path=place / "drive", labels=True)
    lessons = Lessons([source], ["Car"], (32, 96), DataConfig(), Guard())
    return collate_lessons([lessons[number] for number in numbers])


def work(rank: int, place: Path) -> None:
    """What each of two processes does."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{place}/meeting", rank=rank, world_size=2)
    loss = Loss(place)
    parallel = nn.parallel.DistributedDataParallel(loss, find_unused_parameters=True)
    parallel(batch_of(place, [2 * rank, 2 * rank + 1])).backward()
    torch.save(loss.gradient(), place / f"gradient{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    write_drive(tmp_path / "drive", 4, seed=0)
    write_teacher(tmp_path / "teacher")
    whole = Loss(tmp_path)
    whole(batch_of(tmp_path, [0, 1, 2, 3])).backward()
    torch.multiprocessing.spawn(work, (tmp_path,), nprocs=2)
    expected = whole.gradient()
    assert expected.abs().max() > 1e-3
    for rank in range(2):
        found = torch.load(tmp_path / f"gradient{rank}.pt", weights_only=True)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_processes_share_the_frames_of_an_epoch_without_overlap() -> None:
    shares = [[index for _, index in EpochSampler(11, 3, 0, rank, 2)] for rank in range(2)]
    assert [len(share) for share in shares] == [5, 5]
    assert len(set(shares[0]) | set(shares[1])) == 10
    alone = [index for _, index in EpochSampler(11, 3)]
    assert sorted(shares[0] + shares[1]) == sorted(alone[:10])
