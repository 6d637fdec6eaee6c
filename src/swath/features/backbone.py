"""A network that no longer learns: from the stored pixels of tiles to their features.

Legend: B tiles, C bands, Cg bands of a group, H x W pixels of a tile.
"""

import copy
import functools
import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from swath.data.bands import TRUE_COLOUR, TileFormat, check_same_input, true_colour
from swath.data.normalize import resized, standardize, to_unit
from swath.errors import DataError, UsageError
from swath.features.content import Content
from swath.location import absolute
from swath.models.vit import VisionTransformer, ViTShape
from swath.models.weights import check_finite, load_backbone
from swath.runtime.checkpoint import Checkpoint, digest
from swath.runtime.device import autocast, choose_device, choose_precision
from swath.runtime.run import Run

Scale = Literal["run", "tiles", "photo"]

# In the widest layer, of the images that a processor takes at a time. ViT-S/16 at 224 px, one core of an AMD
# EPYC: 64 images take 2.06 s by 16 and 2.75 s at once, 0.63 s of it the system's, to find new pages.
_MOST_NUMBERS = 2**22


@dataclass(frozen=True)
class Weights:
    """Which weights, so that features can be matched to them: checkpoint digest, step, whose, and, where
    they have one, the folder of their run and the digest of the split that it learned by.
    """

    checkpoint: str
    step: int
    whose: str
    run: str | None = None
    split: str | None = None


