import datetime as dt

import pytest

from swath.datasets.names import credit, date_of, sensor_of


@pytest.mark.parametrize(
    ("path", "sensor", "day"),
    [
        ("IMG_DATA/T33UUU_20170216T102101_B04.jp2", "Sentinel-2", dt.date(2017, 2, 16)),
        (
            "S2B_MSIL2A_20200223T032739_N9999_R018_T48QUE_20230924T183543/B04.tif",
            "Sentinel-2",
            dt.date(2020, 2, 23),
        ),
        ("20200604T054639_20200604T054831_T43RCP/B2.tif", "Sentinel-2", dt.date(2020, 6, 4)),
        (
            "S2B_MSIL2A_20170924T93020_69_24/S2B_MSIL2A_20170924T93020_69_24_B01.tif",
            "Sentinel-2",
            dt.date(2017, 9, 24),
        ),
        ("S1A_IW_GRDH_1SDV_20200607T010800_20200607T010825/VV.tif", "Sentinel-1", dt.date(2020, 6, 7)),
        ("m_4709963_se_14_1_20090818.tif", "NAIP", dt.date(2009, 8, 18)),
        ("m_3807511_se_18_060_20181104_20190211.tif", "NAIP", dt.date(2018, 11, 4)),
        ("fields/20200101.tif", None, None),
        ("S2A_MSIL2A_20201399T000000/B02.tif", "Sentinel-2", None),
        ("images/river_12.jpg", None, None),
    ],
)
def test_names_tell_sensor_and_day(path, sensor, day):
    assert (sensor_of(path), date_of(path)) == (sensor, day)


def test_credits_name_the_years():
    days = [dt.date(2019, 1, 1), dt.date(2021, 1, 1)]
    assert credit("Sentinel-2", days) == "Contains modified Copernicus Sentinel data 2019-2021"
    assert credit("Sentinel-2", days[:1]) == "Contains modified Copernicus Sentinel data 2019"
    assert credit(None, days) == ""
