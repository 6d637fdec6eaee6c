"""Training against facebookresearch/dino, recorded once; `benchmarks/parity.py` compares live."""

import numpy as np
import pytest
import torch

from swath.augment.views import Views
from swath.data.bands import BandGroup, TileFormat
from swath.data.loader import Batch
from swath.draws import uniforms
from swath.pretraining.recipe import Archive, resolve
from swath.pretraining.trainer import Trainer
from swath.runtime.ranks import Ranks

STEPS, TILES, LR = 5, 4, 5e-4
RGB = TileFormat(
    bands=("R", "G", "B"),
    groups=(BandGroup(bands=("R", "G", "B"), size_px=16, dtype="uint8"),),
    gsd_m=None,
    low=(0.0,) * 3,
    high=(255.0,) * 3,
    mean=(0.5,) * 3,
    std=(0.25,) * 3,
)
# facebookresearch/dino at 7c446df: its VisionTransformer (16 px, patch 8, width 128, depth 4, 2 heads), its
# DINOHead of 32 prototypes, DINOLoss and step order in float64 on the weights, views and drop path of
# `training`, driven by benchmarks/peer.py: the loss of each step, then projections of student, teacher and
# centre after the last.
RECORDED = {
    False: (
        [2.8635012079140174, 4.895923093747714, 3.717568859496435, 3.4996704913199106, 3.5732631953822094],
        [-63.906888424139034, -63.45823421332862, 0.033334604098558734],
    ),
    True: (
        [2.8635012079140174, 4.837839756966905, 3.69108174905881, 3.3875530421956235, 3.477689193272185],
        [-64.06946629076315, -63.45901124337857, 0.033459278016557445],
    ),
}


class GivenViews(Trainer):
    """Training on the views of each step, in order, instead of views made from tiles."""

    def views(self, batch: Batch) -> Views:
        return self.given[int(batch.epochs[0])]


def numbers(count: int, name: str) -> torch.Tensor:
    """(count,) numbers in [-1, 1), the same on every machine."""
    zero = np.zeros(1, dtype=np.int64)
    draws = uniforms(count, seed=0, epochs=zero, sample_ids=zero, stream=name)[0]
    return torch.from_numpy(draws).double() * 2 - 1


def projection(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sum of every number times a fixed one: no tensor can change without it."""
    return sum(
        (t.flatten().double() * numbers(t.numel(), f"direction {name}")).sum() for name, t in tensors.items()
    )


@torch.no_grad()
def training(*, frozen: bool) -> GivenViews:
    """Weights and views from `numbers`, in float64."""
    from swath.config import PretrainConfig

    asked = PretrainConfig(
        tiles="x", out="y", preset="paper", model="vit_micro", patch_size=8, global_px=16, local_px=8,
        local_views=2, batch_size=TILES, out_dim=32, steps=STEPS,
    )  # fmt: skip
    recipe = resolve(
        asked, Archive(tiles=TILES, size_px=16, bands=3), steps=STEPS, precision="float32", accelerated=True
    )
    changes = {"lr": LR, "min_lr": LR, "warmup_steps": 0, "freeze_last_layer_steps": STEPS if frozen else 0}
    trainer = GivenViews(recipe.model_copy(update=changes), RGB, ranks=Ranks())
    for name, parameter in trainer.method.student.named_parameters():
        if not name.endswith("weight_g"):
            parameter.copy_((numbers(parameter.numel(), name) * 0.05).view_as(parameter))
    trainer.method.teacher.load_state_dict(trainer.method.student.state_dict())
    trainer.method.student.double()
    trainer.method.teacher.double()
    trainer.method.centre = trainer.method.centre.double()
    trainer.given = [
        Views(
            numbers(2 * TILES * 3 * 256, f"globals {step}").view(-1, 3, 16, 16),
            numbers(2 * TILES * 3 * 64, f"locals {step}").view(-1, 3, 8, 8),
        )
        for step in range(STEPS)
    ]
    return trainer


def batch_of(step: int) -> Batch:
    rows, epochs = np.arange(TILES), np.full(TILES, step, dtype=np.int64)
    return Batch(rows, epochs, [], rows, epochs, 0.0)


def kept(trainer: GivenViews, step: int) -> list[torch.Tensor]:
    """Drop-path factors in the order in which the reference asks for them: its first block drops nothing."""
    keep = trainer._drop_path(batch_of(step), step)
    return [factors for views in keep for block in views[1:] for factors in block]


@pytest.mark.parametrize("frozen", [False, True])
def test_training_is_that_of_the_reference(frozen):
    trainer = training(frozen=frozen)
    losses = [trainer.step(batch_of(step), step)["loss"] for step in range(STEPS)]
    method = trainer.method
    states = (method.student.state_dict(), method.teacher.state_dict(), method.extra_state())
    expected_losses, expected_states = RECORDED[frozen]
    assert losses == pytest.approx(expected_losses, rel=1e-10)
    assert [float(projection(state)) for state in states] == pytest.approx(expected_states, rel=1e-8)
