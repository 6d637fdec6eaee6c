"""The same weights and views through swath and through facebookresearch/dino: the worst relative differences.

    python benchmarks/parity.py --peer CHECKOUT [--models vit_tiny vit_small] [--batch-size 2] [--out-dim N]

20 steps at learning rate 5e-4, with weight decay, momentum and drop path as main_dino.py has them (swath's
draws of drop path are given to both), for each network in float32 and float64, with the last layer free and
frozen. In float32 swath's products come from MKL, as the other's do, so that what differs is the mathematics;
a further line a network has them from oneDNN, as swath trains: that sums in another order.
Fails where losses differ by 1e-5 or student, teacher or centre, each as a whole, by 1e-4 (float32; with
oneDNN's products the losses by 1e-4), or any tensor by 1e-8 (float64).
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from peer import Checkout, PeerTraining, Rates
from torch import Tensor

from swath.augment.views import Views
from swath.config import PretrainConfig
from swath.data.bands import BandGroup, TileFormat
from swath.data.loader import Batch
from swath.pretraining.recipe import Archive, Recipe, resolve
from swath.pretraining.trainer import Trainer
from swath.runtime.ranks import Ranks

STEPS = 20
LR = 5e-4


@dataclass(frozen=True)
class Kind:
    """A format of numbers, who makes swath's products of float32, and the limits to keep."""

    name: str
    dtype: torch.dtype
    onednn: bool
    limits: dict[str, float]


FLOAT32 = Kind("float32", torch.float32, onednn=False, limits={"loss": 1e-5, "whole": 1e-4})
ONEDNN = Kind("float32 oneDNN", torch.float32, onednn=True, limits={"loss": 1e-4, "whole": 1e-4})
FLOAT64 = Kind("float64", torch.float64, onednn=True, limits={"loss": 1e-8, "whole": 1e-8, "tensor": 1e-8})
CASES = ((FLOAT32, False), (FLOAT32, True), (ONEDNN, False), (FLOAT64, False), (FLOAT64, True))


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--peer", type=Path, required=True, help="a checkout of facebookresearch/dino")
    arguments.add_argument(
        "--models", nargs="+", default=["vit_tiny", "vit_small"], choices=("vit_tiny", "vit_small")
    )
    arguments.add_argument("--batch-size", type=int, default=2)
    arguments.add_argument("--out-dim", type=int, default=65_536)
    asked = arguments.parse_args()
    checkout = Checkout(asked.peer)
    failed = 0
    for model, (kind, frozen) in itertools.product(asked.models, CASES):
        torch.manual_seed(0)
        recipe = paper_recipe(model, asked.batch_size, asked.out_dim, frozen=frozen)
        args = checkout.args(out_dim=asked.out_dim, freeze_last_layer=int(frozen))
        theirs = PeerTraining(checkout, args, model)
        worst = compare(theirs, recipe, kind)
        passed = all(worst[name] < limit for name, limit in kind.limits.items())
        failed += not passed
        print(
            f"{model}/16 {kind.name:15} last layer {'frozen' if frozen else 'free  '}  "
            + "  ".join(f"{name} {value:.1e}" for name, value in worst.items())
            + ("" if passed else "  FAILED"),
            flush=True,
        )
    return failed


def compare(theirs: PeerTraining, recipe: Recipe, kind: Kind) -> dict[str, float]:
    """Worst relative difference of the losses, of student, teacher, centre as wholes, and of any tensor."""
    ours = GivenViews(recipe, RGB, ranks=Ranks())
    for network, source in ((ours.method.student, theirs.student), (ours.method.teacher, theirs.teacher)):
        network.load_state_dict(source.state_dict())
    if kind.dtype == torch.float64:
        theirs.double()
        ours.double()
    losses = [0.0]
    for step, views in enumerate(some_views(recipe, kind.dtype)):
        ours.given = Views(torch.cat(views[:2]), torch.cat(views[2:]))
        rows, epochs = np.arange(recipe.batch_size), np.zeros(recipe.batch_size, dtype=np.int64)
        batch = Batch(rows, epochs, [], rows, epochs, 0.0)
        their_loss = theirs.step(views, rates_at(step, theirs, recipe), kept=ours.kept(batch, step))
        with torch.backends.mkldnn.flags(enabled=kind.onednn):
            our_loss = ours.step(batch, step)["loss"]
        losses.append(abs(our_loss - their_loss) / their_loss)
    return {"loss": max(losses)} | differences(ours, theirs)


