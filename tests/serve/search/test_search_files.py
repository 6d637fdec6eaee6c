import json

import geopandas
import matplotlib.image
import numpy as np
import pytest
import shapely
from matplotlib.axes import Axes

import swath
from swath.data.store import TileStore
from swath.errors import DataError, UsageError
from swath.pages.pictures import Display
from swath.serve.search.sheet import Cell, write_sheet

VALUES = np.random.default_rng(3).normal(size=(60, 32)).astype(np.float32)


@pytest.fixture
def path(make_features):
    return make_features(values=VALUES)


def test_geojson_and_geoparquet_hold_what_was_found_in_order(path, tmp_path):
    outs = (tmp_path / "found.geojson", tmp_path / "found.parquet")
    result = swath.search(path, like="t0005", k=4, out=outs)
    assert result.out == outs
    for frame in (geopandas.read_file(outs[0]), geopandas.read_parquet(outs[1])):
        assert frame["id"].tolist() == [tile["id"] for tile in result.found]
        assert frame.crs.to_epsg() == 4326
        middles = shapely.get_x(shapely.centroid(frame.geometry.to_numpy()))
        np.testing.assert_allclose(middles, [tile["lon"] for tile in result.found])
    first = json.loads(outs[0].read_text())["features"][0]["properties"]
    assert first == {"rank": 1, **result.found[0]}


def test_the_contact_sheet_shows_the_query_first_and_then_the_tiles(path, tmp_path):
    result = swath.search(path, like="t0005", k=12, out=tmp_path / "sheet.png")
    sheet = (matplotlib.image.imread(tmp_path / "sheet.png")[..., :3] * 255).round()
    store = TileStore(f"{path}.lance")
    display = Display.of(store, store.format)
    shown = ["t0005", *(tile["id"] for tile in result.found)]
    for place, name in enumerate(shown):
        tile = display.rgb(display.unit(np.asarray([int(name[1:])])))[0].astype(float)
        x, y = 10 + place % 10 * 138, 30 + place // 10 * 172
        drawn = sheet[y + 4 : y + 128 : 8, x + 4 : x + 128 : 8]
        np.testing.assert_allclose(drawn, tile, atol=6)


def test_words_too_long_for_the_sheet_keep_what_tells_tiles_apart(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(Axes, "text", lambda *given, **_: written.append(given[3]))
    rgb = np.zeros((8, 8, 3), np.uint8)
    cells = [
        Cell(rgb, "0.9", "T33UUU_20170216T102101_x160_y416"),
        Cell(rgb, "0.8", "Annual crop, Pasture, River"),
    ]
    write_sheet(tmp_path / "sheet.png", Cell(rgb, "query", "t0005"), cells, title="most like t0005")
    assert {"t0005", "...16T102101_x160_y416", "Annual crop, Pastur..."} <= set(written)


def test_the_pixels_may_come_from_the_pack_where_it_lies_now(path, make_pack, tmp_path):
    moved = (tmp_path / "features.parquet.lance").rename(tmp_path / "moved.lance")
    with pytest.raises(UsageError, match=r"no longer at .*features.parquet.lance; say where: --tiles TILES"):
        swath.search(path, like="t0005", k=2, out=tmp_path / "sheet.png")
    swath.search(path, like="t0005", k=2, out=tmp_path / "sheet.png", tiles=moved)
    other = make_pack("few.lance", count=12).path
    with pytest.raises(DataError, match=r"lacks 48 of the 60 embedded tiles, such as \"t0012\""):
        swath.search(path, like="t0005", k=2, out=tmp_path / "sheet.png", tiles=other)


def test_outputs_that_cannot_be_are_refused_before_anything_is_read(path, make_features, tmp_path):
    with pytest.raises(UsageError, match=r"ends in .png, .geojson, .parquet"):
        swath.search(path, like="t0005", out="found.csv")
    with pytest.raises(UsageError, match="holds something else already"):
        swath.search(path, like="t0005", out=_text(tmp_path / "found.png"))
    nowhere = make_features("nowhere.parquet", values=VALUES, located=False)
    with pytest.raises(UsageError, match=r"no tile of .* has a location; use .parquet or .png"):
        swath.search(nowhere, like="t0005", out=tmp_path / "found.geojson")


def _text(path):
    path.write_text("mine")
    return path
