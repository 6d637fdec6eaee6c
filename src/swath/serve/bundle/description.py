"""bundle.json: what a bundle is, in values that a program of another language can read too."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from swath.data.bands import TileFormat
from swath.errors import DataError
from swath.features.backbone import Weights
from swath.features.content import Content
from swath.models.vit import ViTShape

FORMAT = 1
Task = Literal["class", "multilabel", "segmentation"]
Scores = dict[str, list[float]]


@dataclass(frozen=True)
class HeadFacts:
    """What a head tells apart, and how well it did: `scores` are [value, low, high] on `n_test` test tiles.

    `split` is the digest of the split that it was fitted and tested on.
    """

    task: Task
    class_names: tuple[str, ...]
    split: str
    scores: Scores
    n_train: int
    n_test: int


@dataclass(frozen=True)
class Description:
    """`tiles` is the preprocessing contract: bands in order, pixel types, range, mean, std, gsd, side.

    `content` is what a feature is made of. `attribution` and `licence` are those of the imagery.
    """

    name: str
    network: ViTShape
    tiles: TileFormat
    content: Content
    weights: Weights
    head: HeadFacts | None
    attribution: str
    licence: str
    made_by: str

    @property
    def dim(self) -> int:
        return self.content.dim(self.network.width)

    def to_json(self) -> dict[str, Any]:
        return {"swath_bundle": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read a bundle.json.

        Raises:
            DataError: of another version, or not whole; says what is missing or odd.
        """
        if not isinstance(value, Mapping) or "swath_bundle" not in value:
            raise DataError("bundle.json does not begin as that of a bundle")
        if value["swath_bundle"] != FORMAT:
            raise DataError(f"a bundle of version {value['swath_bundle']}; this swath reads version {FORMAT}")
        try:
            found = cls(
                name=str(value["name"]),
                network=ViTShape.from_json(value["network"]),
                tiles=TileFormat.from_json(value["tiles"]),
                content=Content(**value["content"]),
                weights=Weights(**value["weights"]),
                head=_head(value["head"]),
                attribution=str(value["attribution"]),
                licence=str(value["licence"]),
                made_by=str(value["made_by"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError(f"bundle.json is not whole ({type(error).__name__}: {error})") from error
        _check(found)
        return found


def _head(value: Any) -> HeadFacts | None:
    return None if value is None else HeadFacts(**{**value, "class_names": tuple(value["class_names"])})


def _check(found: Description) -> None:
    tiles, network = found.tiles, found.network
    if len(tiles.bands) != network.in_channels:
        raise DataError(f"the network sees {network.in_channels} bands, the contract has {len(tiles.bands)}")
    columns = zip(tiles.bands, tiles.low, tiles.high, tiles.mean, tiles.std, strict=True)
    for band, low, high, mean, std in columns:
        if not all(map(math.isfinite, (low, high, mean, std))) or high <= low or std <= 0:
            raise DataError(f"band {band} has low {low}, high {high}, mean {mean}, std {std}")
    if not 1 <= found.content.blocks <= network.depth:
        raise DataError(f"features of {found.content.blocks} blocks, and the network has {network.depth}")
    if found.head is not None and len(set(found.head.class_names)) < 2:
        raise DataError(f"the head tells {len(set(found.head.class_names))} classes apart")
