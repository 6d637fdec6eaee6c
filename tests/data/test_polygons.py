import geopandas
import numpy as np
import pytest
import rasterio.features
from affine import Affine
from shapely.geometry import Point, Polygon, box

from swath.data.polygons import LabelPolygons
from swath.data.windows import Grid
from swath.errors import DataError, UsageError

CRS = "EPSG:32633"
TRANSFORM = (10.0, 0.0, 400_000.0, 0.0, -10.0, 5_012_000.0)
SIZE = (300, 1200)  # more rows than one strip


@pytest.fixture
def frame():
    """40 triangles of three classes over the scene and around it."""
    rng = np.random.default_rng(0)
    centres = rng.uniform((399_000, 4_999_000), (404_000, 5_013_000), (40, 2))
    shapes = [Polygon(centre + rng.uniform(-900, 900, (3, 2))) for centre in centres]
    kinds = rng.choice(["forest", "water", "farm"], 40)
    return geopandas.GeoDataFrame({"kind": kinds, "n": range(40)}, geometry=shapes, crs=CRS)


def shares_of(path, grid, vocabulary=("farm", "forest", "water"), column="kind"):
    polygons = LabelPolygons(path, column).on_scene(CRS, TRANSFORM, SIZE)
    return np.concatenate([polygons.shares(grid, strip, vocabulary) for strip in grid.strips()])


def oracle(frame, grid, vocabulary=("farm", "forest", "water")):
    """Rasterize the whole scene at once and take the mean of each window."""
    shares = np.zeros((len(grid.ys), len(grid.xs), len(vocabulary)))
    for k, name in enumerate(vocabulary):
        shapes = list(frame[frame.kind == name].geometry)
        burnt = rasterio.features.rasterize(shapes, (grid.height, grid.width), transform=Affine(*TRANSFORM))
        for i, y in enumerate(grid.ys):
            for j, x in enumerate(grid.xs):
                shares[i, j, k] = burnt[y : y + grid.tile_px, x : x + grid.tile_px].mean()
    return shares


@pytest.mark.parametrize("stride_px", [32, 20])
@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp", "fgb"])
def test_shares_equal_rasterizing_the_scene(tmp_path, frame, suffix, stride_px):
    path = tmp_path / f"fields.{suffix}"
    (frame.to_crs(4326) if suffix == "geojson" else frame).to_file(path)
    grid = Grid(*SIZE, 32, stride_px)
    expected = oracle(frame, grid)
    assert expected.max() > 0.5
    assert np.abs(shares_of(path, grid) - expected).max() <= (0.003 if suffix == "geojson" else 1e-6)


def test_polygons_in_another_system_give_the_same_shares(tmp_path, frame):
    frame.to_crs(3857).to_file(tmp_path / "fields.gpkg")
    grid = Grid(*SIZE, 32, 32)
    # 3 of 1024 pixels: a straight edge in one system is a curve in the other
    assert np.abs(shares_of(tmp_path / "fields.gpkg", grid) - oracle(frame, grid)).max() <= 0.003


def test_overlapping_polygons_of_one_class_count_once(tmp_path):
    square = box(400_000, 5_000_000, 403_000, 5_012_000)
    geopandas.GeoDataFrame({"kind": ["a", "a"]}, geometry=[square, square], crs=CRS).to_file(
        tmp_path / "f.gpkg"
    )
    assert shares_of(tmp_path / "f.gpkg", Grid(*SIZE, 32, 32), ("a",)).max() == 1


def test_empty_names_and_geometries_are_left_out(tmp_path, frame):
    frame.loc[0, "kind"] = None
    frame.loc[1, "geometry"] = None
    frame.to_file(tmp_path / "f.gpkg")
    found = LabelPolygons(tmp_path / "f.gpkg", "kind").on_scene(CRS, TRANSFORM, SIZE)
    assert set(found.by_class) <= {"forest", "water", "farm"}
    assert 0 < sum(map(len, found.by_class.values())) <= 38


def test_numbers_can_name_classes(tmp_path, frame):
    frame.assign(code=frame.n % 2).to_file(tmp_path / "f.gpkg")
    found = LabelPolygons(tmp_path / "f.gpkg", "code").on_scene(CRS, TRANSFORM, SIZE)
    assert set(found.by_class) == {"0", "1"}


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize("suffix", ["gpkg", "shp"])
def test_polygons_without_a_crs_are_refused(tmp_path, frame, suffix):
    path = tmp_path / f"f.{suffix}"
    geopandas.GeoDataFrame({"kind": frame.kind}, geometry=frame.geometry.to_numpy()).to_file(path)
    with pytest.raises(DataError, match=r"has no CRS, so its polygons cannot be placed.* -a_srs"):
        LabelPolygons(path, "kind")


def test_an_unknown_column_is_answered_with_the_nearest(tmp_path, frame):
    frame.to_file(tmp_path / "f.gpkg")
    with pytest.raises(UsageError, match=r'has no column "kinds"; columns: kind, n. Did you mean "kind"'):
        LabelPolygons(tmp_path / "f.gpkg", "kinds")
    with pytest.raises(UsageError, match=r"--label-column NAME. Columns: kind, n"):
        LabelPolygons(tmp_path / "f.gpkg", None)


def test_the_layer_with_the_column_is_taken(tmp_path, frame):
    frame.drop(columns="kind").to_file(tmp_path / "f.gpkg", layer="first")
    frame.to_file(tmp_path / "f.gpkg", layer="second")
    assert LabelPolygons(tmp_path / "f.gpkg", "kind").layer == "second"


def test_points_are_no_polygons(tmp_path):
    geopandas.GeoDataFrame({"kind": ["a"]}, geometry=[Point(0, 0)], crs=CRS).to_file(tmp_path / "f.gpkg")
    with pytest.raises(DataError, match="holds Point features; polygons are needed"):
        LabelPolygons(tmp_path / "f.gpkg", "kind")


def test_files_of_other_kinds_are_refused_before_they_are_opened(tmp_path):
    virtual = tmp_path / "f.gpkg"
    virtual.write_text("<OGRVRTDataSource><OGRVRTLayer name='a'/></OGRVRTDataSource>")
    with pytest.raises(DataError, match=r"is not a .gpkg file"):
        LabelPolygons(virtual, "kind")
    broken = tmp_path / "f.geojson"
    broken.write_text('{"type": "FeatureCollection", "features": [')
    with pytest.raises(DataError, match="cannot be read"):
        LabelPolygons(broken, "kind")
    with pytest.raises(UsageError, match=r"polygons are read from .gpkg"):
        LabelPolygons(tmp_path / "f.vrt", "kind")
    with pytest.raises(DataError, match="is missing"):
        LabelPolygons(tmp_path / "no.gpkg", "kind")
