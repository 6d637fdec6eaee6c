"""The plainest of GeoTIFFs, read without GDAL: one band, striped, not compressed, little-endian.

So are the files of BigEarthNet, and a GDAL handle for each costs more than reading them. Anything else is
None here and goes through the gate, `data.raster`; the two agree to the bit on what both read (tested).
"""

import functools
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_TYPES: dict[tuple[int, int], np.dtype[Any]] = {  # by bits and sample format
    (16, 1): np.dtype("<u2"),
    (32, 3): np.dtype("<f4"),
}
_FORMATS = {1: "B", 2: "B", 3: "H", 4: "I", 12: "d"}  # of the values of a tag
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _OFFSETS, _BANDS, _SIZES, _SAMPLE = (
    256,
    257,
    258,
    259,
    273,
    277,
    279,
    339,
)
_SCALE, _TIE, _KEYS = 33550, 33922, 34735
_NEEDED = {_WIDTH, _HEIGHT, _BITS, _OFFSETS, _SIZES, _SCALE, _TIE, _KEYS}
# What else may be there changes no pixel: photometric, description, rows a strip, planar configuration,
# software, date, GeoTIFF texts and numbers, GDAL's metadata and nodata value.
_HARMLESS = {_COMPRESSION, _BANDS, _SAMPLE, 262, 270, 278, 284, 305, 306, 34736, 34737, 42112, 42113}
_PROJECTED = 3072  # GeoTIFF 1.1: the key of the projected system
_MOST_TAGS = 32


@dataclass(frozen=True)
class PlainTiff:
    """`pixels` (h, w) over the bytes they were read from; `left` and `top` in metres of the system `epsg`."""

    pixels: npt.NDArray[Any]
    epsg: int
    left: float
    top: float
    pixel_m: float


@dataclass(frozen=True)
class _Tag:
    """Where the values of a tag lie, and how to unpack them."""

    form: struct.Struct
    at: int

    def read(self, data: memoryview) -> tuple[Any, ...]:
        return self.form.unpack_from(data, self.at)


@dataclass(frozen=True)
class _Directory:
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    tags: dict[int, _Tag]


def read_plain(data: memoryview) -> PlainTiff | None:
    """Pixels and their place, or None where the file is not plain, not whole, or in no projected system."""
    if len(data) < 10 or bytes(data[:8]) != b"II*\x00\x08\x00\x00\x00":
        return None
    end = 10 + 12 * int.from_bytes(data[8:10], "little")
    directory = _directory_of(bytes(data[10:end]), len(data)) if end <= len(data) else None
    if directory is None or int.from_bytes(data[end : end + 4], "little"):  # a second image follows
        return None
    start = _start_of_pixels(data, directory)
    column, row, _, left, top, _ = directory.tags[_TIE].read(data)
    width_m, height_m, _ = directory.tags[_SCALE].read(data)
    epsg = _epsg_of(directory.tags[_KEYS].read(data))
    if start is None or epsg is None or width_m != height_m or (column, row) != (0.0, 0.0):
        return None
    height, width = directory.shape
    flat = np.frombuffer(data, directory.dtype, count=height * width, offset=start)
    return PlainTiff(flat.reshape(height, width), epsg, left, top, width_m)


def _start_of_pixels(data: memoryview, directory: _Directory) -> int | None:
    """Where the strips begin, if each follows the one before and all end within the file."""
    starts, sizes = directory.tags[_OFFSETS].read(data), directory.tags[_SIZES].read(data)
    expected = starts[0]
    for start, size in zip(starts, sizes, strict=True):
        if start != expected:
            return None
        expected += size
    height, width = directory.shape
    is_whole = expected - starts[0] == height * width * directory.dtype.itemsize and expected <= len(data)
    return int(starts[0]) if is_whole else None


@functools.lru_cache(maxsize=256)
def _directory_of(entries: bytes, num_bytes: int) -> _Directory | None:
    """The tags, if there are only harmless ones; the files of an archive share a handful of directories."""
    tags: dict[int, _Tag] = {}
    values: dict[int, int] = {}
    for number, (tag, kind, count, value) in enumerate(struct.iter_unpack("<HHII", entries)):
        if tag not in _NEEDED | _HARMLESS or kind not in _FORMATS or tag in tags or count > num_bytes:
            return None
        form = struct.Struct(f"<{count}{_FORMATS[kind]}")
        at = value if form.size > 4 else 10 + 12 * number + 8
        if at + form.size > num_bytes:
            return None
        tags[tag] = _Tag(form, at)
        values[tag] = value & 0xFFFF if kind == 3 else value
    dtype = _TYPES.get((values.get(_BITS, 0), values.get(_SAMPLE, 1)))
    is_plain = values.get(_COMPRESSION, 1) == 1 and values.get(_BANDS, 1) == 1
    if not tags.keys() >= _NEEDED or not is_plain or dtype is None or len(tags) > _MOST_TAGS:
        return None
    counts = [
        len(tags[tag].form.unpack(bytes(tags[tag].form.size))) for tag in (_OFFSETS, _SIZES, _TIE, _SCALE)
    ]
    if counts[0] != counts[1] or counts[0] < 1 or counts[2:] != [6, 3]:
        return None
    return _Directory((values[_HEIGHT], values[_WIDTH]), dtype, tags)


@functools.lru_cache(maxsize=256)
def _epsg_of(keys: tuple[int, ...]) -> int | None:
    """From the GeoTIFF keys: groups of four numbers (key, where, count, value) behind a head of four."""
    found = [keys[at + 3] for at in range(4, len(keys) - 3, 4) if keys[at : at + 2] == (_PROJECTED, 0)]
    return found[0] if len(found) == 1 and found[0] != 32767 else None  # that is "user defined"
