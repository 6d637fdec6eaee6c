"""A network that no longer learns: from the stored pixels of tiles to their features.

A feature is the class token and the mean of the patch tokens after the last block, one after the other.
Legend: B tiles, C bands, H x W pixels of a tile, S the network's own image side, T tokens, D = 2 x width.
"""

import hashlib
import json
import logging
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from swath.data.bands import TileFormat, check_same_input
from swath.data.normalize import resized, standardize, to_unit
from swath.errors import DataError
from swath.models.vit import VisionTransformer, ViTShape
from swath.models.weights import check_finite, load_backbone
from swath.runtime.checkpoint import Checkpoint, digest
from swath.runtime.device import choose_device
from swath.runtime.run import Run

log = logging.getLogger(__name__)

CONTENT = "class token and mean of the patch tokens of the last block"


@dataclass(frozen=True)
class Weights:
    """Which weights, so that features can be matched to them: checkpoint digest, step, and whose."""

    checkpoint: str
    step: int
    whose: str


class FrozenBackbone:
    """A network and the tile format it was trained on, on the device of this process."""

    def __init__(self, network: VisionTransformer, trained: TileFormat, weights: Weights) -> None:
        self.device = choose_device()
        self.network = network.to(self.device).eval().requires_grad_(requires_grad=False)
        self.trained = trained
        self.weights = weights

    @property
    def dim(self) -> int:
        return 2 * self.network.shape.width

    @torch.inference_mode()
    def features(self, groups: list[Tensor], given: TileFormat) -> Tensor:
        """Stored pixels, one (B, Cg, h, w) a group of `given`, to (B, D) float32 on the CPU.

        Pixels are scaled by the statistics of the training tiles, and tiles resized to the side that the
        network's positions were learned for (the global view).
        """
        seen = replace(self.trained, groups=given.groups, gsd_m=given.gsd_m)
        images = to_unit(groups, seen, device=self.device)  # (B, C, H, W)
        images = resized(images, self.network.shape.image_px)
        tokens = self.network.tokens(standardize(images, seen))  # (B, T, D / 2)
        return torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1).float().cpu()

    def check_fits(self, given: TileFormat, *, where: str) -> None:
        """Refuse tiles that the network was not trained for.

        Raises:
            DataError: other bands, another ground resolution, or another pixel type.
        """
        check_same_input(self.trained, given, where=where)
        trained, found = _types(self.trained), _types(given)
        for band in self.trained.bands:
            if trained[band] != found[band]:
                raise DataError(
                    f"{where} holds band {band} as {found[band]}; the run was trained on {trained[band]}, so "
                    "its scale does not fit. Pack the same product that the run was trained on."
                )


def open_backbone(run: Run, *, whose: str = "teacher") -> FrozenBackbone:
    """The backbone of the newest whole checkpoint of a run; `whose` is teacher or student.

    Raises:
        DataError: no checkpoint, or one without these weights or with numbers that are not finite.
    """
    checkpoint = run.checkpoint()
    shape, trained = _described(checkpoint)
    tensors = checkpoint.tensors.get(whose, {})
    backbone = {name: tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
    if not backbone:
        raise DataError(
            f"{checkpoint.path} has no backbone of the {whose}; it holds {', '.join(checkpoint.tensors)}."
        )
    check_finite(backbone, where=f"{checkpoint.path}, {whose},")
    network = VisionTransformer(shape)
    load_backbone(network, backbone)
    return FrozenBackbone(network, trained, Weights(digest(checkpoint.path), checkpoint.step, whose))


def untrained(backbone: FrozenBackbone, *, seed: int = 0) -> FrozenBackbone:
    """The same network as it is before any training: fresh weights from `seed`."""
    shape, trained = backbone.network.shape, backbone.trained
    network = VisionTransformer(shape, generator=torch.Generator().manual_seed(seed))
    described = json.dumps([seed, shape.to_json(), trained.to_json()], sort_keys=True)
    name = hashlib.sha256(described.encode()).hexdigest()
    return FrozenBackbone(network, trained, Weights(name, 0, f"untrained, seed {seed}"))


def _described(checkpoint: Checkpoint) -> tuple[ViTShape, TileFormat]:
    missing = [name for name in ("vit", "tiles") if name not in checkpoint.state]
    if missing:
        raise DataError(
            f"{checkpoint.path} does not say its {missing[0]}; was it written by another version?"
        )
    return ViTShape.from_json(checkpoint.state["vit"]), TileFormat.from_json(checkpoint.state["tiles"])


def _types(tile_format: TileFormat) -> dict[str, str]:
    return {band: group.dtype for group in tile_format.groups for band in group.bands}
