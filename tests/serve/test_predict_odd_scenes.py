"""Scenes that are not what the network was trained on: resampled or refused, never quietly wrong."""

import json
import resource

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pyproj
import pytest
import rasterio
import shapely
from rasterio import Affine
from rasterio.warp import Resampling, reproject
from striped_scene import ORIGIN, bands_of, write_bands, write_stack
from striped_tiles import VOCABULARY

import swath
from swath.errors import MachineError, UsageError


def predict(bundled, scene, out, **settings):
    """The one prediction, with its table and transform; or the reason why there is none."""
    result = swath.predict(bundled[1], scene, out=out, **{"overlap": 0} | settings)
    return next(iter(result.bad.values())) if result.bad else result


def probabilities(out, name="scene"):
    table = pq.read_table(out / name / "tiles.parquet")
    return np.stack([table[f"p_{label}"].to_numpy() for label in VOCABULARY], axis=1)


def check_same(found, expected):
    np.testing.assert_allclose(probabilities(found), probabilities(expected), atol=1e-6)


def square(gsd_m):
    return Affine(gsd_m, 0, ORIGIN[0], 0, -gsd_m, ORIGIN[1])


def test_a_scene_without_a_band_names_it(bundled, tmp_path):
    bands = bands_of(64, 64)
    del bands["B08"]
    said = predict(bundled, write_bands(tmp_path / "s", bands), tmp_path / "out")
    assert "has bands B03,B04,B11; the network reads B04,B03,B08,B11, and B08 is missing" in said


def test_a_stack_that_names_no_bands_needs_their_names(bundled, tmp_path):
    path = write_stack(tmp_path / "scene.tif", bands_of(64, 64), names=False)
    assert "say how they are called with --bands" in predict(bundled, path, tmp_path / "out")
    named = predict(bundled, path, tmp_path / "out", bands="B4,B03,B08,B11")
    assert named.windows == 16
    assert "has 4 bands, --bands names 2" in predict(bundled, path, tmp_path / "out2", bands="B04,B03")
    told = write_stack(tmp_path / "told.tif", bands_of(64, 64))
    assert "leave out --bands" in predict(bundled, told, tmp_path / "out3", bands="B04,B03,B08,B11")


def test_reflectance_in_0_to_1_is_refused_and_multiplied_where_asked(bundled, tmp_path):
    bands = bands_of(64, 64)
    write_bands(tmp_path / "whole", bands)
    floats = {band: (pixels / 10_000).astype(np.float32) for band, pixels in bands.items()}
    write_bands(tmp_path / "share", floats)
    said = predict(bundled, tmp_path / "share", tmp_path / "out")
    assert "as float32; the network was trained on uint16." in said
    assert "--multiply 10000" in said
    predict(bundled, tmp_path / "share", tmp_path / "out", multiply=10_000)
    predict(bundled, tmp_path / "whole", tmp_path / "expected")
    np.testing.assert_allclose(
        probabilities(tmp_path / "out"), probabilities(tmp_path / "expected"), atol=1e-6
    )


