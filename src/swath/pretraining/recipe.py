"""From what was asked to what will be done: every value of a run, and the reason for each that was not
given.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from swath.config import PretrainConfig
from swath.errors import UsageError
from swath.location import S3Path
from swath.models.position import PositionMode

# Settings that the contrastive method does not have.
ONLY_DINO = ("out_dim", "teacher_temp", "warmup_teacher_temp_epochs", "norm_last_layer")
# Where the teacher's temperature starts if it is to rise; main_dino.py's --warmup_teacher_temp.
WARM_TEACHER_TEMP = 0.04


class Recipe(BaseModel):
    """All that determines a run besides its tiles; saved in config.yaml and loaded back equal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    preset: str
    model: str
    patch_size: int
    position: PositionMode
    drop_path: float
    image_px: int
    global_px: int
    local_px: int
    local_views: int
    gentle_jitter: bool
    global_scale: tuple[float, float]
    local_scale: tuple[float, float]
    batch_size: int
    steps: int
    steps_per_epoch: int
    warmup_steps: int
    lr: float
    min_lr: float
    weight_decay: float
    weight_decay_end: float
    clip_grad: float
    momentum: float
    momentum_end: float
    out_dim: int
    head_hidden: int
    norm_last_layer: bool
    freeze_last_layer_steps: int
    teacher_temp: float
    warmup_teacher_temp: float
    warmup_teacher_temp_epochs: int
    monitor_every: int
    log_every: int
    seed: int
    order: Literal["shuffled", "blocks"] = "shuffled"
    precision: str
    reasons: dict[str, str]

    def is_logged(self, step: int) -> bool:
        """Whether the state after `step` steps has a row in metrics.jsonl."""
        return step % self.log_every == 0 or step == self.steps


@dataclass(frozen=True)
class Archive:
    """What the resolver must know about the tiles: how many can be trained on, their side and number of
    bands.
    """

    tiles: int
    size_px: int
    bands: int


def resolve(
    asked: PretrainConfig, archive: Archive, *, steps: int, precision: str, accelerated: bool
) -> Recipe:
    """Take what was asked, and the preset's value for the rest.

    accelerated: a GPU does the work. Where none does, `overhead` is `demo`: a network and a method that get
    somewhere with the images a processor can look at.

    Raises:
        UsageError: fewer tiles than a batch, views that do not fit the patch, the paper's recipe for other
            than 3 bands.
    """
    _check_archive(asked, archive)
    reasons: dict[str, str] = {}
    chosen_preset = _PRESETS[asked.preset]
    if asked.preset == "overhead" and not accelerated:
        chosen_preset = _processor
    preset = chosen_preset(archive, asked, steps, reasons)
    given = {
        name: value
        for name, value in asked.model_dump().items()
        if name in preset and name in asked.model_fields_set and value is not None
    }
    chosen = preset | given
    chosen["lr"] *= asked.batch_size / 256
    if chosen["method"] == "simclr":
        _refuse_what_simclr_ignores(given)
        reasons = {name: reason for name, reason in reasons.items() if name not in ONLY_DINO}
    recipe = Recipe(
        **chosen,
        order=_order(asked, reasons),
        preset=asked.preset,
        batch_size=asked.batch_size,
        steps=steps,
        steps_per_epoch=math.ceil(archive.tiles / asked.batch_size),
        warmup_teacher_temp=WARM_TEACHER_TEMP,
        log_every=math.ceil(steps / 2000),
        seed=asked.seed,
        precision=precision,
        reasons={name: reason for name, reason in reasons.items() if name not in given},
    )
    _check_views(recipe, archive)
    _check_temperature(recipe)
    return recipe


def _order(asked: PretrainConfig, reasons: dict[str, str]) -> Literal["shuffled", "blocks"]:
    if asked.order is None and isinstance(asked.tiles, S3Path):
        reasons["order"] = "tiles are on S3: neighbours are read together, a request for many tiles"
        return "blocks"
    return asked.order or "shuffled"


