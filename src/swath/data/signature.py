"""What a file is, judged by its path and its first and last bytes, before any library opens it."""

import os
import re
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from swath.errors import DataError

# Names that GDAL would not take for a plain file: cut at NUL, virtual file systems, inline XML, URLs.
_ILLEGAL = re.compile(r"[\x00\n\r]|^\s*<|^/vsi|^[A-Za-z0-9_]+:")
_MAGIC = (
    (b"II*\x00", "GTiff"),
    (b"MM\x00*", "GTiff"),
    (b"II+\x00", "GTiff"),
    (b"MM\x00+", "GTiff"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
)
_NOT_FRAMES = {0xC4, 0xC8, 0xCC}  # JPEG segments numbered like frame headers that are none
_PNG_BANDS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> bands


@dataclass(frozen=True)
class PictureHeader:
    width: int
    height: int
    count: int
    dtype: str
    palette: bool


def check_path(path: Path, *, root: Path | None = None) -> None:
    """Refuse anything but a readable regular file below `root`; a pipe or device is never opened.

    Raises:
        DataError: what is wrong with the path, in one line.
    """
    text = str(path)
    if _ILLEGAL.search(text):
        raise DataError(f"illegal file name {text!r}: only plain local files are read.")
    try:
        held = path.stat()
    except FileNotFoundError as error:
        what = "a link to nothing" if path.is_symlink() else "missing"
        raise DataError(f"{path} is {what}. Put the file back, or index the folder again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from error
    if not stat.S_ISREG(held.st_mode):
        raise DataError(f"{path} is not a regular file. Give files, or the folder that holds them.")
    if root is not None and not path.resolve().is_relative_to(root.resolve()):
        raise DataError(
            f"{path} leaves the data root {root}. Copy the file into it, or index the folder that holds it."
        )
    if held.st_size == 0:
        raise DataError(f"{path} is empty (0 bytes). Download it again or take it out of the folder.")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path} cannot be read (Permission denied). Check its permissions.")


def check_file(path: Path, *, root: Path | None = None) -> str:
    """`check_path`, then the kind of raster that the first bytes show, as GDAL calls its driver.

    Raises:
        DataError: the path is refused, or the file is no raster; says what it is where that can be told.
    """
    check_path(path, root=root)
    with path.open("rb") as stream:
        head = stream.read(2048)
    driver = next((driver for magic, driver in _MAGIC if head.startswith(magic)), None)
    if driver is None:
        raise DataError(_what_else(path, head))
    if driver == "PNG":
        _check_png_is_whole(path)
    return driver


def version_of(path: Path) -> tuple[int, int]:
    """(size, time of change): equal as long as the file was not replaced; (-1, -1) where there is none."""
    try:
        held = path.stat()
    except (OSError, ValueError):
        return (-1, -1)
    return (held.st_size, held.st_mtime_ns)


def picture_header(path: Path, driver: str) -> PictureHeader:
    """Size, bands and type of a PNG or JPEG from its header.

    Raises:
        DataError: the header is cut or declares something else than 8 or 16 bits.
    """
    try:
        with path.open("rb") as stream:
            return _png_header(stream) if driver == "PNG" else _jpeg_header(stream)
    except (struct.error, KeyError, ValueError) as error:
        raise DataError(
            f"{path} is damaged or cut: its {driver} header cannot be read. Download it again."
        ) from error


def jpeg_ends_properly(path: Path) -> bool:
    """Whether the mark that ends a JPEG is in the last bytes (some writers add a few after it)."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 64))
        return b"\xff\xd9" in stream.read()


def _check_png_is_whole(path: Path) -> None:
    """GDAL fills the rows that a cut PNG lacks with zeros, so the chunk that ends it is looked for here."""
    with path.open("rb") as stream:
        stream.seek(8)
        while True:
            head = stream.read(8)
            if len(head) < 8:
                raise DataError(f"{path} is damaged or cut: it ends early. Download it again.")
            if head[4:] == b"IEND":
                return
            stream.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)


def _png_header(stream: BinaryIO) -> PictureHeader:
    width, height, bits, colour = struct.unpack(">IIBB", stream.read(26)[16:26])
    return PictureHeader(width, height, _PNG_BANDS[colour], "uint16" if bits == 16 else "uint8", colour == 3)


def _jpeg_header(stream: BinaryIO) -> PictureHeader:
    stream.seek(2)
    while True:
        fill, marker = struct.unpack(">BB", stream.read(2))
        if fill != 0xFF:
            raise ValueError("no marker where a segment begins")
        if marker == 0xFF:
            stream.seek(-1, os.SEEK_CUR)
            continue
        (length,) = struct.unpack(">H", stream.read(2))
        if 0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES:
            bits, height, width, count = struct.unpack(">BHHB", stream.read(6))
            if bits != 8 or count not in {1, 3, 4}:
                raise ValueError(f"{bits} bits, {count} components")
            return PictureHeader(width, height, count, "uint8", palette=False)
        stream.seek(length - 2, os.SEEK_CUR)


def _what_else(path: Path, head: bytes) -> str:
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    low = text.lower()
    if low.startswith("<vrtdataset"):
        return (
            f"{path} is a VRT (virtual raster), which may point to other files. Refused; "
            f"convert it with gdal_translate to a GeoTIFF."
        )
    code = re.search(r"<Error>.*?<Code>(\w+)</Code>", text, re.DOTALL)
    if code:
        return f"{path} holds an S3 error page: {code[1]}. Check the credentials and download it again."
    if low.startswith(("<!doctype html", "<html")):
        return f"{path} holds a web page, not a raster. Download it again."
    return (
        f"{path} is not a GeoTIFF, JPEG 2000, PNG or JPEG (starts with {text[:12]!r}). "
        f"Take it out of the folder."
    )
