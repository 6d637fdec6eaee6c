"""Rows of a scene go as soon as their windows are copied, however many batches wait for the network."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
from striped_scene import bands_of, write_bands

import swath
from swath.datasets.scene import scene_of
from swath.serve.predict.scene import predict_scene
from swath.serve.scene.reader import SceneReader
from swath.serve.scene.sources import find_sources


@pytest.mark.parametrize(("parts", "windows", "most"), [(1, 40 * 3, 1), (2, 79 * 5, 2)])
def test_one_strip_a_resolution_is_alive_while_the_next_is_read_and_none_of_which_no_row_is_kept(
    bundled, tmp_path, parts, windows, most
):
    """Two resolutions; 3 or 5 windows a row, so that batches of 16 begin in one row and end in another."""
    model = swath.load(bundled[1])
    folder = write_bands(tmp_path / "imagery", bands_of(48, 640))
    (source,) = find_sources([folder])
    scene = scene_of(source.group, folder, max_pixels=10**6)
    reader = SceneReader(scene, model.about.tiles, multiply=None, max_pixels=10**6)
    strips: list[weakref.ref] = []
    alive = []

    def counted(read):
        def reads(top, height):
            alive.append(sum(strip() is not None for strip in strips))
            pixels, holes = read(top, height)
            strips.append(weakref.ref(own := np.array(pixels)))  # no view of another array
            return own, holes

        return reads

    reader.layers = [replace(layer, read=counted(layer.read)) for layer in reader.layers]
    (tmp_path / "out").mkdir()
    count = predict_scene(model, reader, tmp_path / "out", parts=parts)
    assert count.windows == windows
    assert len(alive) == 2 * (40 if parts == 1 else 79)
    assert max(alive) == most
