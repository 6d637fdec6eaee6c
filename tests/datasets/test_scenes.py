import datetime as dt
import logging
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from shapely.geometry import box

from swath.datasets.layout import Asked
from swath.datasets.scenes import find
from swath.errors import DataError, UsageError


def rows_of(source, **asked):
    layout = find(source, Asked(**{"tile_px": 32, **asked}))
    return layout, list(layout.rows)


def test_a_scene_of_13_files_is_cut_on_its_finest_grid(tmp_path, write_bands):
    layout, rows = rows_of(write_bands(tmp_path / "s"), tile_px=48, stride_px=24)
    info = layout.info
    assert info.bands[7:10] == ("B08", "B8A", "B09")
    assert info.band_px == tuple(10 / gsd for gsd in (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 60, 20, 20))
    assert (info.nodata, info.stride_px, layout.files) == (0, 24, 13)
    assert [(row["x_px"], row["y_px"]) for row in rows[:5]] == [(0, 0), (24, 0), (48, 0), (72, 0), (0, 24)]
    assert rows[0]["id"] == "T33UUU_20170216T102101_x0_y0"
    assert rows[0]["paths"][8] == "T33UUU_20170216T102101_B8A.tif"
    assert (rows[0]["sensor"], rows[0]["acquired"]) == ("Sentinel-2", dt.date(2017, 2, 16))
    assert (rows[0]["gsd_m"], rows[0]["crs"]) == (10, "EPSG:32633")
    assert info.attribution == "Contains modified Copernicus Sentinel data 2017"


def test_footprints_lie_where_the_tiles_do(tmp_path, write_tif):
    _, rows = rows_of(write_tif(tmp_path / "a.tif", (1, 64, 96)))
    ground = geopandas.GeoSeries(shapely.from_wkb([row["geometry"] for row in rows]), crs=4326).to_crs(32633)
    expected = box(400_000 + 640, 5_000_000 - 640, 400_000 + 960, 5_000_000 - 320)
    assert rows[5]["id"] == "a_x64_y32"
    assert ground[5].symmetric_difference(expected).area < 1


def test_scenes_of_other_dates_and_systems_go_into_one_index(tmp_path, write_tif):
    write_tif(tmp_path / "m_4709963_se_14_1_20090818.tif", (4, 32, 64), dtype="uint8", crs="EPSG:26914")
    write_tif(tmp_path / "m_4709963_se_15_1_20200831.tif", (4, 64, 32), dtype="uint8", crs="EPSG:26915")
    layout, rows = rows_of(tmp_path)
    assert layout.info.bands == ("red", "green", "blue", "nir")
    assert [(row["crs"], row["acquired"].year) for row in rows] == [("EPSG:26914", 2009)] * 2 + [
        ("EPSG:26915", 2020)
    ] * 2


@pytest.mark.parametrize("max_nodata", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 0), ("float32", None), ("int16", -9999)])
def test_nodata_is_measured_on_the_pixels(tmp_path, write_tif, dtype, nodata, max_nodata):
    pixels = np.full((2, 64, 64), 7, dtype)
    blank = np.nan if nodata is None else nodata
    pixels[:, :32, :32] = blank  # a whole tile in every band
    pixels[:, 32:40, :32] = blank  # a quarter of a tile in every band
    pixels[0, :, 32:] = blank  # one band alone does not count
    path = write_tif(tmp_path / "a.tif", pixels=pixels, nodata=nodata, descriptions=("p", "q"))
    layout, rows = rows_of(path, max_nodata=max_nodata)
    shares = {"a_x0_y0": 1.0, "a_x32_y0": 0.0, "a_x0_y32": 0.25, "a_x32_y32": 0.0}
    assert {row["id"]: row["nodata_share"] for row in rows} == {
        k: v for k, v in shares.items() if v <= max_nodata
    }
    assert layout.skipped["nodata"] == 4 - len(rows)


