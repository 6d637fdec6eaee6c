"""What the ways of packing share: the result, and what happens to bad tiles."""

import time
from dataclasses import dataclass
from typing import Any

from swath.config import PackConfig
from swath.data.bad_inputs import BadPolicy
from swath.data.bands import BandGroup
from swath.data.index import IndexInfo
from swath.data.store import tile_bytes
from swath.location import Location
from swath.results import Result


@dataclass(frozen=True)
class PackResult(Result):
    """`bytes` are of pixels, as stored; `skipped` counts bad tiles that were left out."""

    out: Location
    tiles: int
    skipped: int
    bands: tuple[str, ...]
    size_px: int
    bytes: int
    seconds: float
    tiles_per_s: float
    mb_per_s: float

    @property
    def next_command(self) -> str:
        return f"swath pretrain {self.out} --out runs/first --minutes 60"


@dataclass(frozen=True)
class Count:
    """Tiles that were written, bad ones that were not, and those that an earlier try wrote."""

    tiles: int
    skipped: int
    before: int = 0


def pack_result(
    config: PackConfig, bands: tuple[str, ...], groups: tuple[BandGroup, ...], count: Count, started: float
) -> PackResult:
    """`started` is of time.monotonic; rates are of this try."""
    seconds = time.monotonic() - started
    return PackResult(
        out=config.out,
        tiles=count.tiles,
        skipped=count.skipped,
        bands=bands,
        size_px=max(group.size_px for group in groups),
        bytes=count.tiles * tile_bytes(groups),
        seconds=seconds,
        tiles_per_s=(count.tiles - count.before) / seconds,
        mb_per_s=(count.tiles - count.before) * tile_bytes(groups) / 1e6 / seconds,
    )


def about(info: IndexInfo) -> dict[str, Any]:
    """What a pack keeps of it, to show where its tiles come from."""
    held = info.to_json()
    return {name: held[name] for name in ("layout", "root", "tile_px", "stride_px", "licence", "attribution")}


def bad_tiles(config: PackConfig) -> BadPolicy:
    """What `config` says about them."""
    listing = config.out.with_name(f"{config.out.stem}.bad_tiles.csv")
    return BadPolicy("--on-bad-tile", config.on_bad_tile == "skip", config.max_bad, listing)
