import datetime as dt
import json

import pytest

from swath.datasets.bigearthnet.patch_json import parse_json, read_json
from swath.errors import DataError

S2 = {
    "labels": ["Pastures", "Sea and ocean"],
    "coordinates": {"ulx": 404400, "uly": 5342400, "lrx": 405600, "lry": 5341200},
    "acquisition_date": "2017-06-13 10:10:31",
}
S1 = {
    "labels": ["Pastures", "Sea and ocean"],
    "coordinates": {"ulx": 404400, "uly": 5342400, "lrx": 405600, "lly": 5341200},
    "acquisition_time": "2017-06-13T16:50:43",
}


@pytest.mark.parametrize("value", [S2, S1], ids=["Sentinel-2", "Sentinel-1"])
def test_both_sensors_say_labels_day_and_bounds(value):
    about = parse_json(json.dumps(value).encode(), where="x")
    assert about.labels == ["Pastures", "Marine waters"]
    assert about.acquired == dt.date(2017, 6, 13)
    assert about.bounds_m == (404400, 5341200, 405600, 5342400)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"labels": 3}', b"\xff", json.dumps(S2 | {"coordinates": {}}).encode()]
)
def test_anything_else_is_refused(data):
    with pytest.raises(DataError, match=r"^a.json is not the JSON of a BigEarthNet patch .* Extract it"):
        parse_json(data, where="a.json")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(DataError, match=r"a.json cannot be read \(No such file"):
        read_json(tmp_path / "a.json")
