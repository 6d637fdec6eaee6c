import datetime as dt
import json

import pytest

from swath.datasets.bigearthnet.patch_json import parse_json, read_json
from swath.errors import DataError

S2 = {
    "labels": ["Pastures", "Sea and ocean"],
    "coordinates": {"ulx": 404400, "uly": 5342400, "lrx": 405600, "lry": 5341200},
    "acquisition_date": "2017-06-13 10:10:31",
    "tile_source": "S2A_MSIL1C_20170613T101031_N0205_R022_T33UUP_20170613T101608.SAFE",
}
S1 = {
    "labels": ["Pastures", "Sea and ocean"],
    "coordinates": {"ulx": 404400, "uly": 5342400, "lrx": 405600, "lly": 5341200},
    "acquisition_time": "2017-06-13T16:50:43",
    "scene_source": "S1A_IW_GRDH_1SDV_20170613T165043_20170613T165108_017018_01C579_7EEC",
    "corresponding_s2_patch": "S2A_MSIL2A_20170613T101031_87_48",
}


@pytest.mark.parametrize("value", [S2, S1], ids=["Sentinel-2", "Sentinel-1"])
def test_both_sensors_say_labels_day_and_bounds(value):
    about = parse_json(json.dumps(value).encode(), where="x")
    assert about.labels == ["Pastures", "Marine waters"]
    assert about.acquired == dt.date(2017, 6, 13)
    assert about.tile == ("33UUP" if value is S2 else None)
    assert about.s2_name == value.get("corresponding_s2_patch")
    assert about.labels_43 == ["Pastures", "Sea and ocean"]
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
