"""Patches of BigEarthNet straight from its archive: members gathered by patch, decoded and checked."""

import functools
import logging
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data.plain_tiff import PlainTiff, read_plain
from swath.data.raster import inspect, read_window
from swath.data.tarball import RefusedArchiveError, Tarball
from swath.datasets.bigearthnet.names import JSON_SUFFIX, PatchName, parse
from swath.datasets.bigearthnet.patch_json import PatchJson, parse_json
from swath.datasets.bigearthnet.sensors import SENTINEL1, SENTINEL2, TILE_PX, PatchFiles
from swath.errors import DataError

logger = logging.getLogger(__name__)

_SUFFIX = re.compile(r"_(?P<band>B\d\d|B8A|VV|VH)\.tif")
_JSON = "json"
_MOST_PIXELS = TILE_PX**2
_REFUSED = " Refused; nothing is kept."


@dataclass(frozen=True)
class ArchivedPatch:
    """The members of one patch: by band, and the labels under "json"."""

    name: PatchName
    folder: str
    members: dict[str, memoryview]

    @property
    def has_labels(self) -> bool:
        return _JSON in self.members

    @property
    def files(self) -> PatchFiles:
        return SENTINEL1 if self.name.sensor == "Sentinel-1" else SENTINEL2


@dataclass(frozen=True)
class DecodedPatch:
    """`bands` (h, w) by name; `left` and `top` in metres of `epsg`; `about` None where there is no JSON."""

    name: PatchName
    bands: dict[str, npt.NDArray[Any]]
    epsg: int
    left: float
    top: float
    about: PatchJson | None


def patches(tarball: Tarball) -> Iterator[ArchivedPatch]:
    """Every patch, in the order of the archive.

    Members that are no files of a patch are passed over, and a warning says how many.

    Raises:
        DataError: a patch or a member is there twice, or patches of two kinds are mixed.
    """
    seen: set[str] = set()
    num_others = 0
    patch: ArchivedPatch | None = None
    for member in tarball.members():
        folder, _, file = member.name.rpartition("/")
        if patch is None or folder != patch.folder:
            name = parse(folder.rpartition("/")[2])
            if name is None:
                num_others += 1
                continue
            if patch is not None:
                _check_same_kind(tarball, patch.name, name)
                yield patch
            if name.name in seen:
                raise RefusedArchiveError(
                    f"{tarball.path}: {member.name} belongs to a patch that was there before.{_REFUSED}"
                )
            seen.add(name.name)
            patch = ArchivedPatch(name, folder, {})
        part = _part_of(file, patch.name.name)
        if part is None:
            num_others += 1
        elif part in patch.members:
            raise RefusedArchiveError(f"{tarball.path}: member {member.name} is there twice.{_REFUSED}")
        else:
            patch.members[part] = member.data
    if patch is not None:
        yield patch
    if num_others:
        logger.warning(f"{tarball.path}: {num_others:,} members are no files of a patch and were passed over")


def decode(patch: ArchivedPatch, bands: tuple[str, ...], *, where: str) -> DecodedPatch:
    """Pixels of `bands`, checked: size, type, that all lie in one place, and that the JSON says the same.

    Raises:
        DataError: says what is wrong with the patch; `where` (the archive) begins the message.
    """
    place = f"{where}: {patch.folder}"
    missing = [band for band in bands if band not in patch.members]
    if missing:
        raise DataError(f"{place} lacks {', '.join(missing)}.")
    rasters = {band: _raster(patch, band, where) for band in bands}
    places = {(raster.epsg, raster.left, raster.top) for raster in rasters.values()}
    if len(places) > 1:
        raise DataError(f"{place}: its bands lie in {len(places)} places; expected one.")
    epsg, left, top = places.pop()
    about = _about(patch, place)
    if about and (about.bounds_m[0], about.bounds_m[3]) != (left, top):
        said = f"{about.bounds_m[0]:.0f} E {about.bounds_m[3]:.0f} N"
        raise DataError(
            f"{place}: its JSON says the corner is at {said}, its bands at {left:.0f} E {top:.0f} N."
        )
    pixels = {band: raster.pixels for band, raster in rasters.items()}
    if all(_is_blank(values) for values in pixels.values()):
        raise DataError(f"{place} is blank: every pixel of a band is the same.")
    return DecodedPatch(patch.name, pixels, epsg, left, top, about)


def _is_blank(pixels: npt.NDArray[Any]) -> bool:
    first = pixels[0, 0]
    return bool((pixels[0] == first).all() and (pixels == first).all())


def _check_same_kind(tarball: Tarball, first: PatchName, other: PatchName) -> None:
    kinds = [f"{name.sensor} {name.version or ''}".strip() for name in (first, other)]
    if kinds[0] != kinds[1]:
        said = f"{kinds[0]} ({first.name}) and {kinds[1]} ({other.name})"
        raise RefusedArchiveError(f"{tarball.path} mixes {said}.{_REFUSED}")


def _part_of(file: str, patch: str) -> str | None:
    """The band of a file of a patch, "json", or None."""
    if not file.startswith(patch):
        return None
    return _part_called(file[len(patch) :])


@functools.lru_cache(maxsize=64)
def _part_called(suffix: str) -> str | None:
    if suffix == JSON_SUFFIX:
        return _JSON
    match = _SUFFIX.fullmatch(suffix)
    return match["band"] if match else None


def _raster(patch: ArchivedPatch, band: str, where: str) -> PlainTiff:
    data = patch.members[band]
    member = f"{where}: {patch.folder}/{patch.name.name}_{band}.tif"
    raster = read_plain(data) or _through_gate(data, member)
    side = patch.files.side_px[patch.files.bands.index(band)]
    expected = f"{side}x{side} {patch.files.dtype}"
    found = f"{raster.pixels.shape[1]}x{raster.pixels.shape[0]} {raster.pixels.dtype}"
    if found != expected:
        raise DataError(f"{member} is {found}; BigEarthNet has {expected}.")
    return raster


def _through_gate(data: memoryview, member: str) -> PlainTiff:
    """Any other raster, by way of a file that the gate can look at."""
    with tempfile.NamedTemporaryFile(prefix="swath-", suffix=".tif") as held:
        held.write(data)
        held.flush()
        path = Path(held.name)
        try:
            info = inspect(path, max_pixels=_MOST_PIXELS)
            size = (info.height, info.width)
            whole = (0, 0, info.width, info.height)
            pixels = read_window(path, bands=(1,), window=whole, out_px=size, max_pixels=_MOST_PIXELS)
        except DataError as error:
            raise DataError(str(error).replace(held.name, member)) from None
    code = re.fullmatch(r"EPSG:(\d+)", info.crs or "")
    if code is None or info.count != 1:
        found = f"{info.count} bands in {info.crs or 'no system'}"
        raise DataError(f"{member} has {found}; expected one band in a UTM zone.")
    a, _, left, _, _, top = info.transform
    return PlainTiff(np.ascontiguousarray(pixels[0]), int(code[1]), left, top, a)


def _about(patch: ArchivedPatch, place: str) -> PatchJson | None:
    if patch.name.version == "v2" or (patch.name.version is None and _JSON not in patch.members):
        return None
    if _JSON not in patch.members:
        raise DataError(f"{place} lacks its {JSON_SUFFIX[1:]}.")
    return parse_json(bytes(patch.members[_JSON]), where=f"{place}/{patch.name.name}{JSON_SUFFIX}")
