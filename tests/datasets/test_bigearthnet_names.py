import datetime as dt
import re

import pytest

from swath.datasets.bigearthnet import names
from swath.datasets.bigearthnet.names import PatchName, parse, scene_of

DAY = dt.date(2017, 6, 13)


@pytest.mark.parametrize(
    "expected",
    [
        PatchName("S2A_MSIL2A_20170613T101031_87_48", "Sentinel-2", "v1", DAY, None, 87, 48),
        PatchName(
            "S2B_MSIL2A_20180204T94161_57_8", "Sentinel-2", "v1", dt.date(2018, 2, 4), None, 57, 8
        ),  # hour without its 0, as published
        PatchName(
            "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_03", "Sentinel-2", "v2", DAY, "33UUP", 75, 3
        ),
        PatchName("S1A_IW_GRDH_1SDV_20170613T165043_33UUP_7_90", "Sentinel-1", None, DAY, "33UUP", 7, 90),
    ],
    ids=["v1", "short hour", "v2", "Sentinel-1"],
)
def test_a_name_says_sensor_version_day_and_place(expected):
    assert parse(expected.name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "S2A_MSIL2A_20170613T101031_87_48\n",
        "S2A_MSIL2A_20170613T101031_87_48_B04",
        "S2C_MSIL2A_20170613T101031_87_48",
        "S2A_MSIL2A_20170613T101031_87_048",
        "S2A_MSIL2A_20170613T101031_91_48",
        "S2A_MSIL2A_20170231T101031_87_48",
        "S2A_MSIL2A_20171331T101031_87_48",
        "../S2A_MSIL2A_20170613T101031_87_48",
        "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_3",
        "S2A_MSIL2A_20170613T101031_N9999_R022_T33IUP_75_03",
        "S1A_IW_GRDH_1SDV_20170613T165043_87_48",
        "S2A_MSIL2A_\u0662\u0660170613T101031_87_48",
    ],
)
def test_what_is_not_exactly_a_name_is_none(name):
    assert parse(name) is None


def test_the_patterns_are_matched_alike_by_python_and_pyarrow():
    import pyarrow as pa
    import pyarrow.compute as pc

    known = ["S2A_MSIL2A_20170613T101031_87_48", "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43"]
    known += ["S1A_IW_GRDH_1SDV_20170613T165043_33UUP_87_48", "S2A_MSIL2A_20170613T101031_87_99"]
    for pattern in (names.S2_V1, names.S2_V2, names.S1):
        found = pc.extract_regex(pa.array(known), rf"^{pattern}$").to_pylist()
        matched = [re.fullmatch(pattern, name) for name in known]
        assert found == [match.groupdict() if match else None for match in matched]


def test_the_scene_is_the_folder_of_v2():
    assert scene_of("S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43") == (
        "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP"
    )
    assert scene_of("S1A_IW_GRDH_1SDV_20170613T165043_33UUP_70_48") == "S1A_IW_GRDH_1SDV_20170613T165043"