def test_sentinel2_zeros_are_nodata_though_the_file_does_not_say_so(tmp_path, write_tif):
    for band in ("B02", "B03"):
        write_tif(tmp_path / f"T33UUU_20170216T102101_{band}.tif", pixels=np.zeros((1, 32, 32), np.uint16))
    layout, rows = rows_of(tmp_path)
    assert (rows, layout.skipped["nodata"]) == ([], 1)


def fields(path, crs="EPSG:32633"):
    """Class a on the left half of a 64 px scene, b on the top tenth, c far away."""
    shapes = [
        box(400_000, 4_999_360, 400_320, 5_000_000),
        box(400_000, 4_999_936, 400_640, 5_000_000),
        box(0, 0, 9, 9),
    ]
    frame = geopandas.GeoDataFrame(
        {"kind": list("abc"), "osm_id": [1, 2, 3]}, geometry=shapes, crs="EPSG:32633"
    )
    frame.to_crs(crs).to_file(path)
    return path


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326"])
def test_polygons_give_shares_and_labels(tmp_path, write_tif, crs):
    scene = write_tif(tmp_path / "a.tif")
    layout, rows = rows_of(
        scene, labels=fields(tmp_path / "f.gpkg", crs), label_column="kind", min_share=0.15
    )
    assert (layout.info.task, layout.info.vocabulary) == ("multilabel", ("a", "b"))
    assert "OpenStreetMap" in layout.info.attribution
    assert np.allclose([row["label_shares"] for row in rows], [[1, 0.1875], [0, 0.1875], [1, 0], [0, 0]])
    assert [row["labels"] for row in rows] == [["a", "b"], ["b"], ["a"], []]
    asked = {"labels": tmp_path / "f.gpkg", "label_column": "kind", "min_share": 0.15}
    _, partial = rows_of(scene, **asked, partial_labels=True)
    assert [row["labels"] for row in partial] == [["a", "b"], ["b"], ["a"], None]


def test_polygons_elsewhere_or_scenes_without_place_are_refused(tmp_path, write_tif):
    labels = fields(tmp_path / "f.gpkg")
    far = write_tif(tmp_path / "far.tif", crs="EPSG:32733")
    with pytest.raises(DataError, match=r"no polygon of .*f.gpkg \(EPSG:32633\) lies on the scenes"):
        find(far, Asked(tile_px=32, labels=labels, label_column="kind"))
    nowhere = tmp_path / "nowhere.png"
    Image.new("RGB", (64, 64)).save(nowhere)
    with pytest.raises(DataError, match="has no location, so polygons cannot label it"):
        find(nowhere, Asked(tile_px=32, labels=labels, label_column="kind"))


def test_scenes_are_labelled_by_polygons_alone(tmp_path, write_tif):
    scene = write_tif(tmp_path / "a.tif")
    with pytest.raises(UsageError, match=r"scenes are labelled by polygons .* found labels.csv"):
        find(scene, Asked(labels=Path("labels.csv")))
    with pytest.raises(UsageError, match="--labels"):
        find(scene, Asked(label_column="kind"))
    with pytest.raises(UsageError, match="--label-column NAME"):
        find(scene, Asked(labels=Path("f.gpkg"), label_columns=("a", "b")))


def test_a_picture_without_place_is_cut_too(tmp_path):
    Image.new("RGB", (64, 32)).save(tmp_path / "a.png")
    layout, rows = rows_of(tmp_path / "a.png")
    assert layout.info.bands == ("red", "green", "blue")
    assert [(row["crs"], row["gsd_m"], row["geometry"]) for row in rows] == [(None, None, None)] * 2


