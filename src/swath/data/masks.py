"""Masks: a class for every pixel of a tile, from rasters whose pixels are numbers, palette places or colours.

In memory and in a pack a mask is (H, W) uint8 on the finest grid of the tile: the place of the class in the
mask vocabulary, or IGNORE where nobody looked or the class is of no interest.
"""

import csv
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window

from swath.data import signature
from swath.data.raster import Box, check_size, open_raster
from swath.errors import DataError, UsageError

IGNORE = 255

Classes = npt.NDArray[np.uint8]
_COLOUR = re.compile(r"#?([0-9a-fA-F]{6})")
_EXAMPLE = "class,value with rows such as water,#E2A929 or water,3 (an empty class: ignore)"


@dataclass(frozen=True)
class MaskClasses:
    """Which pixel of a mask means which class.

    `codes` maps what a pixel holds to a place in `names`, or to IGNORE: a number, or the colour 0xRRGGBB
    where `by_colour`. Codes that are not listed are an error, or to be ignored where `ignore_others`.
    """

    names: tuple[str, ...]
    codes: dict[int, int]
    by_colour: bool = False
    ignore_others: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) < IGNORE or len(set(self.names)) != len(self.names):
            raise DataError(f"masks need 1 to {IGNORE - 1} classes with different names")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_index(cls, value: dict[str, Any] | None) -> Self | None:
        """From `IndexInfo.masks`, None where tiles have none."""
        if value is None:
            return None
        codes = {int(code): place for code, place in value["codes"].items()}
        return cls(tuple(value["names"]), codes, value["by_colour"], value["ignore_others"])

    def of(self, pixels: npt.NDArray[Any], *, where: str) -> Classes:
        """(H, W) places in `names` from (H, W) codes.

        Raises:
            DataError: a code is not listed; it is named, with those that are.
        """
        found, inverse = np.unique(pixels, return_inverse=True)
        unknown = [int(code) for code in found if int(code) not in self.codes]
        if unknown and not self.ignore_others:
            listed = ", ".join(self._word(code) for code in list(self.codes)[:8])
            raise DataError(
                f"{where} holds {self._word(unknown[0])}, which is no class of its mask: {listed}. "
                "Add it to --mask-classes, with an empty class if it is to be ignored."
            )
        places = np.asarray([self.codes.get(int(code), IGNORE) for code in found], dtype=np.uint8)
        return places[inverse.reshape(pixels.shape)]

    def _word(self, code: int) -> str:
        return f"colour #{code:06X}" if self.by_colour else f"value {code}"


def read_mask_classes(path: Path) -> MaskClasses:
    """Read a CSV with the columns class and value; a value is a whole number or a colour #RRGGBB.

    Raises:
        UsageError: there is no such file.
        DataError: a column is missing, a value is neither, stands twice, or numbers and colours are mixed.
    """
    if not path.is_file():
        raise UsageError(f"no file {path}; --mask-classes is a CSV: {_EXAMPLE}")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or not {"class", "value"} <= set(rows[0]):
        raise DataError(f"{path} is no table of mask classes; expected {_EXAMPLE}")
    values = [(row["value"] or "").strip() for row in rows]
    by_colour = all(_COLOUR.fullmatch(value) for value in values) and any("#" in value for value in values)
    names = tuple(dict.fromkeys(name for row in rows if (name := (row["class"] or "").strip())))
    codes: dict[int, int] = {}
    for line, (row, value) in enumerate(zip(rows, values, strict=True), 2):
        code = _code(value, by_colour=by_colour, where=f"{path}, line {line}")
        if code in codes:
            raise DataError(f"{path}, line {line}: the value {value} stands twice")
        name = (row["class"] or "").strip()
        codes[code] = names.index(name) if name else IGNORE
    return MaskClasses(names, codes, by_colour)


def read_mask(
    path: Path, window: Box, out_px: int, *, classes: MaskClasses, max_pixels: int, root: Path
) -> Classes:
    """(out_px, out_px) classes of one window of a mask, nearest pixel where the sizes differ.

    Raises:
        DataError: the file is missing or damaged, is not what its classes call for, or holds unknown codes.
    """
    driver = signature.check_file(path, root=root)
    with open_raster(path, driver) as raster:
        check_size(path, (raster.width, raster.height, raster.count, 1), max_pixels)
        palette = _palette(raster) if classes.by_colour else None
        bands = [1, 2, 3] if classes.by_colour and palette is None else [1]
        if raster.count < len(bands) or np.dtype(raster.dtypes[0]).kind not in "ui":
            wanted = "colours" if classes.by_colour else "whole numbers"
            raise DataError(
                f"{path} has {raster.count} bands of {raster.dtypes[0]}; the classes of its mask are {wanted}"
            )
        try:
            pixels = raster.read(
                bands,
                window=Window(*window),
                out_shape=(len(bands), out_px, out_px),
                resampling=Resampling.nearest,
            )
        except RasterioError as error:
            raise DataError(f"{path} cannot be read: it is damaged or cut. Make the mask again.") from error
    return classes.of(_codes(pixels, palette), where=str(path))


def raster_size(path: Path, *, root: Path) -> tuple[int, int]:
    """Width and height in pixels, of a mask or of the image it belongs to."""
    with open_raster(path, signature.check_file(path, root=root)) as raster:
        return raster.width, raster.height


def _palette(raster: Any) -> npt.NDArray[np.int64] | None:
    """(256,) the colour 0xRRGGBB of each place of a palette, None where the raster has none."""
    if raster.colorinterp[0] != ColorInterp.palette:
        return None
    colours = np.zeros(256, dtype=np.int64)
    for place, (red, green, blue, _) in raster.colormap(1).items():
        colours[place] = (red << 16) | (green << 8) | blue
    return colours


def _codes(pixels: npt.NDArray[Any], palette: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
    """(H, W) numbers or colours 0xRRGGBB from (bands, H, W)."""
    wide = pixels.astype(np.int64)
    if palette is not None:
        return np.asarray(palette[wide[0]])
    return np.asarray(wide[0] if len(wide) == 1 else (wide[0] << 16) | (wide[1] << 8) | wide[2])


def _code(value: str, *, by_colour: bool, where: str) -> int:
    colour = _COLOUR.fullmatch(value)
    if by_colour and colour:
        return int(colour[1], 16)
    if not by_colour and value.isdecimal():
        return int(value)
    raise DataError(
        f'{where}: the value "{value}" is no whole number and no colour #RRGGBB, or the two are mixed'
    )
