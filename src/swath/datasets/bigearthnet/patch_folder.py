"""One patch as it lies in its folder: which bands, whole or not, where on the ground, and its JSON.

A file of the size that was published is taken for whole without being opened; any other goes through the
gate. The smallest band is read, 1 kB, to learn its place on the ground.
"""

import functools
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from swath import storage
from swath.data.plain_tiff import read_plain
from swath.data.raster import inspect
from swath.datasets.bigearthnet.folders import Sizes
from swath.datasets.bigearthnet.names import JSON_SUFFIX
from swath.datasets.bigearthnet.patch_json import PatchJson, parse_json
from swath.datasets.bigearthnet.sensors import PatchFiles
from swath.datasets.layout import first_few
from swath.errors import DataError
from swath.location import Location, S3Path

_MOST_PIXELS = 10_000_000


@dataclass(frozen=True)
class Expected:
    """What every folder of an archive must hold."""

    files: PatchFiles
    has_json: bool

    @functools.cached_property
    def smallest(self) -> str:
        return min(zip(self.files.side_px, self.files.bands, strict=True))[1]


@dataclass(frozen=True)
class Patch:
    """A good folder, relative to the source; `at` is its number among the folders. `corner`: left, top in
    metres and the EPSG code, as the raster says; None where it was not looked at.
    """

    folder: str
    at: int
    about: PatchJson | None
    corner: tuple[int, int, int] | None


def sizes_of(source: Location, folder: str) -> Sizes:
    """Bytes of the files of a folder of this machine, by name."""
    with os.scandir(f"{source}/{folder}") as entries:
        return {entry.name: entry.stat().st_size for entry in entries}


def bands_in(samples: Sequence[tuple[str, Sizes]], files: PatchFiles) -> tuple[str, ...]:
    """The bands that any of the folders has, in the order of the sensor."""
    held = {
        band
        for folder, sizes in samples
        for band in files.bands
        if f"{folder.rpartition('/')[2]}_{band}.tif" in sizes
    }
    return tuple(band for band in files.bands if band in held)


def read_patch(source: Location, folder: str, expected: Expected, *, at: int, sizes: Sizes | None) -> Patch:
    """Look at one folder; `sizes` are its files where they are known already (on S3).

    Raises:
        DataError: files are missing, or not as BigEarthNet has them, or the JSON is bad.
    """
    if isinstance(source, S3Path):
        read = functools.partial(_read_s3, source / folder)
        about = _checked(source, folder, expected, sizes or {}, read)
        return Patch(folder, at, about, None)  # a look at a raster would cost as much as the patch
    try:
        handle = os.open(f"{source}/{folder}", os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(handle) as entries:  # by handle: each look at a file saves the walk down its path
                sizes = {entry.name: entry.stat().st_size for entry in entries}
            read = functools.partial(_read_here, handle, sizes)
            about = _checked(source, folder, expected, sizes, read)
            raster = read_plain(memoryview(read(f"{folder.rpartition('/')[2]}_{expected.smallest}.tif")))
        finally:
            os.close(handle)
    except OSError as error:
        raise DataError(f"{source}/{folder} cannot be read ({error.strerror}). Extract it again.") from error
    corner = None if raster is None else (round(raster.left), round(raster.top), raster.epsg)
    return Patch(folder, at, about, corner)


def _checked(
    source: Location, folder: str, expected: Expected, sizes: Sizes, read: Callable[[str], bytes]
) -> PatchJson | None:
    """The JSON of a folder that holds what it must."""
    name = folder.rpartition("/")[2]
    files = expected.files
    for band, published in zip(files.bands, files.plain_bytes, strict=True):
        file = f"{name}_{band}.tif"
        size = sizes.get(file)
        if size is None:
            raise DataError(_lacks(source, folder, expected, sizes))
        if size not in published:
            _check_unusual(source, f"{folder}/{file}", files, band)
    if not expected.has_json:
        return None
    if name + JSON_SUFFIX not in sizes:
        raise DataError(_lacks(source, folder, expected, sizes))
    return parse_json(read(name + JSON_SUFFIX), where=f"{source}/{folder}/{name}{JSON_SUFFIX}")


def _lacks(source: Location, folder: str, expected: Expected, sizes: Sizes) -> str:
    name = folder.rpartition("/")[2]
    endings = [
        *(f"_{band}.tif" for band in expected.files.bands),
        *([JSON_SUFFIX] if expected.has_json else []),
    ]
    missing = [ending[1:] for ending in endings if name + ending not in sizes]
    return f"{source}/{folder} lacks {first_few(missing)}."


def _read_s3(folder: S3Path, name: str) -> bytes:
    return storage.read_bytes(folder / name)


def _read_here(folder: int, sizes: Sizes, name: str) -> bytes:
    handle = os.open(name, os.O_RDONLY, dir_fd=folder)
    try:
        return os.read(handle, sizes[name])
    finally:
        os.close(handle)


def _check_unusual(source: Location, path: str, files: PatchFiles, band: str) -> None:
    """A file of another size than was published: compressed by somebody, or bad."""
    if isinstance(source, S3Path):
        with tempfile.TemporaryDirectory(prefix="swath-") as folder:
            copy = Path(folder) / path.rpartition("/")[2]
            copy.write_bytes(storage.read_bytes(source / path))
            try:
                _check_raster(copy, f"{source}/{path}", files, band)
            except DataError as error:
                raise DataError(str(error).replace(str(copy), f"{source}/{path}")) from None
    else:
        _check_raster(source / path, f"{source}/{path}", files, band)


def _check_raster(path: Path, named: str, files: PatchFiles, band: str) -> None:
    raster = inspect(path, max_pixels=_MOST_PIXELS)
    side = files.side_px[files.bands.index(band)]
    expected = f"{side}x{side}x1 {files.dtype}"
    found = f"{raster.width}x{raster.height}x{raster.count} {raster.dtype}"
    if found != expected:
        raise DataError(f"{named} is {found}; BigEarthNet has {expected}.")
