import numpy as np
import pytest

from swath.datasets.bigearthnet.footprint import bounds_m, corner_of, epsg_of

# From the JSON of real patches of v1: tile of tile_source, h, v, (ulx, lry, lrx, uly), zone of projection.
REAL = [
    ("29SND", 56, 35, (567180, 4356840, 568380, 4358040), 32629),
    ("29UPU", 4, 55, (604800, 5832840, 606000, 5834040), 32629),
    ("33UUP", 87, 48, (404400, 5341200, 405600, 5342400), 32633),
    ("34TEP", 43, 14, (551580, 4882020, 552780, 4883220), 32634),
    ("34TEQ", 32, 39, (538380, 4952040, 539580, 4953240), 32634),
    ("35VLC", 66, 56, (379200, 6231600, 380400, 6232800), 32635),
    ("35VNH", 43, 47, (551580, 6742440, 552780, 6743640), 32635),
    ("35WPN", 19, 86, (622800, 7195620, 624000, 7196820), 32635),
]


@pytest.mark.parametrize(("tile", "h", "v", "bounds", "epsg"), REAL)
def test_bounds_are_those_of_the_json_of_real_patches(tile, h, v, bounds, epsg):
    found = bounds_m(np.array([corner_of(tile)]), np.array([h]), np.array([v]))
    assert found.tolist() == [list(bounds)]
    assert epsg_of(tile) == epsg


@pytest.mark.parametrize("tile", ["29SND", "31UFS", "32ULV", "33UUP", "34TCR", "34VDN", "35VPK", "36VVM"])
def test_the_middle_of_the_square_lies_in_its_latitude_band_and_zone(tile):
    import pyproj

    left, top = corner_of(tile)
    there = pyproj.Transformer.from_crs(epsg_of(tile), 4326, always_xy=True)
    lon, lat = there.transform(left + 50_000, top - 50_000)
    lowest = -80 + 8 * "CDEFGHJKLMNPQRSTUVWX".index(tile[2])
    assert lowest - 1 < lat < lowest + 9  # squares at the rim of a band reach over it
    assert abs(lon - (6 * int(tile[:2]) - 183)) < 6


@pytest.mark.parametrize("tile", ["33KUP", "61UUP", "33AUP"])
def test_other_tiles_are_refused(tile):
    with pytest.raises(ValueError, match="no MGRS tile of the northern hemisphere"):
        corner_of(tile)
