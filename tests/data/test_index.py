import json

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from swath.data.index import SCHEMA, IndexInfo, IndexWriter, batches_of, read_index
from swath.errors import DataError, MachineError


def info(**changes):
    held = {
        "root": "/archive",
        "layout": "scenes",
        "task": "multilabel",
        "vocabulary": ("Marine waters", "Pastures"),
        "bands": ("B02", "B05", "B01"),
        "band_px": (1.0, 0.5, 1 / 6),
        "tile_px": 120,
        "stride_px": 60,
        "dtypes": ("uint16",) * 3,
        "nodata": 0.0,
        "attribution": "somebody",
    }
    return IndexInfo(**{**held, **changes})


def row(number, **changes):
    box = shapely.to_wkb(shapely.box(number, 0, number + 1, 1))
    held = {
        "id": f"tile{number}",
        "paths": ["a.tif"],
        "x_px": 0,
        "y_px": 0,
        "width_px": 120,
        "height_px": 120,
    }
    return {**held, "labels": ["Pastures"], "geometry": box, **changes}


def write(path, rows, about=None):
    with IndexWriter(path, about or info()) as writer:
        for batch in batches_of(iter(rows), size=1):
            writer.append(batch)
    return path


def test_rows_and_info_come_back_equal(tmp_path):
    rows = [
        row(0, labels=None, acquired=None, gsd_m=10.0),
        row(1, labels=[], paths=["b/1.tif", "b/2.tif", "b/3.tif"]),
        row(2, labels=["Pastures", "Marine waters"], label_shares=[0.25, 0.5], geometry=None),
    ]
    index = read_index(write(tmp_path / "i.parquet", rows))
    assert index.info == info()
    assert index.table.schema.equals(SCHEMA)
    for found, given in zip(index.table.to_pylist(), rows, strict=True):
        assert found == {**dict.fromkeys(SCHEMA.names), **given}


def test_columns_of_one_data_set_follow_and_come_back(tmp_path):
    more = pa.schema([("country", pa.string()), ("snow", pa.bool_())])
    with IndexWriter(tmp_path / "i.parquet", info(class_order="original"), more=more) as writer:
        for number in range(2):
            plain = pa.RecordBatch.from_pylist([row(number)], schema=SCHEMA)
            columns = [*plain.columns, pa.array(["Serbia"]), pa.array([True])]
            writer.append(pa.RecordBatch.from_arrays(columns, schema=pa.schema([*SCHEMA, *more])))
    index = read_index(tmp_path / "i.parquet")
    assert index.more.equals(more)
    assert index.info.class_order == "original"
    assert index.table["country"].to_pylist() == ["Serbia"] * 2


def test_a_catalogue_has_no_paths_and_no_root(tmp_path):
    rows = [row(0, paths=[]), row(1, paths=[])]
    assert read_index(write(tmp_path / "i.parquet", rows, info(root=""))).table.num_rows == 2
    with pytest.raises(DataError, match="row 0 has 0 paths"):
        read_index(write(tmp_path / "i.parquet", rows))
    mixed = [row(0), row(1, paths=[])]
    with pytest.raises(DataError, match="row 1 has 0 paths"):
        read_index(write(tmp_path / "i.parquet", mixed, info(root="")))


def test_geopandas_opens_it_in_longitude_and_latitude(tmp_path):
    frame = geopandas.read_parquet(write(tmp_path / "i.parquet", [row(0), row(7)]))
    assert frame.crs.to_string() == "OGC:CRS84"
    assert np.array_equal(frame.total_bounds, [0, 0, 8, 1])


def test_the_digest_follows_the_content(tmp_path):
    first, same = write(tmp_path / "1.parquet", [row(0)]), write(tmp_path / "2.parquet", [row(0)])
    other = write(tmp_path / "3.parquet", [row(1)])
    assert read_index(first).digest == read_index(same).digest != read_index(other).digest


def test_nothing_is_left_when_writing_stops(tmp_path):
    path = write(tmp_path / "i.parquet", [row(0)])
    before = path.read_bytes()

    def stops():
        yield row(1)
        raise KeyError

    with pytest.raises(KeyError):
        write(path, stops())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(MachineError, match=r"no space left for .*i.parquet"):
        write(tmp_path / "i.parquet", [row(0)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bands": ()}, "needs bands"),
        ({"bands": ("B02", "B02", "B01")}, "different names"),
        ({"band_px": (1.0,)}, "3 bands need as many sizes"),
        ({"task": None}, "does not go with 2 classes"),
        ({"task": "regression"}, "task regression"),
    ],
)
def test_an_info_that_contradicts_itself_cannot_be_made(changes, said):
    with pytest.raises(DataError, match=said):
        info(**changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "tile0"}, 'rows 0 and 1 have the same id "tile0"'),
        (
            {"labels": ["Marine water"]},
            'unknown label "Marine water" in row 1.* Did you mean "Marine waters"',
        ),
        ({"paths": ["a.tif", "b.tif"]}, "row 1 has 2 paths; expected 1, or one for each of 3 bands"),
        ({"paths": ["../a.tif"]}, "row 1 leaves the data root"),
        ({"paths": ["/etc/a.tif"]}, "row 1 leaves the data root"),
        ({"paths": ["http://169.254.169.254/a.tif"]}, "row 1 leaves the data root"),
        ({"paths": ["a.tif\0.png"]}, "row 1 leaves the data root"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, changes, said):
    path = write(tmp_path / "i.parquet", [row(0), row(1, **changes), row(2)])
    with pytest.raises(DataError, match=said):
        read_index(path)


def test_an_index_without_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match="has 0 rows"):
        read_index(write(tmp_path / "i.parquet", []))


def rewrite(path, change):
    """Write the file again with `change` applied to its table."""
    pq.write_table(change(pq.read_table(path)), path)
    return path


@pytest.mark.parametrize("column", ["geometry", "labels", "id"])
def test_a_missing_column_is_named(tmp_path, column):
    path = rewrite(write(tmp_path / "i.parquet", [row(0)]), lambda table: table.drop_columns([column]))
    with pytest.raises(DataError, match=f'has no column "{column}"; columns: '):
        read_index(path)


def test_a_column_of_another_name_is_suggested(tmp_path):
    path = write(tmp_path / "i.parquet", [row(0)])
    names = ["geometri" if name == "geometry" else name for name in SCHEMA.names]
    rewrite(path, lambda table: table.rename_columns(names).replace_schema_metadata(table.schema.metadata))
    with pytest.raises(DataError, match='Did you mean "geometri"'):
        read_index(path)


def test_another_version_is_refused_by_name(tmp_path):
    def later(table):
        about = {**json.loads(table.schema.metadata[b"swath"]), "schema_version": 7}
        return table.replace_schema_metadata({"swath": json.dumps(about)})

    with pytest.raises(DataError, match="index of version 7; this swath reads 1"):
        read_index(rewrite(write(tmp_path / "i.parquet", [row(0)]), later))


def test_what_is_no_index_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_index(tmp_path / "i.parquet")
    (tmp_path / "i.parquet").write_text("hello")
    with pytest.raises(DataError, match="not a whole Parquet file"):
        read_index(tmp_path / "i.parquet")
    pq.write_table(pa.table({"patch": ["a"]}), tmp_path / "i.parquet")
    with pytest.raises(DataError, match=r"not an index of swath \(columns: patch\)"):
        read_index(tmp_path / "i.parquet")


def test_batches_hold_every_row_once():
    sizes = [batch.num_rows for batch in batches_of((row(n) for n in range(7)), size=3)]
    assert sizes == [3, 3, 1]
