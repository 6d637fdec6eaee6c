"""Masks of numbers, palettes and colours become the classes that a plain loop finds."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from swath.data.masks import IGNORE, MaskClasses, read_mask, read_mask_classes
from swath.errors import DataError, UsageError

COLOURS = {0xE2A929: 0, 0x3C1098: 1, 0x000000: IGNORE}
CLASSES = MaskClasses(("water", "building"), COLOURS, by_colour=True)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def codes(side: int = 12) -> np.ndarray:
    return np.random.default_rng(0).choice(list(COLOURS), (side, side))


def write(path: Path, bands: np.ndarray, palette: dict[int, tuple[int, int, int, int]] | None = None) -> Path:
    count, height, width = bands.shape
    with rasterio.open(
        path, "w", driver="PNG", height=height, width=width, count=count, dtype=bands.dtype
    ) as raster:
        raster.write(bands)
        if palette:
            raster.write_colormap(1, palette)
    return path


def read(path: Path, classes: MaskClasses, window=(0, 0, 12, 12), out_px=12) -> np.ndarray:
    return read_mask(path, window, out_px, classes=classes, max_pixels=10**6, root=path.parent)


def as_colours(found: np.ndarray) -> np.ndarray:
    return np.stack([(found >> 16) & 255, (found >> 8) & 255, found & 255]).astype(np.uint8)


def test_a_mask_of_colours_and_one_of_palette_places_are_read_alike(tmp_path):
    wanted = codes()
    expected = [[COLOURS[int(code)] for code in row] for row in wanted]
    rgb = write(tmp_path / "rgb.png", as_colours(wanted))
    places = np.searchsorted(sorted(COLOURS), wanted).astype(np.uint8)[None]
    palette = {i: (c >> 16, (c >> 8) & 255, c & 255, 255) for i, c in enumerate(sorted(COLOURS))}
    indexed = write(tmp_path / "palette.png", places, palette)
    np.testing.assert_array_equal(read(rgb, CLASSES), expected)
    np.testing.assert_array_equal(read(indexed, CLASSES), expected)


def test_a_window_is_cut_out_and_never_blended(tmp_path):
    wanted = codes()
    path = write(tmp_path / "rgb.png", as_colours(wanted))
    whole = read(path, CLASSES)
    np.testing.assert_array_equal(read(path, CLASSES, window=(3, 5, 6, 6), out_px=6), whole[5:11, 3:9])
    assert set(np.unique(read(path, CLASSES, out_px=7))) <= set(COLOURS.values())


def test_numbers_are_listed_in_the_table_and_others_are_named(tmp_path):
    path = write(tmp_path / "numbers.png", np.asarray([[[1, 2], [2, 9]]], np.uint8))
    table = tmp_path / "classes.csv"
    table.write_text("class,value\nwater,1\nroad,2\n", encoding="utf-8")
    classes = read_mask_classes(table)
    with pytest.raises(DataError, match=r"numbers.png holds value 9, which is no class of its mask: value 1"):
        read(path, classes, window=(0, 0, 2, 2), out_px=2)
    table.write_text("class,value\nwater,1\nroad,2\n,9\n", encoding="utf-8")
    found = read(path, read_mask_classes(table), window=(0, 0, 2, 2), out_px=2)
    assert found.tolist() == [[0, 1], [1, IGNORE]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,value\nwater,1\n", "is no table of mask classes"),
        ("", "is no table of mask classes"),
        ("class,value\nwater,1\nroad,#112233\n", "or the two are mixed"),
        ("class,value\nwater,1\nroad,1\n", "line 3: the value 1 stands twice"),
        ("class,value\nwater,-1\n", "no whole number and no colour"),
        ("class,value\n,1\n", "need 1 to 254 classes"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "classes.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_mask_classes(path)
    with pytest.raises(UsageError, match=r"class,value"):
        read_mask_classes(tmp_path / "nothing.csv")


def test_a_mask_of_one_band_cannot_be_colours(tmp_path):
    path = write(tmp_path / "grey.png", np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(DataError, match="has 1 bands of uint8; the classes of its mask are colours"):
        read(path, CLASSES, window=(0, 0, 4, 4), out_px=4)


def test_classes_come_back_from_an_index_as_they_were():
    import json

    assert MaskClasses.from_index(json.loads(json.dumps(CLASSES.to_json()))) == CLASSES
    assert MaskClasses.from_index(None) is None