def test_values_that_are_a_hundredth_of_those_of_training_are_refused(bundled, tmp_path):
    bands = {band: (pixels // 100).astype(np.uint16) for band, pixels in bands_of(64, 64).items()}
    said = predict(bundled, write_bands(tmp_path / "s", bands), tmp_path / "out")
    assert "these are far smaller" in said
    assert "swath predict --multiply 100)" in said
    assert predict(bundled, tmp_path / "s", tmp_path / "out", multiply=100).windows == 16


def test_another_resolution_is_resampled_as_gdal_does_it(bundled, tmp_path):
    """A scene of 5 m a pixel: what GDAL makes of it at 10 m, predicted as it is, is the oracle."""
    fine = write_bands(tmp_path / "fine", bands_of(128, 128), transform=square(5))
    coarse = {}
    for path in sorted(fine.glob("*.tif")):
        with rasterio.open(path) as scene:
            band, side = path.stem[-3:], scene.width // 2
            target = np.zeros((side, side), np.uint16)
            reproject(
                scene.read(1), target, src_transform=scene.transform, src_crs=scene.crs, dst_crs=scene.crs,
                dst_transform=scene.transform @ Affine.scale(2), resampling=Resampling.bilinear,
            )  # fmt: skip
            coarse[band] = target
    order = ("B04", "B03", "B08", "B11")
    write_bands(tmp_path / "coarse", {band: coarse[band] for band in order})
    result = predict(bundled, fine, tmp_path / "out")
    assert result.scenes["scene"]["resampled"]
    assert (result.scenes["scene"]["width_px"], result.scenes["scene"]["height_px"]) == (64, 64)
    predict(bundled, tmp_path / "coarse", tmp_path / "expected")
    np.testing.assert_allclose(
        probabilities(tmp_path / "out"), probabilities(tmp_path / "expected"), atol=1e-6
    )
    with rasterio.open(tmp_path / "out" / "scene" / "classes.tif") as classes:
        assert classes.res == (10, 10)


def test_a_resolution_too_far_off_is_refused(bundled, tmp_path):
    scene = write_bands(tmp_path / "s", bands_of(64, 64), transform=square(30))
    said = predict(bundled, scene, tmp_path / "out")
    assert "has 30 m a pixel, the network knows 10 m; scenes are resampled from 0.625 to 20 m" in said


@pytest.mark.parametrize(
    ("crs", "transform", "utm"),
    [
        ("EPSG:4326", Affine(1e-4, 0, 12.0, 0, -1e-4, 52.5), "EPSG:32633"),
        ("EPSG:4326", Affine(1e-4, 0, 11.99, 0, -1e-4, -12.5), "EPSG:32732"),  # over the border of two zones
        ("EPSG:4326", Affine(1e-4, 0, 179.995, 0, -1e-4, 60.0), "EPSG:32601"),  # over the antimeridian
        ("EPSG:3857", Affine(10, 0, 1_300_000, 0, -10, 6_900_000), "EPSG:32632"),
    ],
)
def test_degrees_and_web_mercator_are_brought_to_utm(bundled, tmp_path, crs, transform, utm):
    scene = write_stack(tmp_path / "scene.tif", bands_of(160, 160), crs=crs, transform=transform)
    result = predict(bundled, scene, tmp_path / "out")
    with rasterio.open(tmp_path / "out" / "scene" / "classes.tif") as classes:
        assert classes.crs == rasterio.crs.CRS.from_string(utm)
        assert classes.res == (10, 10)
    ground = geopandas.read_parquet(tmp_path / "out" / "scene" / "tiles.parquet")
    assert len(ground) == result.scenes["scene"]["tiles"] > 4
    area = ground.to_crs(utm).area
    np.testing.assert_allclose(area, 160 * 160, rtol=0.01)


def test_tiles_over_the_antimeridian_keep_their_shape(bundled, tmp_path):
    x, y = pyproj.Transformer.from_crs(4326, 32601).transform(60, 180)
    place = Affine(10, 0, x - 320, 0, -10, y)
    scene = write_bands(tmp_path / "s", bands_of(64, 64), crs="EPSG:32601", transform=place)
    assert predict(bundled, scene, tmp_path / "out").windows == 16
    table = pq.read_table(tmp_path / "out" / "scene" / "tiles.parquet")
    widths = [shapely.from_wkb(wkb).bounds for wkb in table["geometry"].to_pylist()]
    assert max(right - left for left, _, right, _ in widths) < 0.01
    assert min(left for left, *_ in widths) < -180 < max(right for _, _, right, _ in widths)


def test_a_turned_scene_keeps_its_own_pixels_and_its_place(bundled, tmp_path):
    turned = square(10) @ Affine.rotation(30)
    bands = bands_of(64, 64)
    write_bands(tmp_path / "turned", bands, transform=turned)
    write_bands(tmp_path / "plain", bands)
    assert not predict(bundled, tmp_path / "turned", tmp_path / "out").scenes["scene"]["resampled"]
    predict(bundled, tmp_path / "plain", tmp_path / "expected")
    check_same(tmp_path / "out", tmp_path / "expected")
    with rasterio.open(tmp_path / "out" / "scene" / "classes.tif") as classes:
        np.testing.assert_allclose(tuple(classes.transform)[:6], tuple(turned)[:6])


def test_a_scene_without_a_place_is_predicted_and_says_so(bundled, tmp_path, caplog):
    write_stack(tmp_path / "scene.tif", bands_of(64, 64), crs=None)
    result = predict(bundled, tmp_path / "scene.tif", tmp_path / "out")
    assert result.scenes["scene"]["crs"] is None
    assert "has no location" in caplog.text
    table = pq.read_table(tmp_path / "out" / "scene" / "tiles.parquet")
    assert table["geometry"].null_count == 16
    assert table["geometry"].type == "binary"


def test_a_scene_of_nodata_and_one_smaller_than_a_tile_are_listed(bundled, tmp_path):
    write_stack(tmp_path / "blank.tif", {b: p * 0 for b, p in bands_of(64, 64).items()}, nodata=0)
    write_stack(tmp_path / "small.tif", bands_of(64, 12))
    write_stack(tmp_path / "good.tif", bands_of(64, 64))
    result = swath.predict(bundled[1], tmp_path, out=tmp_path / "out", overlap=0)
    assert (list(result.scenes), result.exit_code) == (["good"], 3)
    assert "holds no tile with data in every band" in result.bad["blank"]
    assert "is 64x12 px of the network's; a tile is 16 px" in result.bad["small"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bad_scenes.csv", "good"]


def test_an_output_of_another_bundle_or_of_somebody_else_is_left_alone(bundled, probed, tmp_path):
    scene = write_bands(tmp_path / "s", bands_of(64, 64))
    (tmp_path / "out" / "scene").mkdir(parents=True)
    with pytest.raises(UsageError, match="exists and is no prediction"):
        predict(bundled, scene, tmp_path / "out")
    swath.bundle(probed[1].path, out=tmp_path / "plain")
    swath.predict(tmp_path / "plain", scene, out=tmp_path / "out2")
    with pytest.raises(UsageError, match="predicted with another bundle and overlap"):
        predict(bundled, scene, tmp_path / "out2")
    write_bands(tmp_path / "s", bands_of(64, 64, seed=1))
    with pytest.raises(UsageError, match="predicted with another files"):
        swath.predict(tmp_path / "plain", scene, out=tmp_path / "out2")


@pytest.mark.parametrize("limit", [3_000, 40_000])
def test_a_full_disk_in_the_middle_of_a_map_leaves_nothing_half(bundled, tmp_path, limit):
    scene = write_bands(tmp_path / "s", bands_of(320, 320))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(MachineError):
            predict(bundled, scene, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "out").iterdir()) == []
    assert predict(bundled, scene, tmp_path / "out").windows == 400


def test_scenes_of_one_name_and_places_that_are_not_there_are_refused(bundled, tmp_path):
    for name in ("a", "b"):
        write_bands(tmp_path / name, bands_of(64, 64))
    with pytest.raises(UsageError, match='two scenes are called "scene"'):
        swath.predict(bundled[1], [tmp_path / "a", tmp_path / "b"], out=tmp_path / "out")
    with pytest.raises(UsageError, match=r"no file or folder .*nowhere"):
        swath.predict(bundled[1], tmp_path / "nowhere", out=tmp_path / "out")
    with pytest.raises(UsageError, match=r"choose 0, 0\.5 or 0\.75"):
        swath.predict(bundled[1], tmp_path / "a", out=tmp_path / "out", overlap=0.3)


def test_a_virtual_raster_named_tif_is_refused_before_it_is_opened(bundled, tmp_path):
    (tmp_path / "x.tif").write_text('<VRTDataset rasterXSize="64" rasterYSize="64"></VRTDataset>')
    assert "is a VRT" in predict(bundled, tmp_path / "x.tif", tmp_path / "out")


def test_leftovers_of_a_killed_prediction_are_removed(bundled, tmp_path):
    scene = write_bands(tmp_path / "s", bands_of(64, 64))
    stale = tmp_path / "out" / ".scene.999999999.tmp"
    stale.mkdir(parents=True)
    predict(bundled, scene, tmp_path / "out")
    assert not stale.exists()
    said = json.loads((tmp_path / "out" / "scene" / "prediction.json").read_text())
    assert said["asked"]["bundle"] == swath.load(bundled[1]).digest
