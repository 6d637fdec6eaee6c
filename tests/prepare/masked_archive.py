"""Four small pictures in two areas, each with a mask of colours beside it."""

from pathlib import Path

import numpy as np
import rasterio

NAMES = ("water", "building")
COLOURS = np.asarray([0xE2A929, 0x3C1098, 0x000000])  # the third is to be ignored
CLASSES_CSV = "class,value\nwater,#E2A929\nbuilding,#3C1098\n,#000000\n"
HEIGHT_PX, WIDTH_PX = 32, 48


def colours_of(mask: np.ndarray) -> np.ndarray:
    """(H, W) places, 255 for the ignored, to (3, H, W) uint8."""
    codes = COLOURS[np.where(mask == 255, 2, mask)]
    return np.stack([(codes >> 16) & 255, (codes >> 8) & 255, codes & 255]).astype(np.uint8)


def write_png(path: Path, bands: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = bands.shape
    with rasterio.open(
        path, "w", driver="PNG", height=height, width=width, count=count, dtype="uint8"
    ) as png:
        png.write(bands)


def make_archive(folder: Path, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Write it; returns the masks by the name that a scene gets."""
    rng = np.random.default_rng(seed)
    truth = {}
    for area in ("north", "south"):
        for name in ("a", "b"):
            mask = rng.choice(np.asarray([0, 1, 255], np.uint8), (HEIGHT_PX, WIDTH_PX), p=[0.5, 0.4, 0.1])
            level = np.where(mask == 0, 60, 180)
            image = (level + rng.normal(0, 20, (3, HEIGHT_PX, WIDTH_PX))).clip(0, 255).astype(np.uint8)
            write_png(folder / area / "images" / f"{name}.png", image)
            write_png(folder / area / "masks" / f"{name}.png", colours_of(mask))
            truth[f"{area}/images/{name}"] = mask
    return truth
