"""The six real patches of each sensor that lie in the package bigearthnet-common, and the oracle rasterio."""

import io
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from bigearthnet_tables import small_lists

from swath.config import IndexConfig, PackConfig
from swath.data.store import TileStore
from swath.datasets.bigearthnet.gdf_builder import SCHEMA
from swath.datasets.bigearthnet.lists import data_file
from swath.prepare import index, pack

AUSTRIA = "S2A_MSIL2A_20170613T101031_87_48"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    for sensor in ("S1", "S2"):
        with tarfile.open(fileobj=io.BytesIO(data_file(f"BigEarthNet-{sensor}-Example.tar.bz2"))) as archive:
            archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def lists(monkeypatch, real):
    ids = sorted(path.name for path in (real / "BigEarthNet-S2-Example").iterdir())
    twins = {path.name.split("_", 6)[6]: path.name for path in (real / "BigEarthNet-S1-Example").iterdir()}
    held = small_lists(ids, s1_name=[twins["_".join(name.split("_")[-2:])] for name in ids])
    monkeypatch.setattr("swath.datasets.bigearthnet.source.read_lists", lambda: held)


@pytest.mark.parametrize(
    ("sensor", "bands"), [("S2", ("B04", "B03", "B02", "B8A", "B01")), ("S1", ("VV", "VH"))]
)
@pytest.mark.usefixtures("lists")
def test_packed_pixels_and_places_are_those_of_rasterio(tmp_path, real, sensor, bands):
    source = real / f"BigEarthNet-{sensor}-Example"
    result = index.run(IndexConfig(source=source, out=tmp_path / "index.parquet"))
    assert (result.tiles, result.labelled, result.splits) == (6, 6, {"train": 6})
    pack.run(PackConfig(index=tmp_path / "index.parquet", out=tmp_path / "tiles.lance", bands=bands))
    rows = pq.read_table(tmp_path / "index.parquet").to_pylist()
    store = TileStore(tmp_path / "tiles.lance")
    groups = store.format.groups
    pixels = store.read(np.arange(6))
    for number, row in enumerate(rows):
        for group, held in zip(groups, pixels, strict=True):
            for channel, band in enumerate(group.bands):
                with rasterio.open(source / row["id"] / f"{row['id']}_{band}.tif") as raster:
                    assert (held[number, channel] == raster.read(1)).all()
                    assert tuple(raster.bounds) == tuple(
                        row[side] for side in ("left_m", "bottom_m", "right_m", "top_m")
                    )
                    assert raster.crs.to_string() == row["crs"]


@pytest.mark.usefixtures("lists")
def test_the_table_of_gdf_builder_is_written_as_it_writes_it(tmp_path, real):
    """Recorded from bigearthnet-gdf-builder 0.1.10 on the same patches (fastcore 1.7, geopandas 1.2)."""
    source = real / "BigEarthNet-S2-Example"
    index.run(IndexConfig(source=source, out=tmp_path / "final.parquet", like="gdf-builder"))
    table = pq.read_table(tmp_path / "final.parquet")
    assert table.column_names == SCHEMA.names
    import geopandas

    frame = geopandas.read_parquet(tmp_path / "final.parquet").set_index("name")
    assert frame.crs.to_epsg() == 3035
    row = frame.loc[AUSTRIA]
    corners = [tuple(round(value, 6) for value in corner) for corner in row.geometry.exterior.coords]
    assert corners[:4] == [
        (4598116.704014, 2796272.943308), (4598037.799182, 2797470.329554),
        (4596839.783738, 2797389.891143), (4596918.684634, 2796192.510218),
    ]  # fmt: skip
    land = "Land principally occupied by agriculture, with significant areas of natural vegetation"
    assert (list(row.labels), list(row.new_labels)) == (
        ["Non-irrigated arable land", land],
        ["Arable land", land],
    )
    assert row.tile_source == "S2A_MSIL1C_20170613T101031_N0205_R022_T33UUP_20170613T101608.SAFE"
    assert (row.acquisition_date, row.season) == ("2017-06-13 10:10:31", "Summer")
    assert (row.snow, row.cloud_or_shadow, row.original_split) == (False, False, "train")


@pytest.mark.usefixtures("lists")
def test_the_table_of_gdf_builder_finds_three_bands_without_json(tmp_path, real):
    source = real / "BigEarthNet-S2-Example"
    table = tmp_path / "final_ben_s2.parquet"
    index.run(IndexConfig(source=source, out=table, like="gdf-builder"))
    for path in source.glob("*/*_B0[234].tif"):
        (tmp_path / "rgb" / path.parent.name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "rgb" / path.parent.name / path.name).write_bytes(path.read_bytes())
    result = index.run(IndexConfig(source=table, out=tmp_path / "i.parquet", pixels=tmp_path / "rgb"))
    assert (result.tiles, result.bands, result.files) == (6, ("B02", "B03", "B04"), 18)
    index.run(IndexConfig(source=source, out=tmp_path / "direct.parquet"))
    found, direct = (pq.read_table(tmp_path / name) for name in ("i.parquet", "direct.parquet"))
    for column in ("id", "labels", "labels_43", "geometry", "split", "left_m", "acquired_at", "recommended"):
        assert found[column].equals(direct[column]), column
    catalogue = index.run(IndexConfig(source=table, out=tmp_path / "c.parquet"))
    assert (catalogue.tiles, catalogue.files, catalogue.labelled) == (6, 0, 6)


@pytest.mark.usefixtures("lists")
def test_a_table_that_is_not_right_is_refused(tmp_path, real):
    from swath.errors import DataError, UsageError

    source, table = real / "BigEarthNet-S2-Example", tmp_path / "t.parquet"
    for name in sorted(path.name for path in source.iterdir())[1:]:
        (tmp_path / "five" / name).mkdir(parents=True)
    index.run(IndexConfig(source=source, out=table, like="gdf-builder"))
    good = pq.read_table(table)

    def refused(kind, message, changed, **more):
        pq.write_table(changed, table)
        with pytest.raises(kind, match=message):
            index.run(IndexConfig(source=table, out=tmp_path / "i.parquet", **more))

    def put(name, values):
        place = good.column_names.index(name)
        return good.set_column(place, good.schema.field(name), pa.array(values, good.schema.field(name).type))

    refused(DataError, 'unknown label "Pasture". Did you mean "Pastures"', put("labels", [["Pasture"]] * 6))
    refused(DataError, "names no MGRS tile", put("tile_source", ["x"] * 6))
    refused(DataError, "lies .* m from where its name", put("geometry", good["geometry"].to_pylist()[::-1]))
    refused(DataError, "is no name of a patch", put("name", ["a"] * 6))
    refused(DataError, "it has no column country", good.drop(["country"]))
    refused(DataError, "has 0 rows", good.slice(0, 0))
    refused(UsageError, "--metadata is the table of v2", good, metadata="m.parquet")
    refused(UsageError, "no folder .*gone", good, pixels=real / "gone")
    refused(DataError, "none of the 5 patches below .* is listed", good.slice(0, 1), pixels=tmp_path / "five")
