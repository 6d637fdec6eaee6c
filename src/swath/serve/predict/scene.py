"""One scene through a model: read ahead of the network, blended and written behind it.

Legend: B windows, C bands, S the network's image side, K classes, W columns of the scene.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from swath.errors import DataError
from swath.runtime.progress import Progress
from swath.serve.bundle.heads import Seen, probabilities
from swath.serve.bundle.model import Model
from swath.serve.predict.cells import CellMeans
from swath.serve.predict.maps import MapWriter, maps_in
from swath.serve.predict.mosaic import Done, Mosaic
from swath.serve.predict.table import TileTable
from swath.serve.predict.threads import Behind, ahead
from swath.serve.scene.reader import SceneReader
from swath.serve.scene.windows import CutWindow, Row, WindowGrid, cut_windows

BATCH = 64
_DEPTH = 3  # batches that are ready, and as many that wait to be written


@dataclass(frozen=True, eq=False)
class _Batch:
    """Windows at `places` (y, x), ready for the network; the `rows` that begin before or among them."""

    rows: list[Row]
    places: list[tuple[int, int]]
    images: Tensor | None


@dataclass(frozen=True, eq=False)
class _Said:
    batch: _Batch
    seen: Seen | None


@dataclass(frozen=True)
class SceneCount:
    """`windows` were looked at, `blank` ones left out; `tiles` are rows of the table."""

    windows: int
    blank: int
    tiles: int
    seconds: float


def predict_scene(model: Model, reader: SceneReader, folder: Path, *, parts: int) -> SceneCount:
    """Write the maps and the table of a scene to `folder`.

    Raises:
        DataError: pixels cannot be decoded, are in another unit, or hold no data at all.
        MachineError: the disk is full.
    """
    started = time.perf_counter()
    grid = WindowGrid.over(reader, model.tile_px, parts=parts if model.head else 1)
    table = TileTable(reader.name, model.about, reader.grid)
    with Progress(len(grid), unit="windows", label=reader.name) as progress:
        if model.head is None:
            windows = _embedded(model, reader, grid, table, progress)
        else:
            windows = _mapped(model, reader, grid, table, (folder, progress))
    if not windows:
        raise DataError(f"{reader.name} holds no tile with data in every band; nothing can be said of it.")
    table.write(folder / "tiles.parquet", digest=model.digest)
    return SceneCount(windows, len(grid) - windows, len(table), time.perf_counter() - started)


def _embedded(
    model: Model, reader: SceneReader, grid: WindowGrid, table: TileTable, progress: Progress
) -> int:
    windows = 0
    for batch in ahead(_batches(model, reader, grid), depth=_DEPTH):
        if batch.images is None:
            continue
        for (y, x), feature in zip(batch.places, model.backbone.of_images(batch.images).numpy(), strict=True):
            table.add((x, y, grid.side_px, grid.side_px), feature)
        windows += len(batch.places)
        progress.advance(len(batch.places))
    return windows


def _mapped(
    model: Model, reader: SceneReader, grid: WindowGrid, table: TileTable, to: tuple[Path, Progress]
) -> int:
    folder, progress = to
    head, facts = model.head, model.about.head
    assert head is not None
    assert facts is not None
    windows = 0
    with maps_in(folder, facts, reader.grid) as maps:
        behind = _Painter(model, reader, grid, maps, table)
        with Behind(behind.take, depth=_DEPTH) as painter:
            for batch in ahead(_batches(model, reader, grid), depth=_DEPTH):
                seen = None if batch.images is None else head.look(model.backbone, batch.images)
                painter.put(_Said(batch, seen))
                windows += len(batch.places)
                progress.advance(len(batch.places))
        if windows:
            behind.end()
            maps.finish()
    return windows


def _batches(model: Model, reader: SceneReader, grid: WindowGrid) -> Iterator[_Batch]:
    rows: list[Row] = []
    held: list[CutWindow] = []
    with torch.inference_mode():
        for item in cut_windows(reader, grid):
            if isinstance(item, Row):
                rows.append(item)
                continue
            held.append(item)
            if len(held) == BATCH:
                yield _ready(model, reader, rows, held)
                rows, held = [], []
        yield _ready(model, reader, rows, held)


def _ready(model: Model, reader: SceneReader, rows: list[Row], held: list[CutWindow]) -> _Batch:
    places = [(window.y, window.x) for window in held]
    if not held:
        return _Batch(rows, places, None)
    stacked = [torch.from_numpy(np.stack(part)) for part in zip(*(w.groups for w in held), strict=True)]
    return _Batch(rows, places, model.backbone.images(stacked, reader.format))


class _Painter:
    """What goes on behind the network: windows to strips, strips to files, tiles to rows of the table."""

    def __init__(
        self, model: Model, reader: SceneReader, grid: WindowGrid, maps: MapWriter, table: TileTable
    ) -> None:
        assert model.about.head is not None
        self._facts, self._grid = model.about.head, grid
        self._maps, self._table = maps, table
        self._mosaic = Mosaic(
            num_classes=len(self._facts.class_names), side_px=grid.side_px, width=reader.grid.width
        )
        self._cells = CellMeans(grid.side_px) if self._facts.task == "segmentation" else None

    @torch.inference_mode()
    def take(self, said: _Said) -> None:
        rows = {row.y: row for row in said.batch.rows}
        assert said.seen is not None or not said.batch.places
        numbers_by_y: dict[int, list[int]] = {y: [] for y in rows}
        for number, (y, _) in enumerate(said.batch.places):
            numbers_by_y.setdefault(y, []).append(number)
        for y, numbers in sorted(numbers_by_y.items()):
            if y in rows:
                self._write(self._mosaic.begin_row(y, rows[y].holes))
            if numbers and said.seen is not None:
                self._paint(y, numbers, said)

    def _paint(self, y: int, numbers: list[int], said: _Said) -> None:
        assert said.seen is not None
        assert said.seen.maps is not None
        xs = [said.batch.places[number][1] for number in numbers]
        self._mosaic.add(y, xs, said.seen.maps[numbers])
        if said.seen.decisions is None:
            return
        answers = probabilities(said.seen.decisions[numbers], self._facts.task)
        for x, answer in zip(xs, answers, strict=True):
            if self._grid.is_tile(y, x):
                self._table.add((x, y, self._grid.side_px, self._grid.side_px), answer)

    @torch.inference_mode()
    def end(self) -> None:
        self._write(self._mosaic.end())
        if self._cells is not None:
            self._cells.end(self._table)

    def _write(self, done: Done | None) -> None:
        if done is None:
            return
        found = self._maps.write(done)
        if self._cells is not None:
            self._cells.add(done.top, found, done.blank, self._table)