def test_descriptions_name_bands_and_made_up_names_are_warned_of_once(tmp_path, write_tif, caplog):
    named = write_tif(tmp_path / "1" / "a.tif", (2, 32, 32), descriptions=("B4", "swir"))
    assert find(named, Asked(tile_px=32)).info.bands == ("B04", "swir")
    for name in "bc":
        write_tif(tmp_path / "2" / f"{name}.tif", (5, 32, 32))
    caplog.set_level(logging.WARNING)
    assert find(tmp_path / "2", Asked(tile_px=32)).info.bands == ("band1", "band2", "band3", "band4", "band5")
    (record,) = caplog.records
    assert "b.tif does not name its bands; called band1,band2,band3,band4,band5 (2 scenes)" in record.message


def test_scenes_with_other_bands_are_listed(tmp_path, write_bands):
    write_bands(tmp_path / "1", side=60)
    write_bands(tmp_path / "2", "T33UUU_20180216T102101_", side=60, leave_out=("B10",))
    with pytest.raises(DataError, match=r"scenes differ in their bands: .*B10.* \| .* --band-pattern"):
        find(tmp_path, Asked(tile_px=32))
    layout = find(tmp_path, Asked(tile_px=32, band_pattern=r"_(?P<band>B(?!10)\w\w)$"))
    assert len(layout.info.bands) == 12


def test_bands_of_other_ground_are_refused(tmp_path, write_tif):
    write_tif(tmp_path / "a_B02.tif", (1, 64, 64), gsd_m=10)
    write_tif(tmp_path / "a_B05.tif", (1, 20, 20), gsd_m=20)
    with pytest.raises(
        DataError, match=r"a_B05.tif does not cover the same ground as a_B02.tif: 20x20 px of 20"
    ):
        find(tmp_path, Asked(tile_px=32))


def test_a_scene_smaller_than_a_tile_says_what_fits(tmp_path, write_tif):
    write_tif(tmp_path / "small.tif", (1, 20, 30), descriptions=("pan",))
    with pytest.raises(
        DataError, match=r"small.tif is 30x20 px, smaller than a tile of 32 px. Use --tile-px 20"
    ):
        find(tmp_path, Asked(tile_px=32))
    for band, side_px, gsd_m in (("B01", 5, 40), ("B02", 20, 10)):
        write_tif(tmp_path / "bands" / f"a_{band}.tif", (1, side_px, side_px), gsd_m=gsd_m)
    with pytest.raises(DataError, match=r"^a_B02.tif is 20x20 px, smaller than a tile of 32 px"):
        find(tmp_path / "bands", Asked(tile_px=32))
    shutil.rmtree(tmp_path / "bands")
    write_tif(tmp_path / "large.tif", (1, 64, 64), descriptions=("pan",))
    layout, rows = rows_of(tmp_path)
    assert (len(rows), dict(layout.skipped)) == (4, {"scene smaller than a tile": 1})


def test_all_bad_scenes_are_listed_at_once(tmp_path, write_tif):
    write_tif(tmp_path / "good.tif")
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.tif").write_text("hello")
    with pytest.raises(
        DataError, match=r"2 of 3 scenes are bad \(66.7%\): .*empty.tif is empty .* \| .*text.tif is not"
    ):
        find(tmp_path, Asked(tile_px=32))


def test_a_folder_without_rasters_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="holds no GeoTIFF, JPEG 2000, PNG or JPEG"):
        find(tmp_path, Asked())


def test_bands_of_a_scene_turned_by_a_quarter_fit_together(tmp_path, write_tif):
    for band, gsd_m, side in (("B02", 10.0, 64), ("B05", 20.0, 32)):
        path = write_tif(tmp_path / f"T33UUU_20170216T102101_{band}.tif", (1, side, side), gsd_m=gsd_m)
        with rasterio.open(path, "r+") as raster:
            raster.transform = rasterio.Affine(0, gsd_m, 400_000, gsd_m, 0, 5_000_000)
    layout, rows = rows_of(tmp_path, tile_px=32)
    assert layout.info.band_px == (1.0, 0.5)
    assert len(rows) == 4
