"""Bands and what a tile is made of: names, ground resolutions, groups, and the format that travels with a
run.
"""

import re
from dataclasses import asdict, dataclass
from typing import Any, Self

from swath.errors import DataError, UsageError, did_you_mean

SENTINEL2_GSD_M = {
    "B01": 60.0, "B02": 10.0, "B03": 10.0, "B04": 10.0, "B05": 20.0, "B06": 20.0, "B07": 20.0,
    "B08": 10.0, "B8A": 20.0, "B09": 60.0, "B10": 60.0, "B11": 20.0, "B12": 20.0,
}  # fmt: skip

# Sentinel-2 style names end in the band: T33UUU_20170216T102101_B04.jp2, B4.tif, patch_B8A.tif.
BAND_PATTERN = r"(?:^|[_.\-])(?P<band>B(?:\d{1,2}|8A)|VV|VH)(?:_\d+m)?$"

TRUE_COLOUR = (("B04", "B03", "B02"), ("red", "green", "blue"), ("R", "G", "B"))
PIXEL_TYPES = ("uint8", "uint16", "int16", "float32")


@dataclass(frozen=True)
class BandGroup:
    """Bands that share one ground resolution: stored together as (len(bands), size_px, size_px) of
    `dtype`.
    """

    bands: tuple[str, ...]
    size_px: int
    dtype: str

    def __post_init__(self) -> None:
        if not self.bands or self.size_px < 1:
            raise DataError(f"a band group needs bands and pixels, found {self.bands} of {self.size_px} px")
        if self.dtype not in PIXEL_TYPES:
            raise DataError(
                f"pixels of type {self.dtype} are not supported; supported: {', '.join(PIXEL_TYPES)}"
            )


@dataclass(frozen=True)
class TileFormat:
    """The preprocessing contract: how stored pixels become what a network sees.

    `bands` is the order of the network's input channels. `low` and `high` (stored units) are mapped to 0 and
    1 and values beyond are clamped; `mean` and `std` are of the result, per band. `gsd_m` is metres a pixel
    of the finest group, None where unknown.
    """

    bands: tuple[str, ...]
    groups: tuple[BandGroup, ...]
    gsd_m: float | None
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        grouped = sorted(band for group in self.groups for band in group.bands)
        if grouped != sorted(self.bands) or len(set(self.bands)) != len(self.bands):
            raise DataError(f"bands {self.bands} and the bands of the groups {grouped} are not the same set")
        for name in ("low", "high", "mean", "std"):
            if len(getattr(self, name)) != len(self.bands):
                raise DataError(f"{name} has {len(getattr(self, name))} values for {len(self.bands)} bands")

    @property
    def size_px(self) -> int:
        """Pixels a side of the finest group, which is the side of the network's input."""
        return max(group.size_px for group in self.groups)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        groups = tuple(
            BandGroup(bands=tuple(g["bands"]), size_px=g["size_px"], dtype=g["dtype"])
            for g in value["groups"]
        )
        numbers = {name: tuple(value[name]) for name in ("low", "high", "mean", "std")}
        return cls(bands=tuple(value["bands"]), groups=groups, gsd_m=value["gsd_m"], **numbers)


def check_same_input(trained: TileFormat, given: TileFormat, *, where: str) -> None:
    """Refuse tiles that a network was not trained for.

    Raises:
        DataError: bands, their order, or the ground resolution differ; both sides are named.
    """
    if trained.bands != given.bands:
        raise DataError(
            f"{where} has bands {','.join(given.bands)}; the run was trained on {','.join(trained.bands)}. "
            f"Pack again with --bands {','.join(trained.bands)}."
        )
    if trained.gsd_m and given.gsd_m and abs(trained.gsd_m / given.gsd_m - 1) > 0.05:
        raise DataError(f"{where} has {given.gsd_m:g} m a pixel; the run was trained on {trained.gsd_m:g} m.")


def canonical_band(name: str) -> str:
    """'B4' and 'b04' are 'B04', 'B8a' is 'B8A'; other names are left as they are."""
    match = re.fullmatch(r"[Bb](\d{1,2})", name)
    if match:
        return f"B{int(match[1]):02d}"
    return name.upper() if name.upper() in {"B8A", "VV", "VH"} else name


def band_of_file(stem: str, pattern: str = BAND_PATTERN) -> str | None:
    """The band that a file name (without suffix) ends in, or None. `pattern` needs a group named `band`."""
    match = re.search(pattern, stem)
    return canonical_band(match["band"]) if match else None


def choose_bands(asked: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """The bands asked for, in the order asked, or all known ones where nothing was asked.

    Raises:
        UsageError: a name is unknown or named twice.
    """
    names = tuple(canonical_band(name) for name in asked)
    for name in names:
        if name not in known:
            raise UsageError(f'no band "{name}"; bands here: {", ".join(known)}.{did_you_mean(name, known)}')
    if len(set(names)) != len(names):
        raise UsageError(f"a band is named twice in {','.join(names)}")
    return names or known


def true_colour(bands: tuple[str, ...]) -> tuple[int, int, int]:
    """Positions in `bands` to show as red, green and blue; the first three (or the first, thrice) where none
    is known.
    """
    for names in TRUE_COLOUR:
        if all(name in bands for name in names):
            return (bands.index(names[0]), bands.index(names[1]), bands.index(names[2]))
    return (0, 1, 2) if len(bands) >= 3 else (0, 0, 0)
