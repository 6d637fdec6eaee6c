"""The banner of the report: there where test touches train, and only there."""

import numpy as np
import pyarrow as pa
import pytest
from mapped_tiles import FORMAT, SIZE_PX, make_run
from utm_squares import Square, at, table

from swath.config import ReportConfig
from swath.data.writer import TileWriter
from swath.transfer.report import run as report

EAST, NORTH = (round(metres) for metres in at(33, 15.0, 50.0))
BANNER = 'class="banner"'


def page_of(folder, gap_m, *, located=True):
    """Two training tiles and a test tile that many metres east of them."""
    side = 160 if located else -1
    squares = [Square(33, EAST + 160 * i, NORTH, side) for i in range(2)]
    squares.append(Square(33, EAST + 320 + gap_m, NORTH, side, split="test"))
    columns = table(squares).append_column("id", pa.array(["a", "b", "c"]))
    columns = columns.append_column("labels", pa.nulls(3, pa.list_(pa.string())))
    pixels = np.random.default_rng(0).integers(0, 255, (3, 3, SIZE_PX, SIZE_PX)).astype(np.uint8)
    tiles = folder / "tiles.lance"
    with TileWriter(tiles, groups=FORMAT.groups, info={}) as writer:
        writer.append(columns, [pixels])
        writer.finish(FORMAT, vocabulary=(), task=None)
    run = make_run(folder / "run", tiles, trained=False)
    return report(ReportConfig(run=run.path)).out.read_text(encoding="utf-8")


@pytest.mark.parametrize("gap_m", [0, -80])
def test_test_tiles_that_touch_or_overlap_train_raise_a_banner(tmp_path, gap_m):
    text = page_of(tmp_path, gap_m)
    assert BANNER in text
    assert "1 of 1 test tiles (100.0%) touch or overlap a training tile" in text
    assert text.index(BANNER) < text.index("<h1")
    card = (tmp_path / "run" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "- test leaks into train: 1 of 1 test tiles" in card


def test_a_clean_split_has_its_audit_and_no_banner(tmp_path):
    text = page_of(tmp_path, 900)
    assert BANNER not in text
    assert "leaks" not in (tmp_path / "run" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Clean: no tile touches a training tile." in text
    assert "900 m" in text


def test_tiles_without_location_have_neither(tmp_path):
    text = page_of(tmp_path, 0, located=False)
    assert BANNER not in text
    assert 'id="leaks"' not in text