class GivenViews(Trainer):
    """Swath's training on views that are given instead of made from tiles."""

    given: Views

    def views(self, batch: Batch) -> Views:  # noqa: ARG002 -- the views are given
        return self.given

    def double(self) -> None:
        self.method.student.double()
        self.method.teacher.double()
        self.method.centre = self.method.centre.double()

    def kept(self, batch: Batch, step: int) -> list[Tensor]:
        """Factors of the branches in the order in which the peer asks for them: block 0 never drops."""
        keep = self._drop_path(batch, step)
        assert keep is not None
        return [factors for views in keep for block in views[1:] for factors in block]


RGB = TileFormat(
    bands=("B04", "B03", "B02"),
    groups=(BandGroup(bands=("B04", "B03", "B02"), size_px=120, dtype="uint8"),),
    gsd_m=10.0,
    low=(0.0, 0.0, 0.0),
    high=(255.0, 255.0, 255.0),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)


def paper_recipe(
    model: str, batch_size: int, out_dim: int, *, frozen: bool, precision: str = "float32"
) -> Recipe:
    """The preset `paper` with a constant learning rate."""
    asked = PretrainConfig(
        tiles=Path(),
        out=Path(),
        preset="paper",
        model=model,
        batch_size=batch_size,
        out_dim=out_dim,
        steps=STEPS,
    )
    archive = Archive(tiles=STEPS * batch_size, size_px=RGB.size_px, bands=len(RGB.bands))
    recipe = resolve(asked, archive, steps=STEPS, precision=precision, accelerated=True)
    return recipe.model_copy(
        update={"lr": LR, "min_lr": LR, "warmup_steps": 0, "freeze_last_layer_steps": STEPS if frozen else 0}
    )


def some_views(recipe: Recipe, dtype: torch.dtype) -> Iterator[list[Tensor]]:
    """Ten views a step: smooth noise that differs from tile to tile, as standardised images do."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        tiles = torch.randn(recipe.batch_size, 3, 8, 8, generator=generator)
        views = []
        for side in (recipe.global_px,) * 2 + (recipe.local_px,) * recipe.local_views:
            smooth = torch.nn.functional.interpolate(tiles, size=side, mode="bilinear")
            views.append((smooth + 0.3 * torch.randn(smooth.shape, generator=generator)).to(dtype))
        yield views


def rates_at(step: int, theirs: PeerTraining, recipe: Recipe) -> Rates:
    """By the schedule of the peer."""
    weight_decay = theirs.checkout.tools.cosine_scheduler(
        recipe.weight_decay, recipe.weight_decay_end, 1, STEPS
    )
    momentum = theirs.checkout.tools.cosine_scheduler(recipe.momentum, 1, 1, STEPS)
    return Rates(LR, float(weight_decay[step]), float(momentum[step]))


def differences(ours: Trainer, theirs: PeerTraining) -> dict[str, float]:
    tensors = {
        "student": (ours.method.student.state_dict(), theirs.student.state_dict()),
        "teacher": (ours.method.teacher.state_dict(), theirs.teacher.state_dict()),
        "centre": (ours.method.extra_state(), {"centre": theirs.loss.center}),
    }
    wholes, each = {}, []
    for name, (mine, other) in tensors.items():
        assert mine.keys() == other.keys()
        wholes[name] = relative([mine[key] for key in mine], [other[key] for key in mine])
        each += [relative([mine[key]], [other[key]]) for key in mine]
    return wholes | {"whole": max(wholes.values()), "tensor": max(each)}


def relative(mine: list[Tensor], other: list[Tensor]) -> float:
    """Norm of the difference over the norm of the other."""
    apart = sum((a.double() - b.double()).square().sum() for a, b in zip(mine, other, strict=True))
    return float((apart / sum(b.double().square().sum() for b in other)) ** 0.5)


if __name__ == "__main__":
    sys.exit(main())
