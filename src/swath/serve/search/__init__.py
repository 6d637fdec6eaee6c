"""Stage: features -> the tiles most like one tile, place or picture, or groups of near duplicates."""

import time
from typing import Any

import numpy as np

from swath.config import SearchConfig
from swath.copies import file_here
from swath.features.table import Rows
from swath.location import Location
from swath.serve.search.archive import Archive
from swath.serve.search.duplicates import near_duplicates
from swath.serve.search.files import check_outputs, write_table
from swath.serve.search.filters import allowed_rows
from swath.serve.search.pixels import ArchivePixels
from swath.serve.search.query import Query, read_query
from swath.serve.search.result import DuplicatesResult, SearchResult
from swath.serve.search.sheet import Cell, write_sheet

__all__ = ["DuplicatesResult", "SearchResult", "run"]


def run(config: SearchConfig) -> SearchResult | DuplicatesResult:
    """Find the tiles most like `config.like`, or those that are like each other.

    Raises:
        UsageError: nothing of that name or at that place; a filter leaves nothing; an output cannot be made.
        DataError: the features are damaged or of another version; a picture does not fit the run.
        MachineError: the disk is full, or another process makes the index.
    """
    with file_here(config.features) as features:
        keeps_index = features == config.features
        return _searched(config, Archive(features, exact=config.exact, keeps_index=keeps_index))


def _searched(config: SearchConfig, archive: Archive) -> SearchResult | DuplicatesResult:
    allowed = allowed_rows(archive, config)
    if config.like is None:
        return _duplicates(archive, allowed, config)
    check_outputs(config.out, archive)
    pixels = ArchivePixels.of(archive, config.tiles) if _wants_sheet(config) else None
    query = read_query(config.like, archive, run=config.run)
    recall = archive.open_index(config.k + 1, among=allowed)
    started = time.perf_counter()
    rows, found = _found(archive, query, k=config.k, among=allowed)
    seconds = time.perf_counter() - started
    for path in config.out:
        if path.suffix == ".png":
            assert pixels is not None
            _write_sheet(path, pixels, query, rows, found)
        else:
            write_table(path, archive, rows, found)
    return SearchResult(
        features=config.features,
        like=query.name,
        tiles=len(archive),
        searched=len(archive) if allowed is None else len(allowed),
        found=found,
        method="exact" if recall is None else "approximate",
        recall=recall,
        seconds=seconds,
        out=config.out,
    )


def _wants_sheet(config: SearchConfig) -> bool:
    return any(path.suffix == ".png" for path in config.out)


def _found(
    archive: Archive, query: Query, *, k: int, among: Rows | None
) -> tuple[Rows, list[dict[str, Any]]]:
    """The tile that was asked about is not among its own neighbours."""
    near = archive.nearest(query.feature[None], k=k + 1, among=among)
    others = near.rows[0] != query.row
    rows, similarities = near.rows[0][others][:k], near.similarities[0][others][:k]
    return rows, [
        {"id": tile["id"], "similarity": round(float(similarity), 4), **tile}
        for similarity, tile in zip(similarities, archive.describe(rows), strict=True)
    ]


def _write_sheet(
    path: Location, pixels: ArchivePixels, query: Query, rows: Rows, found: list[dict[str, Any]]
) -> None:
    asked = pixels.of_picture(query.picture) if query.picture else pixels.of_rows(np.asarray([query.row]))[0]
    cells = [
        Cell(rgb, f"{tile['similarity']:.4f}", ", ".join(tile["labels"] or ()) or tile["id"])
        for rgb, tile in zip(pixels.of_rows(rows), found, strict=True)
    ]
    words = ", ".join(query.labels) or query.name
    write_sheet(path, Cell(asked, "query", words), cells, title=f"most like {query.name}")


def _duplicates(archive: Archive, allowed: Rows | None, config: SearchConfig) -> DuplicatesResult:
    started = time.perf_counter()
    found = near_duplicates(archive.path, tiles=len(archive), threshold=config.threshold, among=allowed)
    ids, pixels = archive.tiles["id"], archive.tiles["crc32"].to_numpy()
    groups = [
        {
            "tiles": ids.take(rows).to_pylist(),
            "same_pixels": bool(np.isfinite(pixels[rows]).all() and (pixels[rows] == pixels[rows[0]]).all()),
        }
        for rows in found.groups
    ]
    return DuplicatesResult(
        features=config.features,
        tiles=len(archive) if allowed is None else len(allowed),
        threshold=config.threshold,
        pairs=found.pairs,
        in_groups=sum(map(len, found.groups)),
        groups=groups,
        seconds=time.perf_counter() - started,
    )
