"""swath.load: the network of a bundle, its head, and how their pixels are read, in three lines of Python.

Legend: N tiles, C bands, H x W pixels of a tile, D numbers a feature, K classes, S the network's image side.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from swath.errors import DataError, UsageError
from swath.features.backbone import FrozenBackbone
from swath.location import S3Path, location
from swath.models.vit import VisionTransformer
from swath.models.weights import check_finite, load_backbone
from swath.serve.bundle import folder
from swath.serve.bundle.description import Description, Task
from swath.serve.bundle.heads import Head, head_of
from swath.serve.bundle.pixels import Tiles, grouped
from swath.serve.bundle.tile_files import tile_in

BATCH = 64
TilePaths = str | PathLike[str] | Sequence[str | PathLike[str]]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a head says of N tiles.

    `probabilities` are float32, (N, K) for heads of whole tiles and (N, K, H, W) for a segmentation; they add
    up to 1 over the classes, but for task "multilabel", where each is of its own. `classes` (N,) or (N, H, W)
    are the places in `class_names` of the likeliest.
    """

    class_names: tuple[str, ...]
    task: Task
    probabilities: Floats

    @property
    def classes(self) -> npt.NDArray[np.uint8]:
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.uint8)

    @property
    def labels(self) -> list[tuple[str, ...]]:
        """The names of each tile: the likeliest class, or every class above 0.5 of several.

        Raises:
            UsageError: the head says a class a pixel; look at `classes`.
        """
        if self.task == "segmentation":
            raise UsageError("a segmentation has no labels of whole tiles; use .classes, (N, H, W)")
        if self.task == "class":
            return [(self.class_names[k],) for k in self.classes]
        return [tuple(self.class_names[k] for k in np.flatnonzero(row > 0.5)) for row in self.probabilities]