class FrozenBackbone:
    """A network and the tile format it was trained on, on the device of this process.

    `scale` says how stored pixels become what it sees: by the statistics of the training tiles ("run"), by
    those of the tiles it is given ("tiles": another data set), or as a photograph ("photo": red, green and
    blue, found in the tiles by name, in [0, 1], then the statistics of the weights).
    """

    def __init__(
        self,
        network: VisionTransformer,
        trained: TileFormat,
        weights: Weights,
        *,
        content: Content | None = None,
        scale: Scale = "run",
    ) -> None:
        self.device = choose_device()
        self.precision = choose_precision("auto", self.device)
        self.network = network.to(self.device).eval().requires_grad_(requires_grad=False)
        self.trained = trained
        self.weights = weights
        self.content = content or Content()
        self.scale: Scale = scale

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process puts the network on its own device."""
        network = copy.deepcopy(self.network).cpu()
        again = functools.partial(FrozenBackbone, content=self.content, scale=self.scale)
        return again, (network, self.trained, self.weights)

    @property
    def dim(self) -> int:
        return self.content.dim(self.network.shape.width)

    @property
    def file_tag(self) -> str:
        """What tells the file of its features from those of another content or scale; '' for the usual."""
        return self.content.file_tag + ("-other-data" if self.scale == "tiles" else "")

    def features(self, groups: list[Tensor], given: TileFormat) -> Tensor:
        """Stored pixels, one (B, Cg, h, w) a group of `given`, to (B, dim) float32 on the CPU."""
        return self.of_images(self.images(groups, given))

    def images(self, groups: list[Tensor], given: TileFormat) -> Tensor:
        """Stored pixels, one (B, Cg, h, w) a group of `given`, to standardised (B, C, S, S) on the device."""
        return self.standardized(resized(self.unit(groups, given), self.image_px), given)

    @property
    def image_px(self) -> int:
        """The side that the network's positions were learned for; tiles are resized to it."""
        return self.network.shape.image_px

    def unit(self, groups: list[Tensor], given: TileFormat) -> Tensor:
        """Stored pixels to (B, C, H, W) in [0, 1], in the bands of the network."""
        if self.scale == "run":
            given = replace(self.trained, groups=given.groups, gsd_m=given.gsd_m)
        unit = to_unit(groups, given, device=self.device)
        return unit[:, list(true_colour(given.bands))] if self.scale == "photo" else unit

    def standardized(self, unit: Tensor, given: TileFormat) -> Tensor:
        return standardize(unit, given if self.scale == "tiles" else self.trained)

    @torch.inference_mode()
    def of_images(self, images: Tensor) -> Tensor:
        """(B, C, H, W), standardised, to (B, dim) float32 on the CPU."""
        parts = torch.split(images, self._at_once(images))
        return torch.cat([self.content.joined(self.tokens(part)).cpu() for part in parts])

    def _at_once(self, images: Tensor) -> int:
        """A processor takes few at a time, so that what they need lies in memory that is given out again."""
        if self.device.type != "cpu":
            return len(images)
        shape = self.network.shape
        tokens = images.shape[2] * images.shape[3] // shape.patch_size**2
        return max(1, _MOST_NUMBERS // int(tokens * shape.width * shape.mlp_ratio))

    @torch.inference_mode()
    def tokens(self, images: Tensor) -> list[Tensor]:
        """(B, C, H, W), standardised, to what features are made of: see `Content.taken`."""
        with autocast(self.device, self.precision):
            return self.content.taken(self.network, images)

    def with_content(self, content: Content) -> "FrozenBackbone":
        return FrozenBackbone(self.network, self.trained, self.weights, content=content, scale=self.scale)

    def is_scaled_alike(self, given: TileFormat) -> bool:
        """Whether the statistics and the resolution of `given` are those of the run."""
        return replace(self.trained, groups=given.groups) == given

    def for_other_data(self, given: TileFormat, *, where: str) -> "FrozenBackbone":
        """The same network for tiles of another data set; see `scale`.

        Raises:
            UsageError: these are the tiles of the run, or packed just like them.
        """
        if self.is_scaled_alike(given):
            raise UsageError(
                f"--other-data changes nothing: {where} has the statistics of the run; leave it out"
            )
        return FrozenBackbone(self.network, self.trained, self.weights, content=self.content, scale="tiles")

    def check_fits(self, given: TileFormat, *, where: str) -> None:
        """Refuse tiles that the network was not trained for.

        Raises:
            DataError: other bands, another pixel type, or another ground resolution (unless `scale` allows).
        """
        if self.scale == "photo":
            check_colours(given.bands, where=where)
            return
        check_same_input(
            self.trained if self.scale == "run" else replace(self.trained, gsd_m=None), given, where=where
        )
        trained, found = _types(self.trained), _types(given)
        for band in self.trained.bands:
            if trained[band] != found[band]:
                raise DataError(
                    f"{where} holds band {band} as {found[band]}; the run was trained on {trained[band]}, so "
                    "its scale does not fit. Pack the same product that the run was trained on."
                )


def check_colours(bands: tuple[str, ...], *, where: str) -> None:
    """Refuse tiles in which red, green and blue cannot be told by their names.

    Raises:
        DataError: says which bands there are.
    """
    if tuple(bands[i] for i in true_colour(bands)) not in TRUE_COLOUR:
        raise DataError(
            f"{where} has bands {','.join(bands)}; weights of photographs need red, green and blue, named "
            f"{' or '.join(','.join(names) for names in TRUE_COLOUR)}. Pack these, or leave out --weights."
        )


def open_backbone(run: Run, *, whose: str = "teacher", content: Content | None = None) -> FrozenBackbone:
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
    weights = Weights(
        digest(checkpoint.path),
        checkpoint.step,
        whose,
        run=absolute(run.address),
        split=checkpoint.state.get("split_digest"),
    )
    return FrozenBackbone(network, trained, weights, content=content)


def untrained(backbone: FrozenBackbone, *, seed: int = 0) -> FrozenBackbone:
    """The same network as it is before any training: fresh weights from `seed`."""
    shape, trained = backbone.network.shape, backbone.trained
    network = VisionTransformer(shape, generator=torch.Generator().manual_seed(seed))
    described = json.dumps([seed, shape.to_json(), trained.to_json()], sort_keys=True)
    name = hashlib.sha256(described.encode()).hexdigest()
    weights = Weights(name, 0, f"untrained, seed {seed}")
    return FrozenBackbone(network, trained, weights, content=backbone.content, scale=backbone.scale)


def _described(checkpoint: Checkpoint) -> tuple[ViTShape, TileFormat]:
    missing = [name for name in ("vit", "tiles") if name not in checkpoint.state]
    if missing:
        raise DataError(
            f"{checkpoint.path} does not say its {missing[0]}; was it written by another version?"
        )
    return ViTShape.from_json(checkpoint.state["vit"]), TileFormat.from_json(checkpoint.state["tiles"])


def _types(tile_format: TileFormat) -> dict[str, str]:
    return {band: group.dtype for group in tile_format.groups for band in group.bands}
