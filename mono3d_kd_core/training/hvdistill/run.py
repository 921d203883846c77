"""HVDistill's training: its Lightning module, and a run of phases that ends with a backbone for a LiDAR teacher."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import torch
import yaml
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from safetensors.torch import load_file
from safetensors.torch import save as format_tensors
from torch import Tensor

from mono3d_kd_core.deploy.bundle import Bundle, Card, save_bundle
from mono3d_kd_core.deploy.trained_lidar import TrainedLidar
from mono3d_kd_core.distillation.hvdistill import HvDistill, HvWeights, Pair
from mono3d_kd_core.distillation.image_teacher import ImageTeacher
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.io.files import write_atomically
from mono3d_kd_core.io.open import open_source
from mono3d_kd_core.training.fit import checkpoint_of, fit
from mono3d_kd_core.training.hvdistill.pairs import PairData, Pairs
from mono3d_kd_core.training.hvdistill.recipe import HvDistillRecipe, PhaseConfig
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lessons import SourceConfig
from mono3d_kd_core.training.lidar.run import BACKBONE
from mono3d_kd_core.training.module import learning_rate_at
from mono3d_kd_core.training.recipe import ScheduleConfig
from mono3d_kd_core.training.run import progress
from mono3d_kd_core.training.weights import given, load_image_backbone


class HvModule(pl.LightningModule):
    """Trains student, heads and lift by a phase's terms; the image teacher looks on."""

    def __init__(
        self, network: HvDistill, weights: HvWeights, schedule: ScheduleConfig, sgd: bool
    ) -> None:
        super().__init__()
        self.network, self.weights, self.schedule, self.sgd = network, weights, schedule, sgd
        self.found: dict[str, list[Tensor]] = {}

    def on_fit_start(self) -> None:
        """Bring the image teacher to the student's device."""
        self.network.image.to(self.device)

    def on_train_batch_start(self, batch: list[Pair], batch_idx: int) -> None:
        """Make chance (dropout, drawn cells) depend on seed, epoch and batch only, wherever a run was interrupted."""
        torch.manual_seed((self.schedule.seed * 100_003 + self.current_epoch) * 100_003 + batch_idx)

    def training_step(self, batch: list[Pair], _: int) -> Tensor:
        """Return the loss of a batch; ModelError ends a run whose loss is no number."""
        terms, figures = self.network.losses(batch, self.weights)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            bad = ", ".join(f"{name} {value.item():.3g}" for name, value in terms.items() if not torch.isfinite(value))
            names = ", ".join(pair.id for pair in batch)
            raise ModelError(
                f"the loss is not finite at step {self.global_step} (epoch {self.current_epoch}): {bad}, frames {names}; "
                "lower the phase's schedule.learning_rate and --resume"
            )
        self.log("loss", loss, prog_bar=True, batch_size=len(batch))
        self.log_dict({f"loss/{name}": value.detach() for name, value in terms.items()}, batch_size=len(batch))
        self.log_dict({f"matched/{name}": value for name, value in figures.items()}, batch_size=len(batch))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.found = {}

    def validation_step(self, batch: list[Pair], _: int) -> None:
        """Keep the loss, and what share found its own."""
        terms, figures = self.network.losses(batch, self.weights)
        values = {"loss": torch.stack(list(terms.values())).sum()}
        for name, value in (values | {f"matched_{name}": share for name, share in figures.items()}).items():
            self.found.setdefault(name, []).append(value.detach().cpu())

    def on_validation_epoch_end(self) -> None:
        """Log the means over the validation's batches."""
        self.log_dict({f"val/{name}": value for name, value in self.figures().items()})

    def figures(self) -> dict[str, float]:
        """Return the means of the last validation."""
        return {name: float(torch.stack(values).mean()) for name, values in self.found.items()}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """SGD as released, or AdamW; linear warm-up and a half cosine to zero, step by step."""
        s, learned = self.schedule, list(self.network.parameters())
        optimiser: torch.optim.Optimizer
        if self.sgd:
            optimiser = torch.optim.SGD(
                learned, s.learning_rate, momentum=0.9, dampening=0.1, weight_decay=s.weight_decay
            )
        else:
            optimiser = torch.optim.AdamW(learned, s.learning_rate, weight_decay=s.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: learning_rate_at(step, steps, s.warmup))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def transfer_batch_to_device(self, batch: list[Pair], device: torch.device, dataloader_idx: int) -> list[Pair]:
        """Leave pairs on the host: clouds are cut into voxels there."""
        return batch