class Model:
    """A network that no longer learns, made by `swath.load`.

    It takes tiles (N, C, H, W), or one tile (C, H, W), of numpy or torch: `bands` in this order, H = W =
    `tile_px` pixels of `gsd_m` metres (None where unknown), in the units that the network was trained on:
    values as they are stored in the imagery (for example Sentinel-2 reflectance x 10,000), neither scaled to
    0..1 nor standardised. `units` says type, low and high of each band. Bands of several resolutions are
    given by name, {"B04": (N, 120, 120), "B11": (N, 60, 60), ...}, and are then enlarged as in training.
    Pixels without data must be filled first (`swath predict` takes the mean of the band in the tile).
    """

    def __init__(self, about: Description, backbone: FrozenBackbone, head: Head | None, digest: str) -> None:
        self.about = about
        self.backbone = backbone
        self.head = head
        self.digest = digest

    @property
    def bands(self) -> tuple[str, ...]:
        return self.about.tiles.bands

    @property
    def gsd_m(self) -> float | None:
        return self.about.tiles.gsd_m

    @property
    def tile_px(self) -> int:
        return self.about.tiles.size_px

    @property
    def units(self) -> dict[str, tuple[str, float, float]]:
        """By band: the type of its pixels, and the values that become 0 and 1; others are clamped."""
        tiles = self.about.tiles
        kinds = {band: group.dtype for group in tiles.groups for band in group.bands}
        return {
            b: (kinds[b], low, high) for b, low, high in zip(tiles.bands, tiles.low, tiles.high, strict=True)
        }

    @property
    def dim(self) -> int:
        """Numbers a feature."""
        return self.about.dim

    @property
    def task(self) -> Task | None:
        return self.about.head.task if self.about.head else None

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.about.head.class_names if self.about.head else ()

    def embed(self, tiles: Tiles | TilePaths, *, batch_size: int = BATCH) -> Floats:
        """(N, C, H, W) or (C, H, W) stored values (see `Model`) -> features (N, D) float32.

        `tiles` may also be the path of a file that holds one tile (GeoTIFF, JPEG 2000, PNG, JPEG), of a
        folder with one file a band, or a list of N such paths. Bands are found by their names and resampled
        to `gsd_m`, and pixels without data filled, as `swath predict` does it.

        The numbers are those of `swath embed` for the same pixels.

        Raises:
            UsageError: nothing is at a path.
            DataError: tiles of other bands, another shape, type, resolution or unit; both sides are named.
        """
        seen = [self.backbone.of_images(images).numpy() for images in self._images(tiles, batch_size)]
        return np.concatenate(seen) if seen else np.empty((0, self.dim), np.float32)

    def predict(self, tiles: Tiles | TilePaths, *, batch_size: int = BATCH) -> Prediction:
        """What the head says of tiles as in `embed`; the numbers are those of `swath probe`.

        Raises:
            UsageError: the bundle has no head.
            DataError: as `embed`.
        """
        head = self.head
        if head is None:
            raise UsageError(
                "this bundle has no head: it gives features (embed). Bundle one with: swath bundle RUN "
                "--head probe-linear.json --out BUNDLE"
            )
        said = [
            head.answers(head.look(self.backbone, images), tile_px=self.tile_px)
            for images in self._images(tiles, batch_size)
        ]
        none = np.empty((0, len(self.class_names)), np.float32)
        return Prediction(self.class_names, head.task, np.concatenate(said) if said else none)

    def _images(self, tiles: Tiles | TilePaths, batch_size: int) -> Iterator[Tensor]:
        """Batches (B, C, S, S), standardised."""
        if isinstance(tiles, str | PathLike | Sequence):
            paths = [tiles] if isinstance(tiles, str | PathLike) else tiles
            yield from self._images_in([Path(path) for path in paths], batch_size)
            return
        groups, given = grouped(tiles, self.about.tiles)
        for start in range(0, len(groups[0]), batch_size):
            yield self.backbone.images([pixels[start : start + batch_size] for pixels in groups], given)

    def _images_in(self, paths: list[Path], batch_size: int) -> Iterator[Tensor]:
        for start in range(0, len(paths), batch_size):
            some = paths[start : start + batch_size]
            yield torch.cat([self.backbone.images(*tile_in(path, self.about.tiles)) for path in some])


def load(path: str | PathLike[str] | S3Path) -> Model:
    """The model of the bundle at `path`, here or on S3, every byte of which is compared with its manifest
    first.

    Raises:
        UsageError: there is no bundle at `path`.
        DataError: files are damaged, a line for each; or they do not fit together.
    """
    with folder.bundle_here(path if isinstance(path, S3Path) else location(path)) as here:
        return _loaded(here)


def _loaded(where: Path) -> Model:
    contents = folder.read_bundle(where)
    try:
        about = Description.from_json(_parsed(contents[folder.DESCRIPTION]))
        network = VisionTransformer(about.network, generator=torch.Generator().manual_seed(0))
        load_backbone(network, _tensors(contents, folder.BACKBONE))
        backbone = FrozenBackbone(network, about.tiles, about.weights, content=about.content)
        head = _head(about, contents)
    except (DataError, UsageError) as error:
        raise DataError(f"{where}: {error}") from error
    return Model(about, backbone, head, folder.digest_of(where))


def _head(about: Description, contents: dict[str, bytes]) -> Head | None:
    if (about.head is None) != (folder.HEAD not in contents):
        raise DataError(f"{folder.DESCRIPTION} and {folder.HEAD} do not go together")
    return head_of(about, _tensors(contents, folder.HEAD)) if about.head else None


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{folder.DESCRIPTION} is no JSON") from error


def _tensors(contents: dict[str, bytes], name: str) -> dict[str, Tensor]:
    try:
        tensors = safetensors.torch.load(contents[name])
    except (SafetensorError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{name} is not a whole safetensors file ({reason})") from error
    check_finite(tensors, where=name)
    return tensors
