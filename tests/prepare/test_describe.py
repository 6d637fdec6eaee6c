"""What is in an index or pack: tables, JSON, and a page in which names are read and not run."""

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import rasterio
from tile_archive import random_pixels, row, write_index, write_raster

from swath.config import DescribeConfig, PackConfig
from swath.location import S3Path
from swath.prepare import describe, pack
from swath.prepare.opening import beside

GRID = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
EVIL = "<script>alert(1)</script>"
VOCABULARY = (EVIL, "water")


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.pictures, self.text = set(), [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])
        if tag not in {"img", "meta"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def index(tmp_path):
    for number in range(4):
        write_raster(tmp_path / f"{number}.tif", random_pixels((3, 8, 8), seed=number), transform=GRID)
    rows = [row(n, labels=[VOCABULARY[n % 2]], split=["train", "test"][n // 2]) for n in range(4)]
    return write_index(tmp_path / "index.parquet", rows, vocabulary=VOCABULARY)


def page_of(result):
    page = Page(result.out.read_text(encoding="utf-8"))
    assert not page.open
    assert "script" not in page.tags
    return page


def test_an_index_gets_tables_json_and_a_page_that_shows_its_files(index):
    result = describe.run(DescribeConfig(index=index))
    page = page_of(result)
    assert EVIL in page.text
    assert result.out == index.with_name("index.describe.html")
    assert json.loads(json.dumps(result.to_json()))["census"]["labels"]["water"] == {"train": 1, "test": 1}
    text = "\n".join(result.lines())
    assert "4 tiles: train 2, test 2" in text
    assert f"{EVIL}      1     1    2  50.0%" in text
    assert (result.samples, len(page.pictures), result.bands) == (4, 4, {})
    shown = {picture_of(source).tobytes() for source in page.pictures}
    assert shown == {random_pixels((3, 8, 8), seed=n).transpose(1, 2, 0).tobytes() for n in range(4)}


def picture_of(source):
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).convert("RGB"))


def test_a_pack_adds_the_statistics_of_its_bands(index, tmp_path):
    tiles = tmp_path / "tiles.lance"
    pack.run(PackConfig(index=index, out=tiles))
    result = describe.run(DescribeConfig(index=tiles, out=tmp_path / "page.html"))
    pixels = np.stack([random_pixels((3, 8, 8), seed=number) for number in range(2)])  # those that train
    assert result.bands["G"]["mean"] == pytest.approx(pixels[:, 1].mean())
    assert any(line.startswith("G ") for line in result.lines())
    assert len(page_of(result).pictures) == 4


def test_a_catalogue_says_that_it_has_no_pixels(tmp_path):
    rows = [row(n, paths=[], labels=None) for n in range(2)]
    path = write_index(tmp_path / "v.parquet", rows, root="", task=None, vocabulary=())
    result = describe.run(DescribeConfig(index=path))
    page = page_of(result)
    assert "a catalogue without pixels, so there are no pictures" in page.text
    assert (result.samples, page.pictures) == (0, [])


def test_a_tile_that_cannot_be_read_is_left_out_and_named(index, caplog):
    index.with_name("2.tif").write_bytes(b"no raster")
    result = describe.run(DescribeConfig(index=index))
    assert result.samples == 3
    assert "1 of 4 sample tiles cannot be read" in caplog.text
    assert "2.tif" in caplog.text


def test_pages_of_an_index_and_of_its_pack_lie_side_by_side():
    folder = Path("data")
    assert beside(folder / "x.parquet", "describe.html") == folder / "x.describe.html"
    assert beside(folder / "x.lance", "describe.html") == folder / "x.lance.describe.html"
    assert beside(S3Path("bucket", "x.lance"), "audit.png") == S3Path("bucket", "x.lance.audit.png")
