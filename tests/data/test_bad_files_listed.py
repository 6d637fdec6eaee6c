import logging

import pytest

from swath.data.bad_inputs import BadInput, BadInputs, BadPolicy
from swath.errors import DataError


def gathered(count: int, **policy) -> BadInputs:
    bad = BadInputs("files", BadPolicy(**policy))
    for number in range(count):
        bad.add(f"{number}.tif", DataError(f"{number}.tif is cut. Copy it again."))
    return bad


def test_nothing_bad_says_nothing_and_takes_an_old_list_away(tmp_path):
    (tmp_path / "bad.csv").write_text("path,reason\n")
    gathered(0, listing=tmp_path / "bad.csv").judge(looked_at=9)
    assert list(tmp_path.iterdir()) == []


def test_any_bad_one_stops_unless_skipping_was_asked_for():
    with pytest.raises(
        DataError, match=r"^7 of 100 files are bad \(7.0%\): 0.tif is cut.* \(and 2 more\)\. Re"
    ):
        gathered(7).judge(looked_at=100)


def test_skipping_warns_up_to_the_share_and_stops_beyond_and_lists_either_way(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    listing = tmp_path / "bad.csv"
    gathered(2, skip=True, max_bad=0.02, listing=listing).judge(looked_at=100)
    assert caplog.messages == [f"2 of 100 files are bad (2.0%), left out. See {listing}."]
    assert listing.read_text().splitlines()[:2] == ["path,reason", "0.tif,0.tif is cut. Copy it again."]
    with pytest.raises(DataError, match=r"See .*bad.csv\. That is more than --max-bad 0.02 allows\."):
        gathered(3, skip=True, max_bad=0.02, listing=listing).judge(looked_at=100)
    assert len(listing.read_text().splitlines()) == 4


def test_when_all_are_bad_no_policy_helps_and_a_single_file_speaks_for_itself():
    with pytest.raises(DataError, match=r"^3 of 3 files are bad \(100.0%\): "):
        gathered(3, skip=True, max_bad=1.0).judge(looked_at=3)
    with pytest.raises(DataError, match=r"^0.tif is cut. Copy it again.$"):
        gathered(1).judge(looked_at=1)


def test_a_tile_is_named_where_its_file_does_not_say_which():
    assert str(BadInput("scene.tif", "blank.", "scene_x0_y32")) == 'tile "scene_x0_y32": blank'
    assert str(BadInput("a.png", "blank.", "a.png")) == "blank"
