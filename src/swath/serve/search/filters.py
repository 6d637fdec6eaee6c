"""Which tiles may be found: by label, split, day and place.

Shapes: N tiles of the archive.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import shapely

from swath.config import SearchConfig
from swath.data.labels import multi_hot
from swath.data.polygons import read_area
from swath.errors import UsageError, did_you_mean
from swath.features.table import Rows
from swath.serve.search.archive import Archive

Mask = npt.NDArray[np.bool_]

_BOX = re.compile(r"\s*([-+.\d]+)\s*,\s*([-+.\d]+)\s*,\s*([-+.\d]+)\s*,\s*([-+.\d]+)\s*")


def allowed_rows(archive: Archive, config: SearchConfig) -> Rows | None:
    """The tiles that pass every filter; None where there is no filter.

    Raises:
        UsageError: a filter asks for what the archive does not know, or no tile is left.
        DataError: the file of polygons is bad.
    """
    allowed: Mask | None = None
    counts = []
    for words, passes in _filters(archive, config):
        allowed = passes if allowed is None else allowed & passes
        counts.append(f"{words}: {passes.sum():,}")
    if allowed is None:
        return None
    if not allowed.any():
        raise UsageError(
            f"no tile of {len(archive):,} passes the filters ({'; '.join(counts)}). Leave one out."
        )
    return np.flatnonzero(allowed)


def _filters(archive: Archive, config: SearchConfig) -> Iterator[tuple[str, Mask]]:
    if config.labels:
        yield f"labels {','.join(config.labels)}", _labelled(archive, config.labels)
    if config.split:
        yield f"split {','.join(config.split)}", _in_split(archive, config.split)
    if config.after or config.before:
        yield from _dated(archive, config)
    if config.place is not None:
        yield f"place {config.place}", _touching(archive, config.place)


def _labelled(archive: Archive, names: tuple[str, ...]) -> Mask:
    known = archive.about.vocabulary
    for name in names:
        if name not in known:
            raise UsageError(
                f'no label "{name}" in {archive.path}; labels: {", ".join(known) or "none"}.'
                f"{did_you_mean(name, known)}"
            )
    hot = multi_hot(archive.tiles["labels"], known)
    return np.asarray(hot[:, [known.index(name) for name in names]].any(axis=1))


def _in_split(archive: Archive, names: tuple[str, ...]) -> Mask:
    known = sorted(filter(None, archive.tiles["split"].unique().to_pylist()))
    for name in names:
        if name not in known:
            raise UsageError(
                f'no split "{name}" in {archive.path}; splits: {", ".join(known) or "none"}.'
                f"{did_you_mean(name, known)}"
            )
    return np.isin(pc.fill_null(archive.tiles["split"], "").to_numpy(), names)


def _dated(archive: Archive, config: SearchConfig) -> Iterator[tuple[str, Mask]]:
    days = archive.tiles["acquired"]
    if days.null_count == len(days):
        raise UsageError(f"no tile of {archive.path} has a date: --after and --before have nothing to go by")
    for words, day, compare in (
        ("after", config.after, pc.greater_equal),
        ("before", config.before, pc.less_equal),
    ):
        if day is not None:
            yield f"{words} {day}", pc.fill_null(compare(days, day), fill_value=False).to_numpy()


def _touching(archive: Archive, place: str) -> Mask:
    shapes = shapely.from_wkb(archive.tiles["geometry"].to_numpy())
    if shapely.is_missing(shapes).all():
        raise UsageError(f"no tile of {archive.path} has a location: --place has nothing to go by")
    area = _box(place) or read_area(Path(place))
    shapely.prepare(area)
    return np.asarray(shapely.intersects(area, shapes))


def _box(place: str) -> shapely.Geometry | None:
    match = _BOX.fullmatch(place)
    if match is None:
        return None
    try:
        west, south, east, north = map(float, match.groups())
    except ValueError:
        return None
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise UsageError(
            f"--place {place}: expected WEST,SOUTH,EAST,NORTH in degrees, such as 12.3,41.7,12.7,42.1"
        )
    return shapely.box(west, south, east, north)
