"""What comes before the pixels of a Cloud-Optimised GeoTIFF: all directories, full size first.

The tags are those that GDAL writes for an empty file of the same size, so that only places of tiles are
worked out here. TIFF 6.0 and BigTIFF, little-endian; GDAL's note on the layout: its page of the COG driver.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT, BANDS, COLOURS = 256, 257, 277, 320
TILE_WIDTH, TILE_OFFSETS, TILE_SIZES = 322, 324, 325
_KIND_OF_IMAGE, _REDUCED = 254, 1
_LONG, _LONG8 = 4, 16
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8, 17: 8, 18: 8}
# Sizes, bits, compression, photometric, planes, predictor, colours, tiles, kinds of bands, nodata.
_OF_OVERVIEWS = {256, 257, 258, 259, 262, 277, 284, 317, 320, 322, 323, 324, 325, 338, 339, 42113}
_CLASSIC_END = 2**32
AROUND_TILE = 8  # its size before it, its last four bytes once more after it
_LAYOUT = (
    b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)
_GHOST = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_LAYOUT) + _LAYOUT

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tag:
    """`count` values of a `kind` (TIFF's number of the type), as the bytes of the file."""

    kind: int
    count: int
    value: bytes

    @property
    def number(self) -> int:
        return int.from_bytes(self.value[: _BYTES[self.kind]], "little")


Directory = Mapping[int, Tag]


def directory_in(tiff: bytes) -> dict[int, Tag]:
    """The first directory of a classic, little-endian TIFF."""
    start = struct.unpack_from("<I", tiff, 4)[0]
    found = {}
    for entry in range(struct.unpack_from("<H", tiff, start)[0]):
        at = start + 2 + 12 * entry
        name, kind, count = struct.unpack_from("<HHI", tiff, at)
        size = _BYTES[kind] * count
        place = at + 8 if size <= 4 else struct.unpack_from("<I", tiff, at + 8)[0]
        found[name] = Tag(kind, count, tiff[place : place + size])
    return found


def overview_of(whole: Directory, width: int, height: int) -> dict[int, Tag]:
    """The directory of the same image in fewer pixels."""
    kept = {name: tag for name, tag in whole.items() if name in _OF_OVERVIEWS}
    return kept | {_KIND_OF_IMAGE: _longs([_REDUCED]), WIDTH: _longs([width]), HEIGHT: _longs([height])}


def header(directories: Sequence[Directory], sizes: Sequence[Numbers]) -> bytes:
    """All that comes before the tiles, which follow each other, those of the last directory first.

    `sizes`: bytes of the tiles of each directory, in TIFF's order, each with AROUND_TILE more around them.
    """
    places = _places(sizes)
    end = int(places[0][-1] + sizes[0][-1])
    tables = list(zip(directories, places, sizes, strict=True))
    is_big = end + len(_laid_out(tables, is_big=True, start=0)) >= _CLASSIC_END
    length = len(_laid_out(tables, is_big=is_big, start=0))
    return _laid_out(tables, is_big=is_big, start=length)


def _places(sizes: Sequence[Numbers]) -> list[Numbers]:
    """Where the tiles of each directory begin, counted from the end of the header."""
    places, begin = [], 0
    for held in reversed(sizes):
        ends = begin + np.cumsum(held + AROUND_TILE)
        places.append(ends - held - AROUND_TILE // 2)
        begin = int(ends[-1])
    return places[::-1]


def _laid_out(tables: Sequence[tuple[Directory, Numbers, Numbers]], *, is_big: bool, start: int) -> bytes:
    head = struct.pack("<2sHHH", b"II", 43, 8, 0) if is_big else struct.pack("<2sH", b"II", 42)
    first = len(head) + (8 if is_big else 4) + len(_GHOST)
    first += first % 2
    made = (head + struct.pack("<Q" if is_big else "<I", first) + _GHOST).ljust(first, b"\0")
    for number, (directory, at, held) in enumerate(tables, 1):
        offsets = _long8s(at + start) if is_big else _longs(at + start)
        whole = {**directory, TILE_OFFSETS: offsets, TILE_SIZES: _longs(held)}
        made += _packed(whole, len(made), is_big=is_big, is_last=number == len(tables))
    return made


def _packed(directory: Directory, at: int, *, is_big: bool, is_last: bool) -> bytes:
    """One directory that begins at byte `at`, and then the values that are too long for it."""
    count, entry, place, room = ("<Q", "<HHQ", "<Q", 8) if is_big else ("<H", "<HHI", "<I", 4)
    entry_bytes = struct.calcsize(entry) + room
    outside = at + struct.calcsize(count) + entry_bytes * len(directory) + room
    entries, values = struct.pack(count, len(directory)), b""
    for name, tag in sorted(directory.items()):
        entries += struct.pack(entry, name, tag.kind, tag.count)
        if len(tag.value) <= room:
            entries += tag.value.ljust(room, b"\0")
            continue
        entries += struct.pack(place, outside + len(values))
        values += tag.value + bytes(len(tag.value) % 2)
    following = 0 if is_last else outside + len(values)
    return entries + struct.pack(place, following) + values


def _longs(values: Sequence[int] | Numbers) -> Tag:
    return Tag(_LONG, len(values), np.asarray(values, dtype="<u4").tobytes())


def _long8s(values: Numbers) -> Tag:
    return Tag(_LONG8, len(values), values.astype("<u8").tobytes())
