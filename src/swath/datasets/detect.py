"""--layout auto: which layout a source has, and why."""

from itertools import islice
from pathlib import Path, PurePosixPath

from swath import storage
from swath.data.bands import band_of_file
from swath.data.fetched import LocalCopies
from swath.data.polygons import SUFFIXES
from swath.data.raster import inspect
from swath.data.tarball import is_archive
from swath.datasets.bigearthnet.catalogue import PREFIX
from swath.datasets.bigearthnet.folders import a_patch_in
from swath.datasets.layout import Asked, raster_files
from swath.errors import DataError, UsageError
from swath.location import Location

_LARGEST_TILE_PX = 512
_LOOK_AT = 16
_FETCHED = 3  # on S3 a whole file has to come


def detect(source: Location, asked: Asked) -> tuple[str, str]:
    """The layout ("scenes", "folder", "bigearthnet") and the reason, in words.

    Raises:
        DataError, UsageError: there is no imagery at `source`.
    """
    if str(source).startswith(PREFIX):
        return "bigearthnet", "the name of a data set"
    if source.suffix == ".parquet":
        return "bigearthnet", "a table"
    if not storage.exists(source):
        raise UsageError(f"no folder or file {source}. Give the folder that holds the imagery.")
    if source.suffix.lower() in {".csv", ".tsv"}:
        raise UsageError(
            f"{source} is a table, perhaps of labels, and no imagery. "
            f"Type: swath index {source.parent} --labels {source} --out index.parquet"
        )
    if is_archive(source):
        return "bigearthnet", "an archive"
    is_file = storage.is_file(source)
    patch = None if is_file else a_patch_in(source)
    if patch is not None:
        return "bigearthnet", f"folders called like its patches ({patch})"
    return ("scenes", "one file") if is_file else _files(source, asked)


def _files(source: Location, asked: Asked) -> tuple[str, str]:
    if asked.labels is not None:
        drawn = asked.labels.suffix.lower() in SUFFIXES
        return ("scenes", "labels are polygons") if drawn else ("folder", "labels are a table")
    files = raster_files(source, without=asked.mask_folders)
    if storage.is_file(source / "labels.csv"):
        return "folder", "there is a labels.csv"
    named = next((file for file in files if band_of_file(PurePosixPath(file).stem) is not None), None)
    if asked.band_pattern or named:
        return "scenes", f"names end in a band ({named or asked.band_pattern})"
    return _by_size(source, files, asked)


def _by_size(source: Location, files: list[str], asked: Asked) -> tuple[str, str]:
    sizes = set()
    copies = LocalCopies(source)
    look_at = _LOOK_AT if isinstance(source, Path) else _FETCHED
    for file in islice(files, 0, None, max(1, len(files) // look_at)):
        try:
            with copies.of([file]) as here:
                raster = inspect(here / file, root=here, max_pixels=asked.max_pixels)
        except DataError:
            continue  # reported, with all others, by the layout
        sizes.add((raster.width, raster.height))
    if not sizes:
        return "folder", "no file could be opened"
    largest = max(max(size) for size in sizes)
    if len(files) > 1 and largest <= _LARGEST_TILE_PX:
        return "folder", f"files of at most {largest} px"
    return "scenes", f"files of up to {largest} px"
