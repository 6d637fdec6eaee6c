"""Oracle: cosines by plain loops."""

import json

import numpy as np
import pytest
import shapely
from search_oracle import cosines

import swath
from swath.cli import main
from swath.errors import DataError, UsageError
from swath.features.table import read_feature

VALUES = np.random.default_rng(3).normal(size=(60, 32)).astype(np.float32)


def test_the_tiles_most_like_one_are_those_of_plain_loops_without_itself(make_features):
    found = swath.search(make_features(values=VALUES), like="t0007", k=10).found
    expected = cosines(VALUES, VALUES[7])
    order = [row for row in np.argsort(-expected) if row != 7][:10]
    assert [tile["id"] for tile in found] == [f"t{row:04d}" for row in order]
    np.testing.assert_allclose([tile["similarity"] for tile in found], expected[order], atol=2e-4)


def test_a_feature_is_read_from_whichever_group_of_rows_holds_it(make_features, monkeypatch):
    monkeypatch.setattr("swath.features.table._ROW_GROUP", 13)
    path = make_features(values=VALUES)
    for row in (0, 12, 13, 30, 59):
        np.testing.assert_array_equal(read_feature(path, row), VALUES[row])
    with pytest.raises(IndexError):
        read_feature(path, 60)


def test_a_point_finds_the_tile_that_holds_it(make_features):
    path = make_features(values=VALUES)
    result = swath.search(path, like="12.25,0.5", k=3)
    assert result.like == "t0012"
    assert result.found == swath.search(path, like="t0012", k=3).found


def test_of_several_tiles_at_a_point_the_newest_is_taken_and_the_log_says_so(
    make_features, monkeypatch, caplog
):
    import datetime as dt

    import pyarrow as pa

    from swath.serve.search import archive as module

    path = make_features(values=VALUES)
    columns = module.tile_columns(path)
    places = [shapely.box(0, 0, 1, 1).wkb] * 60
    days = [dt.date(2020, 1, 1 + row % 28) for row in range(60)]
    columns = columns.set_column(
        columns.column_names.index("geometry"), "geometry", pa.array(places, pa.binary())
    )
    columns = columns.set_column(columns.column_names.index("acquired"), "acquired", pa.array(days))
    monkeypatch.setattr(module, "tile_columns", lambda _: columns)
    caplog.set_level("INFO", logger="swath")
    assert swath.search(path, like="0.5,0.5", k=1).like == "t0027"
    assert '60 tiles hold 0.5,0.5; taking "t0027", the newest' in caplog.text


def test_a_point_outside_the_archive_is_told_how_far_the_nearest_tile_is(make_features):
    path = make_features(values=VALUES)
    with pytest.raises(
        UsageError, match=r'holds 61.5,0.5; the nearest tile is "t0059" at 59.5000,0.5000, 22\d.\d km away'
    ):
        swath.search(path, like="61.5,0.5")
    with pytest.raises(UsageError, match="expected LON,LAT in degrees"):
        swath.search(path, like="200,0")


def test_an_archive_without_places_has_no_points(make_features):
    with pytest.raises(UsageError, match=r"no tile of .* has a location; give --like the id"):
        swath.search(make_features(values=VALUES, located=False), like="1,1")


def test_an_unknown_id_is_answered_with_the_nearest_names(make_features):
    path = make_features(values=VALUES)
    with pytest.raises(
        UsageError, match=r'no tile "T000".*10 ids hold these letters: "t0000", "t0001", "t0002" ...'
    ):
        swath.search(path, like="T000")
    with pytest.raises(UsageError, match=r'no tile "t0O12".*Did you mean "t0012"'):
        swath.search(path, like="t0O12")
    with pytest.raises(UsageError, match=r'no tile "x/T0001".*, and no such file. 1 id holds .* "t0001"'):
        swath.search(path, like="x/T0001")
    with pytest.raises(UsageError, match=r'no tile "forest".*Ids look like "t0000"'):
        swath.search(path, like="forest")


def test_an_id_that_two_tiles_have_is_refused(make_features):
    with pytest.raises(DataError, match=r'2 tiles with the id "t" \(rows 0, 59\)'):
        swath.search(make_features(values=VALUES, doubled=True), like="t")


def test_more_than_there_are_gives_all_the_others(make_features):
    assert len(swath.search(make_features(values=VALUES), like="t0000", k=500).found) == 59


def test_tiles_without_direction_are_never_found_and_cannot_be_asked_for(make_features):
    values = VALUES.copy()
    values[[4, 9]] = 0
    path = make_features(values=values)
    assert not {"t0004", "t0009"} & {tile["id"] for tile in swath.search(path, like="t0000", k=60).found}
    with pytest.raises(DataError, match='feature of tile "t0004" is all zeros'):
        swath.search(path, like="t0004")


def test_a_feature_that_is_not_finite_is_refused(make_features):
    values = VALUES.copy()
    values[31, 5] = np.nan
    with pytest.raises(DataError, match="NaN or infinity in row 31"):
        swath.search(make_features(values=values), like="t0000")


def test_a_damaged_features_file_is_one_line_and_exit_code_3(make_features, capsys):
    path = make_features(values=VALUES)
    path.write_bytes(path.read_bytes()[:-500])
    assert main(["search", str(path), "--like", "t0000", "--json"]) == 3
    out, err = capsys.readouterr()
    assert "is not a whole Parquet file" in json.loads(out.splitlines()[-1])["error"]
    assert "Traceback" not in err


def test_nothing_to_look_for_is_a_question_back(make_features, capsys):
    assert main(["search", str(make_features(values=VALUES))]) == 2
    assert "--like is missing" in capsys.readouterr().err


def test_the_table_and_the_json_say_the_same(make_features, capsys):
    path = make_features(values=VALUES)
    assert main(["search", str(path), "--like", "t0007", "--k", "3", "--json"]) == 0
    out = capsys.readouterr().out.splitlines()
    described = json.loads(out[-1])
    assert out[0].startswith("the 3 tiles most like t0007, of 60 (every tile")
    first = described["found"][0]
    assert out[3].split()[:3] == ["1", first["id"], f"{first['similarity']:.4f}"]
    assert set(first) == {"id", "similarity", "split", "labels", "acquired", "lon", "lat"}
    assert (first["acquired"], first["lat"]) == ("2020-06-01", 0.5)
