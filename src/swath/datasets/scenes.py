"""Scenes: rasters of any size, one file or one file a band, cut into tiles by window."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath import storage
from swath.data.bad_inputs import BadInputs
from swath.data.fetched import LocalCopies
from swath.data.index import IndexInfo, batches_of
from swath.data.polygons import SUFFIXES, LabelPolygons, ScenePolygons
from swath.data.raster import read_window
from swath.data.windows import Grid, Strip, footprints
from swath.datasets import names
from swath.datasets.grouping import Group, group_files
from swath.datasets.layout import Asked, Layout, first_few, raster_files
from swath.datasets.scene import Scene, scene_of
from swath.errors import DataError, UsageError
from swath.location import Location, absolute, location

logger = logging.getLogger(__name__)


def find(source: Location, asked: Asked) -> Layout:
    """Open every scene below `source` (or the one file that it is) and say how it will be cut.

    Raises:
        DataError: a file is bad, scenes differ in their bands, or every scene is smaller than a tile.
        UsageError: labels are no polygons, or their column is missing.
    """
    polygons = _polygons(asked)
    source, files = (
        (source.parent, [source.name])
        if storage.is_file(source)
        else (source, raster_files(source, without=asked.mask_folders))
    )
    source = location(absolute(source))
    copies = LocalCopies(source)
    bad = BadInputs("scenes", asked.bad_files)
    scenes = _open_scenes(source, files, copies, asked, bad)
    looked_at = len(scenes) + len(bad.found)
    _check_alike(scenes)
    skipped: Counter[str] = Counter()
    scenes = _large_enough(scenes, asked, skipped)
    cut = _Cut(
        source,
        copies,
        asked,
        _nodata(scenes),
        polygons,
        () if polygons is None else _vocabulary(scenes, polygons),
    )
    info = IndexInfo(
        root=str(source),
        layout="scenes",
        task=None if polygons is None else "multilabel",
        vocabulary=cut.vocabulary,
        bands=scenes[0].bands,
        band_px=scenes[0].band_px,
        tile_px=asked.tile_px,
        stride_px=cut.stride_px,
        dtypes=scenes[0].dtypes,
        nodata=cut.nodata,
        attribution=_attribution(scenes, polygons),
    )
    rows = _rows_of_all(scenes, cut, skipped=skipped, bad=bad, looked_at=looked_at)
    return Layout(info, sum(len(scene.paths) for scene in scenes), batches_of(rows), bad, skipped)


@dataclass(frozen=True)
class _Cut:
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


def _polygons(asked: Asked) -> LabelPolygons | None:
    if asked.labels is None:
        if asked.label_column or asked.label_columns:
            raise UsageError(
                "--label-column without --labels has no effect on scenes. Give --labels polygons.gpkg."
            )
        return None
    if asked.label_columns:
        raise UsageError(
            "--label-columns is for labels.csv; polygons have one column of classes: --label-column NAME"
        )
    if asked.labels.suffix.lower() not in SUFFIXES:
        raise UsageError(f"scenes are labelled by polygons ({', '.join(SUFFIXES)}), found {asked.labels}.")
    return LabelPolygons(asked.labels, asked.label_column)


def _open_scenes(
    source: Location, files: list[str], copies: LocalCopies, asked: Asked, bad: BadInputs
) -> list[Scene]:
    scenes = []
    for group in group_files(files, asked.band_pattern, source_name=source.name):
        try:
            with copies.of(group.paths) as here:
                scenes.append(scene_of(group, here, max_pixels=asked.max_pixels))
        except DataError as error:
            bad.add(_file_named_in(error, group, source), error)
    bad.judge(looked_at=len(scenes) + len(bad.found))
    made_up = [scene for scene in scenes if scene.names_made_up]
    if made_up:
        logger.warning(
            f"{made_up[0].paths[0]} does not name its bands; called {','.join(made_up[0].bands)} "
            f"({len(made_up):,} scenes). Check the order before training on imagery from elsewhere."
        )
    return scenes


def _file_named_in(error: DataError, group: Group | Scene, source: Location) -> str:
    """Which file of the group is bad; messages begin with it."""
    return next((path for path in group.paths if str(error).startswith(f"{source / path} ")), group.paths[0])


def _check_alike(scenes: list[Scene]) -> None:
    kinds: dict[tuple[Any, ...], list[str]] = {}
    for scene in scenes:
        kinds.setdefault((scene.bands, scene.band_px, scene.dtypes), []).append(scene.name)
    if len(kinds) > 1:
        parts = []
        for (bands, _, dtypes), found in kinds.items():
            parts.append(f"{','.join(bands)} of {'/'.join(sorted(set(dtypes)))} ({len(found):,}: {found[0]})")
        raise DataError(
            f"scenes differ in their bands: {' | '.join(parts[:4])}. "
            f"Index each kind by itself, or leave bands out with --band-pattern."
        )


def _large_enough(scenes: list[Scene], asked: Asked, skipped: Counter[str]) -> list[Scene]:
    kept = [s for s in scenes if min(s.finest.width, s.finest.height) >= asked.tile_px]
    small = [s for s in scenes if min(s.finest.width, s.finest.height) < asked.tile_px]
    if not kept:
        raster = small[0].finest
        raise DataError(
            f"{small[0].finest_path} is {raster.width}x{raster.height} px, smaller than a tile of "
            f"{asked.tile_px} px. Use --tile-px {min(raster.width, raster.height)} or less."
        )
    if small:
        skipped["scene smaller than a tile"] = len(small)
        logger.warning(f"left out, smaller than a tile: {first_few([scene.name for scene in small])}")
    return kept


def _nodata(scenes: list[Scene]) -> float | None:
    values = {scene.nodata: scene.name for scene in scenes if scene.nodata is not None}
    if len(values) > 1:
        listed = ", ".join(f"{value:g} ({name})" for value, name in values.items())
        raise DataError(f"scenes declare different nodata values: {listed}. Index each kind by itself.")
    return next(iter(values), None)


def _vocabulary(scenes: list[Scene], polygons: LabelPolygons) -> tuple[str, ...]:
    """Every class that has a polygon on a scene."""
    classes: set[str] = set()
    for scene in scenes:
        classes |= set(_on(scene, polygons).by_class)
    if not classes:
        raise DataError(
            f"no polygon of {polygons.path} ({polygons.crs}) lies on the scenes. Is it the right place?"
        )
    return tuple(sorted(classes))


def _on(scene: Scene, polygons: LabelPolygons) -> ScenePolygons:
    if scene.crs is None:
        raise DataError(
            f"{scene.paths[0]} has no location, so polygons cannot label it. Georeference it first."
        )
    return polygons.on_scene(scene.crs, scene.finest.transform, (scene.finest.width, scene.finest.height))


def _attribution(scenes: list[Scene], polygons: LabelPolygons | None) -> str:
    sensors = sorted({scene.sensor for scene in scenes if scene.sensor})
    texts = []
    for sensor in sensors:
        days = [scene.acquired for scene in scenes if scene.sensor == sensor and scene.acquired]
        texts.append(names.credit(sensor, days))
    if polygons is not None and polygons.is_openstreetmap:
        texts.append("Labels: (c) OpenStreetMap contributors, ODbL")
    return "; ".join(text for text in dict.fromkeys(texts) if text)


def _rows_of_all(
    scenes: list[Scene], cut: _Cut, *, skipped: Counter[str], bad: BadInputs, looked_at: int
) -> Iterator[dict[str, Any]]:
    """Damage inside the pixels shows only here, where nodata is measured."""
    known = len(bad.found)
    for scene in scenes:
        here: Counter[str] = Counter()
        try:  # a scene is left out whole, so its rows are held; where damage stops all, they need not be
            with cut.copies.of(scene.paths if cut.looks_at_pixels(scene) else ()) as folder:
                rows = _rows(scene, cut, folder, here)
                yield from list(rows) if bad.policy.skip else rows
        except DataError as error:
            bad.add(_file_named_in(error, scene, cut.source), error)
        else:
            skipped.update(here)
    if len(bad.found) > known:
        bad.judge(looked_at=looked_at)


def _rows(scene: Scene, cut: _Cut, folder: Path, skipped: Counter[str]) -> Iterator[dict[str, Any]]:
    grid = cut.grid(scene)
    here = None if cut.polygons is None else _on(scene, cut.polygons)
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


def _labels(shares: npt.NDArray[np.float32], cut: _Cut) -> dict[str, Any]:
    held = [
        name
        for name, share in zip(cut.vocabulary, shares, strict=True)
        if share > 0 and share >= cut.asked.min_share
    ]
    unknown = not held and cut.asked.partial_labels
    return {"labels": None if unknown else held, "label_shares": shares.tolist()}


def _nodata_shares(scene: Scene, cut: _Cut, folder: Path, strip: Strip) -> npt.NDArray[np.float32] | None:
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
