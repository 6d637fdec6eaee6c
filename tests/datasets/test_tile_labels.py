"""Labels by the ids of tiles, from CSV and Parquet, for scenes and BigEarthNet."""

import geopandas
import pyarrow.parquet as pq
import pytest
from shapely.geometry import box

import swath
from swath.datasets.labels_csv import read_labels
from swath.errors import DataError, UsageError


def index_of(archive, out, labels, **more):
    settings = {"layout": "scenes", "tile_px": 64, **more}
    result = swath.index(archive, out=out, labels=labels, **settings)
    rows = pq.read_table(out, columns=["id", "labels", "split", "label_shares"]).to_pylist()
    return result, {row["id"]: row for row in rows}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tiles_of_scenes_are_labelled_by_their_ids(archive, tmp_path, kind):
    frame = geopandas.GeoDataFrame(
        {"id": ["scene_x0_y64", "scene_x320_y320"], "pool": [1, 0]}, geometry=[box(0, 0, 1, 1)] * 2, crs=4326
    )
    table = tmp_path / f"pool.{kind}"
    if kind == "csv":
        frame.drop(columns="geometry").to_csv(table, index=False)
    else:
        frame.to_parquet(table)
    result, rows = index_of(archive, tmp_path / "index.parquet", table)
    assert (result.tiles, result.labelled, result.task, result.vocabulary) == (
        36,
        2,
        "multilabel",
        {"pool": 1},
    )
    assert rows["scene_x0_y64"]["labels"] == ["pool"]
    assert rows["scene_x320_y320"]["labels"] == []
    assert rows["scene_x0_y0"] == {"id": "scene_x0_y0", "labels": None, "split": None, "label_shares": None}


def test_classes_and_splits_come_by_id_too(archive, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("id,class,split\nscene_x0_y0,lake,test\nscene_x64_y0,,train\n")
    result, rows = index_of(archive, tmp_path / "index.parquet", table)
    assert (result.task, result.vocabulary) == ("class", {"lake": 1})
    assert (rows["scene_x0_y0"]["labels"], rows["scene_x0_y0"]["split"]) == (["lake"], "test")
    assert (rows["scene_x64_y0"]["labels"], rows["scene_x64_y0"]["split"]) == (None, "train")


def test_ids_of_other_tiles_are_an_error_and_nothing_is_written(archive, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("id,pool\nscene_x0_y0,1\nscene_x32_y0,1\n")
    with pytest.raises(DataError, match=r"names 1 tiles of 2 that are not there: .*x32_y0.*--tile-px"):
        index_of(archive, tmp_path / "index.parquet", table)
    assert not (tmp_path / "index.parquet").exists()


@pytest.mark.parametrize("setting", [{"min_share": 0.1}, {"partial_labels": True}])
def test_settings_of_polygons_are_refused_with_a_table(archive, tmp_path, setting):
    table = tmp_path / "t.csv"
    table.write_text("id,pool\nscene_x0_y0,1\n")
    with pytest.raises(UsageError, match="for polygons"):
        index_of(archive, tmp_path / "index.parquet", table, **setting)
    with pytest.raises(UsageError, match="no labels at"):
        index_of(archive, tmp_path / "index.parquet", tmp_path / "none.csv")


def test_a_broken_parquet_table_is_named(tmp_path):
    table = tmp_path / "t.parquet"
    table.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"t\.parquet is not a whole Parquet file"):
        read_labels(table, label_column=None, label_columns=())
