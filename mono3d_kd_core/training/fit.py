"""The fitting itself, the same for every network: checkpoints, logs, progress, a clean end on Ctrl-C."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.training.recipe import ScheduleConfig


def checkpoint_of(out: Path, resume: bool) -> Path | None:
    """Return the checkpoint from which the run in `out` goes on, None for a fresh run.

    Raises ModelError where there is none to go on from, or where a fresh run would overwrite one.
    """
    last = out / "checkpoints" / "last.ckpt"
    if resume:
        if not last.is_file():
            raise ModelError(f"{last}: there is no checkpoint to resume from; train without --resume")
        check_is_plain(last)
        return last
    if last.exists():
        raise ModelError(f"{out}: holds a run already; use --resume to go on with it, or give another --out")
    return None


def check_is_plain(checkpoint: Path) -> None:
    """Refuse a checkpoint that would run code when read. Raises ModelError."""
    try:
        content: Any = torch.load(checkpoint, "cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ModelError(f"{checkpoint}: holds more than tensors and numbers, or is damaged; not read ({error})") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise ModelError(f"{checkpoint}: is not a checkpoint of a training run")


def fit(
    module: pl.LightningModule, data: pl.LightningDataModule, schedule: ScheduleConfig, out: Path,
    checkpoint: Path | None, validate: bool, quiet: bool, callbacks: Sequence[Callback] = (),
) -> None:  # fmt: skip
    """Fit `module` to `data`, from `checkpoint` or afresh, writing checkpoints and logs into `out`."""
    logs = out / "logs"
    _set_aside(logs / "csv" / "metrics.csv")
    # Lightning's tips and its list of absent accelerators; what matters of it the command says itself.
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    trainer = pl.Trainer(
        max_epochs=schedule.epochs, default_root_dir=out, accelerator="auto", **_processes(),
        accumulate_grad_batches=schedule.accumulate,
        precision=_precision(schedule),
        gradient_clip_val=schedule.gradient_clip, check_val_every_n_epoch=schedule.validate_every,
        num_sanity_val_steps=0, log_every_n_steps=10, callbacks=[*_callbacks(schedule, out, quiet), *callbacks],
        enable_progress_bar=not quiet, enable_model_summary=False, limit_val_batches=1.0 if validate else 0,
        logger=[
            TensorBoardLogger(logs, name="", version="tensorboard"),
            CSVLogger(logs, name="", version="csv", flush_logs_every_n_steps=10),
        ],
    )  # fmt: skip
    with warnings.catch_warnings():
        # Lightning's advice about workers and steps: the cache makes workers needless, the rest is noise.
        warnings.simplefilter("ignore")
        try:
            trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
            if validate and schedule.epochs % schedule.validate_every:
                # The last weights are those that count: a card's figures and its calibration are theirs.
                trainer.validate(module, data, verbose=False)
        except SystemExit:
            # Lightning turns Ctrl-C into an exit of its own.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from None


@rank_zero_only
def _set_aside(metrics: Path) -> None:
    """Keep the rows of a run that was stopped, which the logger would write over: metrics_1.csv, metrics_2.csv, ..."""
    if metrics.is_file():
        number = 1 + len(list(metrics.parent.glob("metrics_*.csv")))
        metrics.rename(metrics.with_name(f"metrics_{number}.csv"))


def _precision(schedule: ScheduleConfig) -> Literal["16-mixed", "bf16-mixed", "32-true"]:
    if torch.cuda.is_available():
        return "16-mixed"
    return "bf16-mixed" if schedule.bfloat16 else "32-true"


def _processes() -> dict[str, Any]:
    """Return the trainer's share of the processes that `python -m torch.distributed.run` started, on any machines."""
    local, world = (int(os.environ.get(name, 1)) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    if world == 1:
        return {"devices": 1}
    return {
        # A stage may leave parts of a student untaught.
        "strategy": "ddp_find_unused_parameters_true",
        "devices": local, "num_nodes": world // local,
        "use_distributed_sampler": False,  # `EpochSampler` divides the frames
        "sync_batchnorm": torch.cuda.is_available(),  # PyTorch has it on GPUs only
    }  # fmt: skip


def _callbacks(schedule: ScheduleConfig, out: Path, quiet: bool) -> list[Callback]:
    callbacks: list[Callback] = [
        ModelCheckpoint(out / "checkpoints", filename="last", save_top_k=1, save_on_train_epoch_end=True),
        LearningRateMonitor("step"),
    ]
    if schedule.ema is not None:
        callbacks.append(EMAWeightAveraging(decay=schedule.ema))
    return callbacks if quiet else [*callbacks, RichProgressBar()]
