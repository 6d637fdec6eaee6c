"""Scenes: rasters of any size, one file or one file a band, cut into tiles by window."""

import logging
from collections import Counter
from typing import Any

from swath import storage
from swath.data.bad_inputs import BadInputs
from swath.data.fetched import LocalCopies
from swath.data.index import IndexInfo, batches_of
from swath.data.polygons import SUFFIXES, LabelPolygons
from swath.datasets import names
from swath.datasets.grouping import group_files
from swath.datasets.layout import Asked, Layout, first_few, raster_files
from swath.datasets.scene import Scene, scene_of
from swath.datasets.scene_rows import Cut, Scenes, file_named_in, polygons_on, rows_of_all
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
    cut = Cut(
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
    rows = rows_of_all(Scenes(scenes, cut, bad.policy.skip), skipped, bad, looked_at=looked_at)
    return Layout(info, sum(len(scene.paths) for scene in scenes), batches_of(rows), bad, skipped)


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
            bad.add(file_named_in(error, group, source), error)
    bad.judge(looked_at=len(scenes) + len(bad.found))
    made_up = [scene for scene in scenes if scene.names_made_up]
    if made_up:
        logger.warning(
            f"{made_up[0].paths[0]} does not name its bands; called {','.join(made_up[0].bands)} "
            f"({len(made_up):,} scenes). Check the order before training on imagery from elsewhere."
        )
    return scenes


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
        classes |= set(polygons_on(scene, polygons).by_class)
    if not classes:
        raise DataError(
            f"no polygon of {polygons.path} ({polygons.crs}) lies on the scenes. Is it the right place?"
        )
    return tuple(sorted(classes))


def _attribution(scenes: list[Scene], polygons: LabelPolygons | None) -> str:
    sensors = sorted({scene.sensor for scene in scenes if scene.sensor})
    texts = []
    for sensor in sensors:
        days = [scene.acquired for scene in scenes if scene.sensor == sensor and scene.acquired]
        texts.append(names.credit(sensor, days))
    if polygons is not None and polygons.is_openstreetmap:
        texts.append("Labels: (c) OpenStreetMap contributors, ODbL")
    return "; ".join(text for text in dict.fromkeys(texts) if text)
