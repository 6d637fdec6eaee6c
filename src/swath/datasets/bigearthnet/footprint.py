"""Where a patch lies, from its name alone: MGRS tile and cell -> exact bounds in UTM.

Patches are cut from the corner of the 100 km square that the tile is named after, moved out to a multiple of
60 m, 1,200 m a cell. Compared with the geometry tables of v1: 219,963 patches, no difference.
"""

import numpy as np
import numpy.typing as npt

from swath.datasets.bigearthnet.sensors import PATCH_M

SQUARE_M = 100_000
_GRID_M = 60
_COLUMNS = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")  # by zone modulo 3
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_CYCLE_M = len(_ROWS) * SQUARE_M
# Smallest northing of each latitude band of the northern hemisphere; rows repeat every 2,000 km.
_LOWEST_M = {
    "N": 0, "P": 800_000, "Q": 1_700_000, "R": 2_600_000, "S": 3_500_000, "T": 4_400_000, "U": 5_300_000,
    "V": 6_200_000, "W": 7_000_000, "X": 7_900_000,
}  # fmt: skip


def epsg_of(tile: str) -> int:
    """UTM zone of an MGRS tile such as 33UUP; BigEarthNet lies north of the equator."""
    return 32600 + int(tile[:2])


def corner_of(tile: str) -> tuple[int, int]:
    """(left, top) in metres of the grid of patches of an MGRS tile such as 33UUP.

    Raises:
        ValueError: no such tile, or one south of the equator.
    """
    zone, band = int(tile[:2]), tile[2]
    if not 1 <= zone <= 60 or band not in _LOWEST_M:
        raise ValueError(f"{tile} is no MGRS tile of the northern hemisphere")
    east = (_COLUMNS[zone % 3].index(tile[3]) + 1) * SQUARE_M
    shifted = 5 if zone % 2 == 0 else 0  # even zones begin at F
    north = (_ROWS.index(tile[4]) - shifted) % len(_ROWS) * SQUARE_M
    while north < _LOWEST_M[band]:
        north += _CYCLE_M
    top = north + SQUARE_M
    return east // _GRID_M * _GRID_M, -(-top // _GRID_M) * _GRID_M


def bounds_m(
    corners: npt.NDArray[np.int32], h: npt.NDArray[np.int32], v: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """(N, 4) left, bottom, right, top of cells h, v (N,) in grids with (left, top) `corners` (N, 2)."""
    left = corners[:, 0] + PATCH_M * h
    top = corners[:, 1] - PATCH_M * v
    return np.stack([left, top - PATCH_M, left + PATCH_M, top], axis=1)
