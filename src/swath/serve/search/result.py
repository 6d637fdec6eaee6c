"""What a search returns: tables for a reader, plain values for a program."""

from dataclasses import dataclass
from typing import Any

from swath.location import Location
from swath.results import Result

_COLUMNS = ("id", "similarity", "split", "labels", "acquired", "lon", "lat")
_GROUPS, _IDS = 20, 4  # on the terminal; --json has all


@dataclass(frozen=True)
class SearchResult(Result):
    """`found`: the tiles, most similar first, each with `similarity` (cosine) and what the archive knows of
    it. `searched` tiles of `tiles` passed the filters. `recall` is of an approximate index, against an exact
    search. `seconds` is of the search alone, once the index is open.
    """

    features: Location
    like: str
    tiles: int
    searched: int
    found: list[dict[str, Any]]
    method: str
    recall: float | None
    seconds: float
    out: tuple[Location, ...]

    def lines(self) -> list[str]:
        """A table, one line a tile."""
        among = "" if self.searched == self.tiles else f" that pass the filters, of {self.tiles:,} in all"
        how = (
            "every tile was compared"
            if self.recall is None
            else f"approximate index: {self.recall:.1%} of the true ones were found for tiles drawn at random"
        )
        head = f"the {len(self.found):,} tiles most like {self.like}, of {self.searched:,}{among} ({how})"
        return [head, "", *_table(self.found), *(f"written: {path}" for path in self.out)]


@dataclass(frozen=True)
class DuplicatesResult(Result):
    """`groups`, the largest first: `tiles` (ids), and `same_pixels`, whether the stored pixels are equal bit
    by bit (their checksums are). Within a group tiles are linked by `threshold`, directly or through others.
    """

    features: Location
    tiles: int
    threshold: float
    pairs: int
    in_groups: int
    groups: list[dict[str, Any]]
    seconds: float

    def lines(self) -> list[str]:
        """A line for each of the largest groups."""
        same = sum(group["same_pixels"] for group in self.groups)
        head = (
            f"{_groups(len(self.groups))} of near duplicates, {self.in_groups:,} of {self.tiles:,} tiles: "
            f"cosine of {self.threshold:g} or more, directly or through others; "
            f"{_groups(same)} with the same pixels throughout"
        )
        shown = [_group_line(group) for group in self.groups[:_GROUPS]]
        more = len(self.groups) - _GROUPS
        return [head, "", *shown, *([f"and {_groups(more, 'more ')}: --json has all"] if more > 0 else [])]


def _groups(count: int, which: str = "") -> str:
    return f"{count:,} {which}group{'s' * (count != 1)}"


def _group_line(group: dict[str, Any]) -> str:
    ids = group["tiles"]
    more = f" and {len(ids) - _IDS:,} more" if len(ids) > _IDS else ""
    return f"{len(ids):6,}  {'same pixels' if group['same_pixels'] else '':11}  {', '.join(ids[:_IDS])}{more}"


def _table(found: list[dict[str, Any]]) -> list[str]:
    """Columns that are empty everywhere are left out."""
    names = [name for name in _COLUMNS if any(tile.get(name) is not None for tile in found)]
    rows = [["", *names]] + [
        [str(place), *(_cell(tile.get(name)) for name in names)] for place, tile in enumerate(found, 1)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(names) + 1)]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return ", ".join(value) if isinstance(value, list) else str(value or "")
