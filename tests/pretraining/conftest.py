"""A recipe to change, and the command line in this process."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from swath.cli import main
from swath.pretraining.recipe import Recipe

SMALL = {
    "method": "dino", "preset": "overhead", "model": "vit_micro", "patch_size": 8, "position": "timm",
    "drop_path": 0.0, "image_px": 16, "global_px": 16, "local_px": 8, "local_views": 2,
    "gentle_jitter": False, "batch_size": 4, "steps": 10,
    "global_scale": (0.4, 1.0), "local_scale": (0.05, 0.4), "steps_per_epoch": 5, "momentum_end": 1.0,
    "warmup_teacher_temp": 0.04, "warmup_teacher_temp_epochs": 0,
    "warmup_steps": 2, "lr": 1e-3, "min_lr": 1e-6, "weight_decay": 0.04, "weight_decay_end": 0.04,
    "clip_grad": 3.0, "momentum": 0.9, "out_dim": 32, "head_hidden": 64, "norm_last_layer": True,
    "freeze_last_layer_steps": 0, "teacher_temp": 0.04, "monitor_every": 0, "log_every": 1, "seed": 0,
    "precision": "float32", "reasons": {},
}  # fmt: skip


@pytest.fixture
def a_recipe() -> Callable[..., Recipe]:
    """Call it with the values that differ."""
    return lambda **changes: Recipe(**(SMALL | changes))


@dataclass(frozen=True)
class Answer:
    """What a command said: exit code, the JSON object of its last line, and standard error."""

    code: int
    json: dict
    errors: str


@pytest.fixture
def pretrain(packed: Path, tiny: list[str], capsys: pytest.CaptureFixture) -> Callable[..., Answer]:
    """Run `swath pretrain` on the small archive, with more flags."""

    def run(out: Path, *flags: str) -> Answer:
        capsys.readouterr()
        code = main(["pretrain", str(packed), "--out", str(out), *tiny, *flags, "--json"])
        said = capsys.readouterr()
        return Answer(code, json.loads(said.out.splitlines()[-1]), said.err)

    return run
