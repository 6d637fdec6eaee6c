"""Stage: does test touch train on the ground? A finding in numbers, and a map."""

import logging
import time
from dataclasses import dataclass
from typing import Any

import matplotlib.image
import numpy as np
import pyarrow as pa

from swath.config import AuditConfig
from swath.data.identical import identical_tiles
from swath.data.index import Index
from swath.data.store import TileStore
from swath.errors import UsageError
from swath.files import file_aside
from swath.geography.leaks import AUDITED, COLUMNS, Leaks, SplitLeaks, find_leaks
from swath.location import Location
from swath.pages.leak_map import leak_map
from swath.prepare.opening import beside, open_index_or_tiles
from swath.results import Result

log = logging.getLogger(__name__)

_ROWS = {
    "overlapping": "overlap a training tile",
    "overlapping_in_zone": "  in the same projection",
    "overlapping_across_zones": "  across projections",
    "touching": "touch or overlap one",
    "within": "within {within_m:,.0f} m of one",
    "same_place": "have the footprint of one",
    "same_place_another_date": "  on another date",
}


@dataclass(frozen=True)
class AuditResult(Result):
    """`splits`: see geography.leaks.SplitLeaks, by split; {} where no tile has a location. `identical`: tiles
    of each split whose pixels are those of a training tile; None for an index, which has no pixels.
    `without_location`: tiles of each split, train too, that no distance could be computed for.
    """

    out: Location | None
    tiles: int
    train: int
    without_split: int
    without_location: dict[str, int]
    tolerance_m: float | None
    within_m: float | None
    splits: dict[str, SplitLeaks]
    identical: dict[str, int] | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"splits": {name: found.to_json() for name, found in self.splits.items()}}

    def lines(self) -> list[str]:
        """The sentence that sums it up, a table with a column a split, and what else to know."""
        parts = ([self._verdict()], self._table(), self._notes())
        return [line for part in parts if part for line in ("", *part)][1:]

    def _verdict(self) -> str:
        leaks = [
            f"{found.touching:,} of {found.located:,} {name} tiles ({found.share_touching:.1%}) touch or "
            "overlap a training tile"
            for name, found in self.splits.items()
            if found.touching
        ]
        copies = [
            f"{count:,} {name} tiles have the pixels of a training tile"
            for name, count in (self.identical or {}).items()
            if count
        ]
        found = "; ".join(leaks + copies) + "." if leaks or copies else ""
        if not self.without_location:
            return found or "Clean: no tile touches a training tile."
        unknown = ", ".join(f"{count:,} {name}" for name, count in self.without_location.items())
        return f"{found} Cannot tell on the ground for {unknown} tiles: they have no location.".lstrip()

    def _table(self) -> list[str]:
        columns = [[name, *_column(found)] for name, found in self.splits.items()]
        if not columns:
            return []
        words = ["", "tiles", *(text.format(within_m=self.within_m) for text in _ROWS.values())]
        words += [f"gap to train, {name}" for name in next(iter(self.splits.values())).gap_m]
        if self.identical is not None:
            words.append("same pixels as a training tile")
            for column in columns:
                column.append(f"{self.identical.get(column[0], 0):,}")
        widths = [max(map(len, column)) for column in [words, *columns]]
        return [
            f"{row[0]:{widths[0]}}  "
            + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
            for row in zip(words, *columns, strict=True)
        ]

    def _notes(self) -> list[str]:
        notes = []
        if any(found.touching for found in self.splits.values()):
            notes.append(
                "To split so that test lies away from train: "
                f"swath split INDEX --out SPLIT --by blocks --gap-m {self.within_m:.0f}"
            )
        if not self.splits:
            notes.append("No tile has a location, so only pixels were compared.")
            notes += [
                f"{name}: {count:,} with the pixels of a training tile"
                for name, count in (self.identical or {}).items()
            ]
        if self.tolerance_m is not None:
            notes.append(f"Up to {self.tolerance_m:g} m count as touching, not as overlap.")
        if self.without_split:
            notes.append(
                f"{self.without_split:,} tiles have no split: pretraining draws from them, and they are "
                "not compared."
            )
        return notes + ([f"map: {self.out}"] if self.out else [])


def run(config: AuditConfig) -> AuditResult:
    """Compare test and val with train, and write the map.

    Raises:
        UsageError: there is nothing to compare.
        DataError: the index or pack is bad.
    """
    started = time.monotonic()
    opened = open_index_or_tiles(config.index)
    table = _table_of(opened)
    splits = np.asarray(table["split"].to_pylist(), dtype=object)
    identical = _identical(opened, splits) if isinstance(opened, TileStore) else None
    leaks = _leaks(table, config, has_pixels=identical is not None)
    out = _draw(leaks, splits, config) if leaks else None
    return AuditResult(
        out=out,
        tiles=len(splits),
        train=int((splits == "train").sum()),
        without_split=int(sum(split is None for split in splits)),
        without_location=_without_location(table, splits),
        tolerance_m=leaks.tolerance_m if leaks else None,
        within_m=leaks.within_m if leaks else None,
        splits=leaks.splits if leaks else {},
        identical=identical,
        seconds=time.monotonic() - started,
    )


def _table_of(opened: Index | TileStore) -> pa.Table:
    if isinstance(opened, Index):
        return opened.table.select(list(COLUMNS))
    types = {"split": pa.string(), "geometry": pa.binary(), "crs": pa.string(), "acquired": pa.date32()}
    known = opened.columns(*(name for name in COLUMNS if name in opened.column_names))
    for name in COLUMNS:
        if name not in known.column_names:
            known = known.append_column(name, pa.nulls(len(opened), types[name]))
    return known


def _without_location(table: pa.Table, splits: Any) -> dict[str, int]:
    missing = table["geometry"].is_null().to_numpy()
    counts = {name: int((missing & (splits == name)).sum()) for name in ("train", *AUDITED)}
    return {name: count for name, count in counts.items() if count}


def _identical(store: TileStore, splits: Any) -> dict[str, int]:
    train = splits == "train"
    return {
        name: int(identical_tiles(store, splits == name, train).sum())
        for name in AUDITED
        if (splits == name).any()
    }


def _leaks(table: pa.Table, config: AuditConfig, *, has_pixels: bool) -> Leaks | None:
    """None where there are only pixels to compare."""
    if table["geometry"].null_count < len(table):
        return find_leaks(table, within_m=config.within_m)
    if not has_pixels:
        raise UsageError(
            f"no tile of {config.index} has a location, and an index has no pixels to compare. "
            f"Type: swath pack {config.index} --out tiles.lance, then swath audit tiles.lance"
        )
    if config.within_m is not None or config.out is not None:
        raise UsageError(
            f"no tile of {config.index} has a location: --within-m and --out have no effect here."
        )
    return None


def _draw(leaks: Leaks, splits: Any, config: AuditConfig) -> Location:
    out = config.out or beside(config.index, "audit.png")
    picture = leak_map(leaks, leaks.places.of(splits == "train"))
    with file_aside(out) as aside:
        matplotlib.image.imsave(aside, picture, format="png")
    return out


def _column(found: SplitLeaks) -> list[str]:
    counts = [getattr(found, name) for name in _ROWS]
    cells = [f"{count:,}" + (f" ({count / max(found.located, 1):5.1%})") for count in counts]
    return [f"{found.located:,}", *cells, *(f"{metres:,.0f} m" for metres in found.gap_m.values())]
