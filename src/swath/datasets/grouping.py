"""Which files make a scene: one file with all its bands, or one file a band, told by the names."""

import logging
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath

from swath.data.bands import BAND_PATTERN, canonical_band
from swath.datasets.layout import first_few
from swath.datasets.names import band_order
from swath.errors import DataError, UsageError

logger = logging.getLogger(__name__)

_NOT_IMAGERY = {
    "QI_DATA",
    "AUX_DATA",
    "rep_info",
    "HTML",
}  # folders of a Sentinel-2 product that hold masks and previews
_RESOLUTION_FOLDER = re.compile(r"R\d+m")


@dataclass(frozen=True)
class Group:
    """The files of one scene, relative to the source. `bands` is () where one file holds all, unnamed."""

    name: str
    paths: tuple[str, ...]
    bands: tuple[str, ...]


def group_files(files: list[str], band_pattern: str | None, *, source_name: str) -> list[Group]:
    """Scenes in the order of their names; what is left out is logged.

    Beside files that name their band, a file that names none (cloud_mask.tif, thumbnail.png) is not a scene.

    Raises:
        UsageError: the pattern is no regular expression, lacks (?P<band>...), or matches no file.
        DataError: two files claim one band of one scene.
    """
    pattern = _compiled(band_pattern)
    by_band: dict[tuple[str, str], dict[str, list[str]]] = {}
    alone: list[str] = []
    for file in files:
        path = PurePosixPath(file)
        match = pattern.search(path.stem)
        if _NOT_IMAGERY & set(path.parts[:-1]) or match is None:
            alone.append(file)
            continue
        rest = (path.stem[: match.start()] + path.stem[match.end() :]).strip("_.-")
        bands = by_band.setdefault((_folder(path), rest), {})
        bands.setdefault(canonical_band(match["band"]), []).append(file)
    if band_pattern and not by_band:
        raise UsageError(
            f"--band-pattern {band_pattern} matches none of {first_few(files)} (names without suffix)."
        )
    singles = [] if band_pattern else _scenes_of_one_file(alone, by_band)
    _log_found(by_band, sorted(set(alone) - set(singles)))
    groups = [_group_of_bands(key, bands, source_name) for key, bands in by_band.items()]
    groups += [Group(PurePosixPath(file).with_suffix("").as_posix(), (file,), ()) for file in singles]
    return _shortest_names(sorted(groups, key=lambda group: group.name))


def _compiled(band_pattern: str | None) -> re.Pattern[str]:
    try:
        pattern = re.compile(band_pattern or BAND_PATTERN)
    except re.error as error:
        raise UsageError(f"--band-pattern {band_pattern} is not a regular expression ({error}).") from error
    if "band" not in pattern.groupindex:
        raise UsageError(
            rf"--band-pattern {band_pattern} has no group (?P<band>...); for example: _(?P<band>B\d\d)$"
        )
    return pattern


def _folder(path: PurePosixPath) -> str:
    parts = [part for part in path.parts[:-1] if not _RESOLUTION_FOLDER.fullmatch(part)]
    return "/".join(parts)


def _scenes_of_one_file(alone: list[str], by_band: dict[tuple[str, str], dict[str, list[str]]]) -> list[str]:
    folders = {folder for (folder, _), bands in by_band.items() if len(bands) > 1}
    return [
        file
        for file in alone
        if _folder(PurePosixPath(file)) not in folders and not _NOT_IMAGERY & set(PurePosixPath(file).parts)
    ]


def _group_of_bands(key: tuple[str, str], bands: dict[str, list[str]], source_name: str) -> Group:
    folder, rest = key
    name = "/".join(part for part in (folder, rest) if part) or source_name
    order = sorted(bands, key=band_order)
    return Group(name, tuple(_one_file(name, band, bands[band]) for band in order), tuple(order))


def _one_file(scene: str, band: str, files: list[str]) -> str:
    """The finest of several resolutions of one band (B02_10m, B02_20m)."""
    metres = {file: re.search(r"_(\d+)m$", PurePosixPath(file).stem) for file in files}
    known = sorted((int(match[1]), file) for file, match in metres.items() if match)
    if len(files) > 1 and (len(known) < len(files) or known[0][0] == known[1][0]):
        raise DataError(
            f"{scene}: {' and '.join(files[:2])} both claim band {band}. Narrow it with --band-pattern."
        )
    return known[0][1] if known else files[0]


def _log_found(by_band: dict[tuple[str, str], dict[str, list[str]]], left_out: list[str]) -> None:
    sets = Counter(tuple(sorted(bands, key=band_order)) for bands in by_band.values())
    for bands, count in sets.most_common(3):
        logger.info(f"bands found by name: {','.join(bands)} ({count:,} scenes)")
    if left_out:
        logger.info(f"left out, no band in the name: {first_few(left_out)}")


def _shortest_names(groups: list[Group]) -> list[Group]:
    """The last part of each name where that tells all apart, else the whole path."""
    lasts = Counter(PurePosixPath(group.name).name for group in groups)
    short = [PurePosixPath(group.name).name for group in groups]
    if all(count == 1 for count in lasts.values()):
        return [Group(name, group.paths, group.bands) for name, group in zip(short, groups, strict=True)]
    taken = Counter(group.name for group in groups)
    return [
        group if taken[group.name] == 1 else Group(group.paths[0], group.paths, group.bands)
        for group in groups
    ]
