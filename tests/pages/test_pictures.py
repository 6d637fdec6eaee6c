"""Tiles as an eye wants them."""

import base64
import io
import re
from pathlib import Path

import matplotlib.image
import numpy as np
from mapped_tiles import pack_scene, scene_of

from swath.pages.pictures import Display, image


def test_a_picture_of_a_tile_comes_back_exactly_from_the_page() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    found = re.search(r'src="data:image/png;base64,([^"]+)"', image(rgb, alt="x"))
    assert found
    decoded = matplotlib.image.imread(io.BytesIO(base64.b64decode(found[1])), format="png")[..., :3]
    assert np.array_equal((decoded * 255).round().astype(np.uint8), rgb)


def test_reflectances_are_stretched_for_the_eye_and_bytes_are_not(tmp_path: Path) -> None:
    store = pack_scene(tmp_path / "tiles.lance", scene_of(64, 64))
    display = Display.of(store, store.format)
    pixels = store.read(np.arange(2))[0]
    assert np.array_equal(display.rgb(display.unit(np.arange(2))), pixels.transpose(0, 2, 3, 1))
