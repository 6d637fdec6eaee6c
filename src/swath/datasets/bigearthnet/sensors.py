"""The files of a patch: which bands, how many pixels a side, which type; the same in v1 and v2."""

from dataclasses import dataclass, replace
from typing import Self

from swath.data.bands import SENTINEL2_GSD_M

TILE_PX = 120
GSD_M = 10.0
PATCH_M = 1200


@dataclass(frozen=True)
class PatchFiles:
    """One GeoTIFF a band. `plain_bytes`: sizes of the files as they were published in v1 and v2, striped and
    not compressed, so that a file of that size is whole.
    """

    sensor: str
    bands: tuple[str, ...]
    side_px: tuple[int, ...]
    plain_bytes: tuple[tuple[int, ...], ...]
    dtype: str

    @property
    def band_px(self) -> tuple[float, ...]:
        """Pixels of a band for one of 10 m, along one side."""
        return tuple(side / TILE_PX for side in self.side_px)

    def only(self, bands: tuple[str, ...]) -> Self:
        """The same without the bands that are not named."""
        places = [self.bands.index(band) for band in bands]
        return replace(
            self,
            bands=bands,
            side_px=tuple(self.side_px[place] for place in places),
            plain_bytes=tuple(self.plain_bytes[place] for place in places),
        )


_S2_BANDS = tuple(band for band in SENTINEL2_GSD_M if band != "B10")
_S2_SIDES = tuple(round(TILE_PX * GSD_M / SENTINEL2_GSD_M[band]) for band in _S2_BANDS)
_S2_BYTES = {120: (29_192, 29_196), 60: (7_560, 7_572), 20: (1_160, 1_172)}

SENTINEL2 = PatchFiles(
    "Sentinel-2", _S2_BANDS, _S2_SIDES, tuple(_S2_BYTES[side] for side in _S2_SIDES), "uint16"
)
SENTINEL1 = PatchFiles("Sentinel-1", ("VV", "VH"), (TILE_PX, TILE_PX), ((58_024,), (58_024,)), "float32")
