"""Scenes cut into tiles: the rows of an index, with labels and the share of pixels without data."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data.bad_inputs import BadInput, BadInputs
from swath.data.fetched import LocalCopies
from swath.data.polygons import LabelPolygons, ScenePolygons
from swath.data.raster import read_window
from swath.data.windows import Grid, Strip, footprints
from swath.datasets.grouping import Group
from swath.datasets.layout import Asked
from swath.datasets.scene import Scene
from swath.errors import DataError
from swath.location import Location

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cut:
    """How scenes are cut and labelled."""

    source: Location
    copies: LocalCopies
    asked: Asked
    nodata: float | None
    polygons: LabelPolygons | None
    vocabulary: tuple[str, ...]

    @property
    def stride_px(self) -> int:
        return self.asked.tile_px if self.asked.stride_px is None else self.asked.stride_px

    def looks_at_pixels(self, scene: Scene) -> bool:
        """Whether pixels without data are possible, and so have to be counted."""
        return self.nodata is not None or "float32" in scene.dtypes

    def grid(self, scene: Scene) -> Grid:
        return scene.grid(self.asked.tile_px, self.stride_px)


@dataclass(frozen=True)
class Scenes:
    """All of them, and whether one that turns out to be damaged is left out."""

    scenes: list[Scene]
    cut: Cut
    skip: bool


def rows_of_all(
    given: Scenes, skipped: Counter[str], bad: BadInputs, *, looked_at: int
) -> Iterator[dict[str, Any]]:
    """Damage inside the pixels shows only here, where nodata is measured."""
    known = len(bad.found)
    with closing(given.cut.asked.engine.over(_cut, given, len(given.scenes), at_once=1)) as found:
        for rows in found:
            if isinstance(rows, Counter):
                skipped.update(rows)
            elif isinstance(rows, BadInput):
                bad.found.append(rows)
            else:
                yield from rows
    if len(bad.found) > known:
        bad.judge(looked_at=looked_at)


def _cut(given: Scenes, stretch: range) -> Iterator[list[dict[str, Any]] | Counter[str] | BadInput]:
    """The rows of each scene, some at a time, then why others were left out, or what is wrong with it."""
    cut = given.cut
    for scene in given.scenes[stretch.start : stretch.stop]:
        here: Counter[str] = Counter()
        try:  # a scene is left out whole, so its rows are held; where damage stops all, they need not be
            with cut.copies.of(scene.paths if cut.looks_at_pixels(scene) else ()) as folder:
                rows = _rows(scene, cut, folder, here)
                yield from [list(rows)] if given.skip else ([row] for row in rows)
        except DataError as error:
            yield BadInput(file_named_in(error, scene, cut.source), str(error))
        else:
            yield here


def _rows(scene: Scene, cut: Cut, folder: Path, skipped: Counter[str]) -> Iterator[dict[str, Any]]:
    grid = cut.grid(scene)
    here = None if cut.polygons is None else polygons_on(scene, cut.polygons)
    logger.debug(f"{scene.name}: {grid.width}x{grid.height} px, {len(grid.xs)} x {len(grid.ys)} tiles")
    common = {
        "paths": list(scene.paths),
        "width_px": grid.tile_px,
        "height_px": grid.tile_px,
        "sensor": scene.sensor,
        "gsd_m": scene.gsd_m,
        "crs": scene.crs,
        "acquired": scene.acquired,
    }
    for strip in grid.strips():
        blank = _nodata_shares(scene, cut, folder, strip)
        cover = None if here is None else here.shares(grid, strip, cut.vocabulary)
        ground = _strip_footprints(scene, grid, strip)
        for row, column in np.ndindex(len(strip.ys), len(grid.xs)):
            if blank is not None and blank[row, column] > cut.asked.max_nodata:
                skipped["nodata"] += 1
                continue
            x, y = grid.xs[column], strip.ys[row]
            yield {
                "id": f"{scene.name}_x{x}_y{y}",
                "x_px": x,
                "y_px": y,
                **common,
                **({} if cover is None else _labels(cover[row, column], cut)),
                "nodata_share": None if blank is None else float(blank[row, column]),
                "geometry": None if ground is None else ground[row, column],
            }


def _labels(shares: npt.NDArray[np.float32], cut: Cut) -> dict[str, Any]:
    held = [
        name
        for name, share in zip(cut.vocabulary, shares, strict=True)
        if share > 0 and share >= cut.asked.min_share
    ]
    unknown = not held and cut.asked.partial_labels
    return {"labels": None if unknown else held, "label_shares": shares.tolist()}


def _nodata_shares(scene: Scene, cut: Cut, folder: Path, strip: Strip) -> npt.NDArray[np.float32] | None:
    """Share of each tile in which all bands of the finest grid are nodata or NaN; None where none can be."""
    if not cut.looks_at_pixels(scene):
        return None
    grid = cut.grid(scene)
    size = (strip.height_px, grid.width)
    blank = np.ones(size, np.bool_)
    for number, px in enumerate(scene.band_px):
        if px != 1.0 or not blank.any():
            continue
        one_file = len(scene.paths) == 1
        pixels = read_window(
            folder / scene.paths[0 if one_file else number],
            bands=(number + 1 if one_file else 1,),
            window=(0, strip.top, grid.width, strip.height_px),
            out_px=size,
            max_pixels=cut.asked.max_pixels,
            root=folder,
        )[0]
        missing = np.isnan(pixels) if pixels.dtype.kind == "f" else np.zeros(size, np.bool_)
        blank &= missing if cut.nodata is None else missing | (pixels == cut.nodata)
    return grid.shares(blank, strip)


def _strip_footprints(scene: Scene, grid: Grid, strip: Strip) -> npt.NDArray[np.object_] | None:
    if scene.crs is None:
        return None
    x, y = np.meshgrid(np.asarray(grid.xs, float), np.asarray(strip.ys, float))
    side = np.full(x.size, float(grid.tile_px))
    windows = np.stack([x.ravel(), y.ravel(), side, side], axis=1)
    return footprints(scene.crs, scene.finest.transform, windows).reshape(x.shape)


def polygons_on(scene: Scene, polygons: LabelPolygons) -> ScenePolygons:
    if scene.crs is None:
        raise DataError(
            f"{scene.paths[0]} has no location, so polygons cannot label it. Georeference it first."
        )
    return polygons.on_scene(scene.crs, scene.finest.transform, (scene.finest.width, scene.finest.height))


def file_named_in(error: DataError, group: Group | Scene, source: Location) -> str:
    """Which file of the group is bad; messages begin with it."""
    return next((path for path in group.paths if str(error).startswith(f"{source / path} ")), group.paths[0])
