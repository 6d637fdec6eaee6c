"""Red, green and blue patches as BigEarthNet publishes them, a file a band, and their packs.

The published dataset class opens the three files of a patch with rasterio for every image, and makes 8-bit
numbers of them by reflectance / 2000 * 255; `PatchFolder` reads as it does.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from bigearthnet_archive import generated

import swath

BANDS = ("B04", "B03", "B02")


@dataclass(frozen=True)
class PatchFolder:
    """A folder of patches, a folder each."""

    patches: tuple[Path, ...]

    def read(self, number: int) -> npt.NDArray[np.uint16]:
        """(3, 120, 120) reflectance, by three opens."""
        bands = []
        for band in BANDS:
            with rasterio.open(self.patches[number] / f"{self.patches[number].name}_{band}.tif") as file:
                bands.append(file.read(1))
        return np.stack(bands)

    def read_8bit(self, number: int) -> npt.NDArray[np.uint8]:
        """(3, 120, 120) as the public recipe scales it."""
        return (self.read(number) / 2000 * 255).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class RecipeTiles:
    """The same patches three times: as files, packed as they are, and packed in 8 bits."""

    files: PatchFolder
    stored: Path
    scaled: Path


def make_tiles(folder: Path, count: int) -> RecipeTiles:
    """`count` patches of real ground (see `bigearthnet_archive`), and packs of them."""
    patches = folder / "patches"
    for name, files in generated(count):
        (patches / name).mkdir(parents=True)
        for band in BANDS:
            (patches / name / f"{name}_{band}.tif").write_bytes(files[f"{name}_{band}.tif"])
    swath.index(patches, out=folder / "index.parquet", layout="scenes", tile_px=120)
    swath.pack(folder / "index.parquet", out=folder / "stored.lance", bands=BANDS)
    swath.pack(folder / "index.parquet", out=folder / "scaled.lance", bands=BANDS, scale="recipe")
    files = PatchFolder(tuple(sorted(patches.iterdir())))
    return RecipeTiles(files, folder / "stored.lance", folder / "scaled.lance")
