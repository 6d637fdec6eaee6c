from pathlib import Path

import pyarrow.parquet as pq
import pytest
from bigearthnet_patches import S1, V1, V2, write_patch, write_v2
from bigearthnet_tables import write_metadata

from swath.config import IndexConfig
from swath.datasets.bigearthnet.source import find
from swath.datasets.layout import Asked
from swath.errors import DataError, UsageError
from swath.prepare import index


@pytest.mark.parametrize("source", ["bigearthnet:v1", "patches"])
def test_labels_and_bands_of_other_layouts_are_refused(source):
    with pytest.raises(UsageError, match="BigEarthNet brings labels and bands"):
        find(Path(source), Asked(label_column="class"))


def test_a_version_that_is_none_is_refused():
    with pytest.raises(UsageError, match="no data set bigearthnet:v4"):
        find(Path("bigearthnet:v4"), Asked())


def test_a_catalogue_takes_the_pixels_of_a_folder(tmp_path, monkeypatch, lists):
    monkeypatch.setattr("swath.datasets.bigearthnet.catalogue.read_lists", lambda: lists)
    for name in (V1, "S2A_MSIL2A_20170613T101031_1_1"):
        write_patch(tmp_path / "rgb", name, bands=["B02", "B03"], json_too=False)
    layout = find(Path("bigearthnet:v1"), Asked(pixels=tmp_path / "rgb"))
    (row,) = layout.rows
    assert (layout.info.bands, layout.info.task) == (("B02", "B03"), None)
    assert (row["id"], row["split"], row["country"], row["labels"]) == (V1, "train", "Austria", None)
    write_v2(tmp_path / "v2")
    table = write_metadata(tmp_path / "metadata.parquet")
    (row,) = find(Path("bigearthnet:v2"), Asked(metadata=table, pixels=tmp_path / "v2")).rows
    assert (row["id"], row["labels"], len(row["paths"])) == (V2, ["Mixed forest"], 2)
    with pytest.raises(DataError, match="holds no patch folders of BigEarthNet v2"):
        find(Path("bigearthnet:v2"), Asked(metadata=table, pixels=tmp_path / "rgb"))
    with pytest.raises(UsageError, match="--pixels is for a table"):
        find(tmp_path / "rgb", Asked(pixels=tmp_path / "rgb"))


@pytest.mark.usefixtures("lists")
def test_the_table_of_gdf_builder_needs_json_and_lists(tmp_path):
    write_v2(tmp_path / "v2")
    ask = {"source": tmp_path / "v2", "out": tmp_path / "t.parquet", "like": "gdf-builder"}
    with pytest.raises(UsageError, match="--like gdf-builder needs the JSON files of v1 patches"):
        index.run(IndexConfig(**ask))
    assert not (tmp_path / "t.parquet").exists()
    write_patch(tmp_path / "v1", bands=["B02"])
    write_patch(tmp_path / "v1", "S2A_MSIL2A_20170613T101031_1_1", bands=["B02"])
    assert index.run(IndexConfig(**ask | {"source": tmp_path / "v1"})).tiles == 1  # the other is in no list
    write_patch(tmp_path / "s1", S1)
    index.run(IndexConfig(**ask | {"source": tmp_path / "s1"}))
    assert pq.read_table(tmp_path / "t.parquet").column_names[:5] == [
        "labels", "corresponding_s2_patch", "scene_source", "acquisition_time", "name"
    ]  # fmt: skip
