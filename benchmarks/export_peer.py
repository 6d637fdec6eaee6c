"""Weights to a real checkout of facebookresearch/dino and back, through its own code.

    python benchmarks/export_peer.py --peer CHECKOUT --run RUN

Out: RUN is exported and loaded by the checkout's load_pretrained_weights into its own network. In: a few
steps of its own training on noise are saved as its checkpoint.pth and imported. Exits with 1 where a tensor
is missing or differs, or features differ by more than 1e-4 on the grid of the run.
"""

import argparse
import contextlib
import io
import sys
import tempfile
from pathlib import Path

import torch
from noise import packed_noise
from peer import Checkout, PeerTraining
from peer_tiles import ScheduledTraining, TrainTiles, batches
from torch import Tensor, nn

import swath
from swath.models.vit import VisionTransformer, ViTShape
from swath.runtime.run import Run

LARGEST = 1e-4
SHAPE = ViTShape(128, 4, 2, 8, 3, 64, position="dino")
EPOCH_STEPS = 2
WORDS = [
    "--epochs", "3", "--warmup_epochs", "1", "--batch_size_per_gpu", "4", "--local_crops_number", "2",
    "--out_dim", "64", "--momentum_teacher", "0.9",
]  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--peer", type=Path, required=True)
    arguments.add_argument("--run", type=Path, required=True)
    asked = arguments.parse_args()
    checkout = Checkout(asked.peer)
    with tempfile.TemporaryDirectory() as folder:
        outward = exported(checkout, asked.run, Path(folder))
        inward = imported(checkout, Path(folder))
    sys.exit(not (outward and inward))


def exported(checkout: Checkout, run: Path, folder: Path) -> bool:
    """True where the checkout finds every tensor of its network, and features agree."""
    path = folder / "exported.pth"
    swath.export(run, out=path, format="dino")
    ours = network_of(Run.open(run))
    theirs = checkout.network(ours.shape, drop_path=0.0)
    missing, unexpected = load_as_the_peer(checkout, theirs, path, ours.shape)
    print(f"out: {len(theirs.state_dict())} tensors, missing {missing}, left out {unexpected}")
    return not missing and features_agree(ours, theirs)


def load_as_the_peer(
    checkout: Checkout, network: nn.Module, path: Path, shape: ViTShape
) -> tuple[list[str], list[str]]:
    """Missing and unexpected keys, which its function prints and does not return."""
    said, load = [], network.load_state_dict

    def recorded(tensors: dict[str, Tensor], *, strict: bool) -> object:
        said.append(load(tensors, strict=strict))
        return said[-1]

    network.load_state_dict = recorded
    with contextlib.redirect_stdout(io.StringIO()):
        checkout.tools.load_pretrained_weights(network, str(path), "teacher", "vit", shape.patch_size)
    return said[0].missing_keys, said[0].unexpected_keys


def imported(checkout: Checkout, folder: Path) -> bool:
    """True where every tensor of a training comes in bit for bit, and features agree."""
    tiles = packed_noise(folder, side_px=512, tile_px=64)
    args = checkout.args(WORDS, patch_size=SHAPE.patch_size)
    training = ScheduledTraining(checkout, args, SHAPE, epoch_steps=EPOCH_STEPS)
    stream = batches(TrainTiles(tiles, checkout.views(args, global_px=64, local_px=24)), 4)
    for _ in range(2 * EPOCH_STEPS):
        training.take(next(stream))
    training.save(folder / "checkpoint.pth", epoch=training.epoch)
    result = swath.import_weights(folder / "checkpoint.pth", out=folder / "imported", tiles=tiles.path)
    run = Run.open(folder / "imported")
    unequal = differing(training, run.checkpoint().tensors)
    print(
        f"in: {result.matched} tensors of the backbone, missing {list(result.missing)}; of the training "
        f"differ {unequal}; goes on at step {result.goes_on_at_step} of {result.of_steps}"
    )
    return not unequal and not result.missing and features_agree(network_of(run), training.teacher.backbone)


def differing(training: PeerTraining, tensors: dict[str, dict[str, Tensor]]) -> list[str]:
    """Names of tensors that are not those of the training, bit for bit; both networks, centre, AdamW."""
    moments = training.optimizer.state
    expected = {
        "student": training.student.state_dict(),
        "teacher": training.teacher.state_dict(),
        "extra": {"centre": training.loss.center},
        "optimizer": {
            f"{name}.{moment}": value
            for name, parameter in training.student.named_parameters()
            for moment, value in moments.get(parameter, {}).items()
        },
    }
    return [
        f"{file}: {name}"
        for file, named in expected.items()
        for name in sorted({*named, *tensors[file]})
        if name not in named or name not in tensors[file] or not torch.equal(named[name], tensors[file][name])
    ]


def network_of(run: Run) -> VisionTransformer:
    """The teacher of a run's newest checkpoint."""
    saved = run.checkpoint()
    network = VisionTransformer(ViTShape.from_json(saved.state["vit"]))
    named = saved.tensors["teacher"].items()
    network.load_state_dict({n.removeprefix("backbone."): t for n, t in named if n.startswith("backbone.")})
    return network.eval()


@torch.inference_mode()
def features_agree(ours: VisionTransformer, theirs: nn.Module) -> bool:
    """True within 1e-4 on the learned grid; also printed is the grid of half the side, resampled by each."""
    shape, theirs = ours.shape, theirs.eval()
    largest = []
    for side in (shape.side, max(1, shape.side // 2)):
        px = side * shape.patch_size
        images = torch.randn(8, shape.in_channels, px, px, generator=torch.Generator().manual_seed(0))
        difference = (ours.tokens(images) - theirs.get_intermediate_layers(images)[0]).abs().max()
        largest.append(float(difference))
        note = "" if side == shape.side else f" (positions resampled; ours in mode {shape.position})"
        print(f"  all tokens of 8 images of {px} px: largest difference {difference:.2g}{note}")
    return largest[0] <= LARGEST


if __name__ == "__main__":
    main()