def steps_of(asked: PretrainConfig, archive: Archive) -> int:
    """Steps for --steps or --epochs, 100 epochs where nothing was asked; --minutes needs a measured rate."""
    return asked.steps or math.ceil((asked.epochs or 100) * archive.tiles / asked.batch_size)


def _paper(archive: Archive, asked: PretrainConfig, steps: int, reasons: dict[str, str]) -> dict[str, Any]:  # noqa: ARG001 -- published values need no reason
    """The defaults of facebookresearch/dino main_dino.py (commit 7c446df), whatever the archive."""
    epoch = math.ceil(archive.tiles / asked.batch_size)
    return {
        "method": "dino", "model": "vit_small", "patch_size": 16, "position": "dino", "drop_path": 0.1,
        "image_px": asked.global_px or 224, "global_px": 224, "local_px": 96, "local_views": 8,
        "gentle_jitter": False, "global_scale": (0.4, 1.0), "local_scale": (0.05, 0.4),
        "lr": 5e-4, "min_lr": 1e-6,
        "warmup_steps": _warmup(asked, steps, usual=min(10 * epoch, steps // 2)),
        "weight_decay": 0.04, "weight_decay_end": 0.4, "clip_grad": 3.0,
        "momentum": 0.996, "momentum_end": 1.0, "out_dim": 65_536, "head_hidden": 2048,
        "norm_last_layer": True, "freeze_last_layer_steps": epoch,
        "teacher_temp": 0.04, "warmup_teacher_temp_epochs": 0, "monitor_every": _ten_times(steps),
    }  # fmt: skip


def _overhead(archive: Archive, asked: PretrainConfig, steps: int, reasons: dict[str, str]) -> dict[str, Any]:
    """For imagery from above: values follow the size of the tiles, of the archive and of the training."""
    size, tiles = archive.size_px, archive.tiles
    model = asked.model or "vit_small"
    small = model in {"vit_micro", "vit_tiny"}
    patch = asked.patch_size or (4 if size < 48 else 8 if size < 112 else 16)
    reasons["patch_size"] = f"{size} px tiles become {size // patch} x {size // patch} tokens"
    reasons["global_px"] = f"tiles are {size} px: global views keep the ground resolution"
    reasons["momentum"] = f"the teacher averages over about a twentieth of the {steps:,} steps"
    reasons["out_dim"] = f"{tiles:,} tiles: about one prototype for 16 tiles, between 512 and 65,536"
    reasons["teacher_temp"] = f"{tiles:,} tiles: below 50,000 the loss stays flat at higher temperatures"
    global_px = max(patch, size // patch * patch)
    return {
        "method": "dino", "model": model, "patch_size": patch, "position": "timm",
        "drop_path": 0.0 if small else 0.1,
        "image_px": asked.global_px or global_px, "global_px": global_px,
        "local_px": max(patch, round(size * 0.45 / patch) * patch),
        "local_views": 4 if size <= 64 else 8, "gentle_jitter": False,
        "global_scale": (0.4, 1.0), "local_scale": (0.05, 0.4),
        "lr": 2e-3 if small else 1e-3, "min_lr": 1e-6,
        "warmup_steps": _warmup(asked, steps, usual=round(0.1 * steps)),
        "weight_decay": 0.04, "weight_decay_end": 0.04, "clip_grad": 3.0,
        "momentum": round(min(0.996, max(0.9, 1 - 20 / steps)), 5),
        "out_dim": 2 ** min(16, max(9, math.ceil(math.log2(tiles / 16)))),
        "head_hidden": 1024 if small else 2048, "norm_last_layer": True, "momentum_end": 1.0,
        "freeze_last_layer_steps": min(math.ceil(tiles / asked.batch_size), steps // 50),
        "teacher_temp": 0.02 if tiles < 50_000 else 0.04, "warmup_teacher_temp_epochs": 0,
        "monitor_every": _ten_times(steps),
    }  # fmt: skip


def _demo(archive: Archive, asked: PretrainConfig, steps: int, reasons: dict[str, str]) -> dict[str, Any]:
    """For minutes of a processor: `overhead` with what learned most at equal cost (docs/results/recipe.md).

    A small network that contrasts; patches for 16 tokens along a tile, and views of 6 x 6 and 3 x 3 tokens,
    so that a step costs little and many are taken. Positions are learned for the whole tile.
    """
    usual = asked.model_copy(update={"model": asked.model or "vit_micro"})
    values = _overhead(archive, usual, steps, reasons)
    patch = asked.patch_size or max(4, archive.size_px // 16 // 4 * 4)
    side = archive.size_px // patch
    reasons["model"] = "a processor shows a small network many more images than a large one"
    reasons["momentum"] = "the teacher averages the last twentieth of the steps, to the end"
    reasons["method"] = "in minutes of a processor contrast learns more than DINO (docs/results/recipe.md)"
    reasons["patch_size"] = f"{archive.size_px} px tiles become {side} x {side} tokens"
    reasons["global_px"] = "views of 6 x 6 tokens, local ones of 3 x 3: many cheap steps learn more than few"
    return values | {
        "method": "simclr", "patch_size": patch, "image_px": max(patch, side * patch),
        "global_px": patch * min(6, side), "local_px": patch * min(3, side), "local_views": 4,
        "gentle_jitter": True, "momentum_end": values["momentum"],
    }  # fmt: skip


def _processor(
    archive: Archive, asked: PretrainConfig, steps: int, reasons: dict[str, str]
) -> dict[str, Any]:
    """`overhead` without a GPU: `demo`, by DINO where one of its settings is given."""
    values = _demo(archive, asked, steps, reasons)
    if dinos := [name for name in ONLY_DINO if name in asked.model_fields_set]:
        values["method"] = "dino"
        reasons["method"] = f"--{dinos[0].replace('_', '-')} is a setting of DINO"
    return values


_PRESETS = {"paper": _paper, "overhead": _overhead, "demo": _demo}


def _warmup(asked: PretrainConfig, steps: int, *, usual: int) -> int:
    return usual if asked.warmup_share is None else round(asked.warmup_share * steps)


def _ten_times(steps: int) -> int:
    """Steps between checks: ten checks a run, but not more often than every tenth step."""
    return max(10, steps // 10)


def _refuse_what_simclr_ignores(given: dict[str, Any]) -> None:
    ignored = [f"--{name.replace('_', '-')}" for name in ONLY_DINO if name in given]
    if ignored:
        raise UsageError(
            f"{', '.join(ignored)} would change nothing: --method simclr has no prototypes. "
            "Leave them out, or use --method dino."
        )


def _check_archive(asked: PretrainConfig, archive: Archive) -> None:
    if archive.tiles < asked.batch_size:
        raise UsageError(
            f"found {archive.tiles} tiles to train on, a batch needs {asked.batch_size}; "
            "lower --batch-size or add data"
        )
    if asked.preset == "paper" and archive.bands != 3:
        raise UsageError(
            f"--preset paper is for 3 bands, the tiles have {archive.bands}; "
            "use --preset overhead or pack with --bands A,B,C"
        )


def _check_views(recipe: Recipe, archive: Archive) -> None:
    if recipe.preset != "paper" and recipe.global_px > archive.size_px:
        raise UsageError(
            f"tiles are {archive.size_px} px, smaller than a global view of {recipe.global_px} px; "
            "use a smaller --global-px (and --patch-size), or index larger tiles with --tile-px"
        )
    for flag, size_px in (("--global-px", recipe.global_px), ("--local-px", recipe.local_px)):
        if size_px % recipe.patch_size:
            raise UsageError(f"{flag} {size_px} is not a multiple of --patch-size {recipe.patch_size}")


def _check_temperature(recipe: Recipe) -> None:
    if recipe.warmup_teacher_temp_epochs and recipe.teacher_temp <= recipe.warmup_teacher_temp:
        raise UsageError(
            f"--warmup-teacher-temp-epochs would change nothing: the temperature rises from "
            f"{recipe.warmup_teacher_temp:g} to a higher --teacher-temp, and that is {recipe.teacher_temp:g}"
        )
