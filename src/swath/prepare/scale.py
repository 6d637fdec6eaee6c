"""The values that are stored: as they are, or 8-bit as the public recipe for BigEarthNet makes them."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from swath.data.bands import BandGroup
from swath.errors import UsageError

Scale = Literal["stored", "recipe"]

# Reflectance x 10,000 / 2,000 x 255, fractions cut off. The published code clips at 225, a slip of the pen
# that makes the brightest eighth one grey; here 255.
_RECIPE = np.minimum(np.arange(1 << 16) * 255 // 2000, 255).astype(np.uint8)


def stored_groups(groups: tuple[BandGroup, ...], scale: Scale) -> tuple[BandGroup, ...]:
    """In which types `groups` are stored.

    Raises:
        UsageError: the recipe is asked for other pixels than uint16 reflectance.
    """
    if scale == "stored":
        return groups
    other = next((group for group in groups if group.dtype != "uint16"), None)
    if other:
        raise UsageError(
            f"--scale recipe is for Sentinel-2 reflectance (uint16 x 10,000); {', '.join(other.bands)} are "
            f"{other.dtype}. Leave out --scale."
        )
    return tuple(replace(group, dtype="uint8") for group in groups)


def to_stored(pixels: npt.NDArray[Any], scale: Scale) -> npt.NDArray[Any]:
    return pixels if scale == "stored" else _RECIPE[pixels]
