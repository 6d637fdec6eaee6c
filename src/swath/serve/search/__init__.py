"""Stage: features -> the tiles most like one tile, place or picture."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.config import SearchConfig
from swath.results import Result
from swath.serve.search.archive import Archive
from swath.serve.search.query import Query, read_query

_COLUMNS = ("id", "similarity", "split", "labels", "acquired", "lon", "lat")


@dataclass(frozen=True)
class SearchResult(Result):
    """`found`: the tiles, most similar first, each with `similarity` (cosine) and what the archive knows of
    it. `seconds` is of the search alone, once the features are in memory.
    """

    features: Path
    like: str
    tiles: int
    found: list[dict[str, Any]]
    seconds: float

    def lines(self) -> list[str]:
        """A table, one line a tile."""
        return [
            f"the {len(self.found)} tiles most like {self.like}, of {self.tiles:,}",
            "",
            *_table(self.found),
        ]


def run(config: SearchConfig) -> SearchResult:
    """Find the tiles most like `config.like`.

    Raises:
        UsageError: nothing of that name or at that place.
        DataError: the features are damaged, or of another version.
    """
    assert config.like is not None
    archive = Archive(config.features)
    query = read_query(config.like, archive)
    archive.nearest(query.feature[None], k=1)  # reads the features
    started = time.perf_counter()
    found = _found(archive, query, k=config.k)
    return SearchResult(
        features=config.features,
        like=query.name,
        tiles=len(archive),
        found=found,
        seconds=time.perf_counter() - started,
    )


def _found(archive: Archive, query: Query, *, k: int) -> list[dict[str, Any]]:
    """The tile that was asked about is not among its own neighbours."""
    near = archive.nearest(query.feature[None], k=k + 1)
    others = near.rows[0] != query.row
    rows, similarities = near.rows[0][others][:k], near.similarities[0][others][:k]
    return [
        {"similarity": round(float(similarity), 4), **tile}
        for similarity, tile in zip(similarities, archive.describe(rows), strict=True)
    ]


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
