"""One scene through a model: read ahead of the network, blended and written behind it.

Legend: B windows, C bands, Cg bands of a group, h x w pixels of a window in its resolution, S the network's
image side, K classes.
"""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from swath.errors import DataError
from swath.runtime.progress import Progress
from swath.serve.bundle.heads import Seen, probabilities
from swath.serve.bundle.model import Model
from swath.serve.predict.cells import CellMeans
from swath.serve.predict.maps import MapWriter
from swath.serve.predict.mosaic import Done, Mosaic
from swath.serve.predict.table import TileTable
from swath.serve.predict.threads import ahead, in_order, one_thread_each
from swath.serve.scene.reader import SceneReader
from swath.serve.scene.windows import Row, WindowGrid, cut_windows

# A processor does better with few: what a batch needs on its way to the network then lies in memory that is
# given out again. 13 bands of 120 px to 112 px: 2.1 ms a window by 64, 1.2 by 16 (one core of an AMD EPYC).
BATCH, _BATCH_OF_GPU = 16, 256
_DEPTH = 2  # batches that are read before they are asked for

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class _Batch:
    """Windows at `places` (y, x), `groups` their stored pixels (B, Cg, h, w); the `rows` that begin before or
    among them.
    """

    rows: list[Row]
    places: list[tuple[int, int]]
    groups: list[Tensor]


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
    with closing(_looked_at(model, reader, grid, model.backbone.of_images)) as looked_at:
        for batch, features in looked_at:
            for (y, x), feature in zip(
                batch.places, () if features is None else features.numpy(), strict=True
            ):
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

    def look(images: Tensor) -> Seen:
        return head.look(model.backbone, images)

    windows = 0
    with (
        MapWriter(folder, facts, reader.grid) as maps,
        closing(_looked_at(model, reader, grid, look)) as seen,
    ):
        painter = _Painter(model, reader, grid, maps, table)
        for batch, said in seen:
            painter.take(batch, said)
            windows += len(batch.places)
            progress.advance(len(batch.places))
        if windows:
            painter.end()
            maps.finish()
    return windows


def _looked_at(
    model: Model, reader: SceneReader, grid: WindowGrid, look: Callable[[Tensor], T]
) -> Generator[tuple[_Batch, T | None], None, None]:
    """Every batch in order, with what `look` says of its images (B, C, S, S): None where it has no window."""

    @torch.inference_mode()
    def said(batch: _Batch) -> tuple[_Batch, T | None]:
        if not batch.places:
            return batch, None
        found = look(model.backbone.images(batch.groups, reader.format))
        return replace(batch, groups=[]), found

    on_processor = model.backbone.device.type == "cpu"
    workers = torch.get_num_threads() if on_processor else 2  # one fills a GPU while the other waits for it
    read = ahead(_batches(reader, grid, BATCH if on_processor else _BATCH_OF_GPU), depth=_DEPTH)
    with (
        one_thread_each() if on_processor else nullcontext(),
        closing(read),
        closing(in_order(said, read, workers=workers)) as done,
    ):
        yield from done


def _batches(reader: SceneReader, grid: WindowGrid, batch_size: int) -> Iterator[_Batch]:
    """Windows are copied at once, so that the strip that they were cut from can go."""
    rows: list[Row] = []
    places: list[tuple[int, int]] = []
    groups: list[Tensor] = []
    for item in cut_windows(reader, grid):
        if isinstance(item, Row):
            rows.append(item)
            continue
        cut = [torch.from_numpy(pixels) for pixels in item.groups]
        groups = groups or [pixels.new_empty(batch_size, *pixels.shape) for pixels in cut]
        for together, pixels in zip(groups, cut, strict=True):
            together[len(places)] = pixels
        places.append((item.y, item.x))
        del item, cut, pixels
        if len(places) == batch_size:
            yield _Batch(rows, places, groups)
            rows, places, groups = [], [], []
    yield _Batch(rows, places, [together[: len(places)] for together in groups])


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
    def take(self, batch: _Batch, said: Seen | None) -> None:
        rows = {row.y: row for row in batch.rows}
        numbers_by_y: dict[int, list[int]] = {y: [] for y in rows}
        for number, (y, _) in enumerate(batch.places):
            numbers_by_y.setdefault(y, []).append(number)
        for y, numbers in sorted(numbers_by_y.items()):
            if y in rows:
                self._write(self._mosaic.begin_row(y, rows[y].holes))
            if said is not None and numbers:
                self._paint(y, [batch.places[number][1] for number in numbers], said.of(numbers))

    def _paint(self, y: int, xs: list[int], said: Seen) -> None:
        self._mosaic.add(y, xs, said.maps)
        if said.decisions is None:
            return
        for x, answer in zip(xs, probabilities(said.decisions, self._facts.task), strict=True):
            if self._grid.is_tile(y, x):
                self._table.add((x, y, self._grid.side_px, self._grid.side_px), answer)

    @torch.inference_mode()
    def end(self) -> None:
        self._write(self._mosaic.end())
        if self._cells is not None:
            self._cells.end(self._table)

    def _write(self, strips: Iterator[Done]) -> None:
        for done in strips:
            found = self._maps.write(done)
            if self._cells is not None:
                self._cells.add(done.top, found, done.blank, self._table)