@dataclass(frozen=True)
class HvDistillRun:
    """All phases of a recipe. data replaces the recipe's sources where given, val its validation drives.

    Both are drives of any kind, and no label file of theirs is opened. out gets a folder for each phase, with checkpoints/,
    logs/ and at its end network.safetensors, the pictures' superpixels/, and bundle/: the 3D backbone, the result.
    """

    recipe: HvDistillRecipe
    data: Sequence[Path]
    val: Sequence[Path]
    out: Path
    licence: str = ""

    def train(self, resume: bool = False, quiet: bool = False) -> Bundle:
        """Train what is not finished yet. Raises ModelError or DataError in words; Ctrl-C is KeyboardInterrupt."""
        torch.set_float32_matmul_precision("high")
        recipe = self.recipe
        self._check_plan(resume)
        teacher, shape = recipe.lidar.teacher()
        train, val = self._pairs(quiet)
        state: dict[str, Tensor] | None = None
        figures: dict[str, float] = {}
        image = load_image_teacher(recipe)
        for phase in recipe.phases:
            pl.seed_everything(phase.schedule.seed, verbose=False)
            network = HvDistill(shape, image, recipe.network)
            if state is not None:
                network.load_state_dict(state)
            figures |= self._phase(phase, network, train, val, resume, quiet)
            state = network.state_dict()
        assert state is not None  # a recipe has phases
        learned = {name: t for name, t in _without("student.", state).items() if name.startswith(BACKBONE)}
        card = Card(
            kind="backbone", architecture=teacher.architecture, config=shape.model_dump(mode="json"), licence=self.licence,
            lidar=TrainedLidar.of(train.sweeps(50)),
            metrics={name: round(value, 4) for name, value in figures.items()},
            provenance={
                "method": "hvdistill",
                "views": recipe.views,
                "recipe_sha256": hashlib.sha256(self._plan.encode()).hexdigest(),
                "data": ", ".join(source.path.name for source in self._sources),
                "image_teacher": "" if recipe.image.weights is None else recipe.image.weights.name,
                "image_teacher_sha256": _fingerprint(image),
            },
        )  # fmt: skip
        return save_bundle(self.out / "bundle", card, learned, half=True)

    def _phase(
        self, phase: PhaseConfig, network: HvDistill, train: Pairs, val: Pairs | None, resume: bool, quiet: bool
    ) -> dict[str, float]:
        """Train the network in a phase, or read what it became there; return the figures of its last validation."""
        out = self.out / phase.name
        finished, figures = out / "network.safetensors", out / "figures.yaml"
        if resume and finished.is_file():
            network.load_state_dict(load_file(finished))
            return dict(yaml.safe_load(figures.read_text(encoding="utf-8")))
        begun = (out / "checkpoints" / "last.ckpt").is_file()
        checkpoint = checkpoint_of(out, resume and begun)
        out.mkdir(parents=True, exist_ok=True)
        module = HvModule(network, self.recipe.weights(phase), phase.schedule, self.recipe.optimiser == "sgd")
        data = PairData(train, val, self.recipe, phase.schedule)
        fit(module, data, phase.schedule, out, checkpoint, val is not None, quiet)
        found = module.figures()
        write_atomically(figures, yaml.safe_dump(found).encode())
        # The last file: where it is, the phase is over.
        write_atomically(finished, format_tensors({name: t.contiguous().cpu() for name, t in network.state_dict().items()}))
        return found

    @property
    def _sources(self) -> tuple[SourceConfig, ...]:
        return tuple(SourceConfig(path=path) for path in self.data) or self.recipe.sources

    @property
    def _plan(self) -> str:
        return yaml.safe_dump(self.recipe.model_dump(mode="json"), sort_keys=False)

    def _check_plan(self, resume: bool) -> None:
        """Write the recipe beside the run; where one is gone on with, see that it is the same."""
        written = self.out / "recipe.yaml"
        if resume and written.is_file() and written.read_text(encoding="utf-8") != self._plan:
            raise ModelError(f"{written}: the run was begun with another recipe; give another --out, or the same recipe")
        if not resume and (self.out / self.recipe.phases[0].name / "checkpoints" / "last.ckpt").is_file():
            raise ModelError(f"{self.out}: holds a run already; use --resume to go on with it, or give another --out")
        write_atomically(written, self._plan.encode())

    def _pairs(self, quiet: bool) -> tuple[Pairs, Pairs | None]:
        r, paths = self.recipe, tuple(self.val) or self.recipe.val
        size, kept = (r.input_height, r.input_width), self.out / "superpixels"
        guard = Guard.of([open_source(path) for path in paths], progress(quiet))
        train = Pairs(self._sources, size, r.superpixels, kept, guard)
        val = [SourceConfig(path=path) for path in paths]
        return train, Pairs(val, size, r.superpixels, kept, Guard()) if val else None


def load_image_teacher(recipe: HvDistillRecipe) -> ImageTeacher:
    """Build the image teacher with its weights, of a file or a student's bundle. Raises ModelError in words."""
    config = recipe.image
    if config.weights is None:
        raise ModelError(
            "image.weights: name the weights of the image teacher: a file of MoCo, DINO or ImageNet, or a student's bundle; "
            "a network that never learned has nothing to teach"
        )
    teacher = ImageTeacher(config)
    load_image_backbone(teacher.backbone, given(config.weights))
    return teacher


def _without(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def _fingerprint(image: ImageTeacher) -> str:
    digest = hashlib.sha256()
    for name, tensor in image.backbone.state_dict().items():
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
