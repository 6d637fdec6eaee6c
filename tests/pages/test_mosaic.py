"""Tiles laid back on the ground."""

from pathlib import Path

import numpy as np
import pytest
from mapped_tiles import SIZE_PX, pack_scene, scene_of

from swath.pages.mosaic import lay_out, paint, sheet
from swath.pages.pictures import Display


@pytest.mark.parametrize("stride_px", [SIZE_PX, SIZE_PX // 2])
def test_tiles_laid_back_by_their_footprints_are_the_scene(tmp_path: Path, stride_px: int) -> None:
    scene = scene_of(80, 112)
    store = pack_scene(tmp_path / "tiles.lance", scene, stride_px=stride_px)
    layout = lay_out(store)
    assert layout is not None
    assert layout.pixel_m == pytest.approx(10.0, rel=1e-6)
    canvas = paint(Display.of(store, store.format), layout)
    assert canvas.covered.all()
    assert np.array_equal((canvas.unit * 255).round().byte().numpy(), scene)


def test_tiles_without_place_have_no_layout_and_go_on_a_sheet(tmp_path: Path) -> None:
    store = pack_scene(tmp_path / "tiles.lance", scene_of(64, 64), described=False)
    assert lay_out(store) is None
    canvas = paint(Display.of(store, store.format), sheet(store, np.arange(5), columns=2))
    assert canvas.covered.shape == (3 * SIZE_PX, 2 * SIZE_PX)
    assert canvas.covered.mean() == pytest.approx(5 / 6)
