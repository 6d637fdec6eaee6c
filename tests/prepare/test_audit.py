import json

import matplotlib.image
import numpy as np
import pyarrow as pa
import pytest
from utm_squares import Square, at, table

from swath import storage
from swath.config import AuditConfig
from swath.data.bands import BandGroup, TileFormat
from swath.data.index import SCHEMA, IndexInfo, IndexWriter
from swath.data.store import TileStore
from swath.data.writer import TileWriter
from swath.errors import UsageError
from swath.prepare import audit

INFO = IndexInfo(
    root="/archive", layout="folder", task=None, vocabulary=(), bands=("R",), band_px=(1.0,), tile_px=4,
    stride_px=0, dtypes=("uint8",), nodata=None,
)  # fmt: skip
GROUP = BandGroup(("R",), 4, "uint8")
FORMAT = TileFormat(("R",), (GROUP,), None, (0.0,), (255.0,), (0.5,), (0.2,))
EAST, NORTH = (round(metres) for metres in at(33, 15.0, 50.0))


def squares(*, located=True):
    """Four tiles in a row, train to test, and a validation tile that overlaps the first, of another date."""
    side = 300 if located else -1
    splits = ["train", "train", "test", "test", None]
    row = [Square(33, EAST + 300 * i, NORTH, side, split=name) for i, name in enumerate(splits)]
    return [*row, Square(33, EAST, NORTH, side, split="val", day=4)]


def write_index(path, tiles):
    found = table(tiles)
    columns = {name: pa.nulls(len(found), SCHEMA.field(name).type) for name in SCHEMA.names}
    columns |= {name: found[name] for name in found.column_names}
    for name in ("x_px", "y_px", "width_px", "height_px"):
        columns[name] = pa.array([0] * len(found), pa.int32())
    columns["id"] = pa.array([f"t{i}" for i in range(len(found))])
    columns["paths"] = pa.array([["a.tif"]] * len(found))
    with IndexWriter(path, INFO) as writer:
        writer.append(pa.table(columns))
    return path


def write_tiles(path, tiles, pixels):
    columns = table(tiles).append_column("id", pa.array([f"t{i}" for i in range(len(tiles))]))
    with TileWriter(path, groups=(GROUP,), info={}) as writer:
        writer.append(columns, [pixels])
        writer.finish(FORMAT, vocabulary=(), task=None)
    return TileStore(path)


def random_pixels(count):
    return np.random.default_rng(0).integers(0, 255, (count, 1, 4, 4)).astype(np.uint8)


def test_the_finding_is_a_sentence_a_table_and_json(tmp_path):
    path = write_index(tmp_path / "index.parquet", squares())
    result = audit.run(AuditConfig(index=path))
    found = json.loads(json.dumps(result.to_json()))
    assert (found["splits"]["test"]["touching"], found["splits"]["test"]["overlapping"]) == (1, 0)
    assert found["splits"]["val"]["same_place_another_date"] == 1
    assert (found["tiles"], found["train"], found["without_split"]) == (6, 2, 1)
    assert found["identical"] is None
    text = "\n".join(result.lines())
    assert "1 of 2 test tiles (50.0%) touch or overlap a training tile" in text
    assert "1 tiles have no split" in text
    assert "swath split INDEX --out SPLIT --by blocks --gap-m 300" in text
    widths = {len(line) for line in text.splitlines() if line.startswith(("overlap", "touch", "gap"))}
    assert len(widths) == 1


def test_the_map_lies_beside_the_index_and_shows_train_and_what_touches_it(tmp_path):
    result = audit.run(AuditConfig(index=write_index(tmp_path / "index.parquet", squares())))
    assert result.out == tmp_path / "index.audit.png"
    picture = (matplotlib.image.imread(result.out)[..., :3] * 255).round().astype(int)
    for colour in [(0xA9, 0xC4, 0xE8), (0xF2, 0x8C, 0x28), (0xC1, 0x12, 0x1F)]:
        assert (np.abs(picture - colour).max(axis=-1) < 3).sum() > 30


def test_a_clean_split_is_called_clean(tmp_path):
    far = [Square(33, EAST, NORTH), Square(33, EAST + 900, NORTH, split="test")]
    result = audit.run(AuditConfig(index=write_index(tmp_path / "index.parquet", far), within_m=700))
    assert result.lines()[0] == "Clean: no tile touches a training tile."
    assert (result.splits["test"].within, result.splits["test"].gap_m["median"]) == (1, 600)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ((1,), "Cannot tell on the ground for 1 test tiles: they have no location."),
        ((0, 2), "Cannot tell on the ground for 1 train, 1 val tiles: they have no location."),
    ],
)
def test_tiles_without_location_are_never_called_clean(tmp_path, missing, said):
    far = [
        Square(33, EAST + 900 * i, NORTH, -1 if i in missing else 300, split=split)
        for i, split in enumerate(["train", "test", "val", "train", "test"])
    ]
    result = audit.run(AuditConfig(index=write_index(tmp_path / "index.parquet", far)))
    assert result.lines()[0] == said
    assert ("val" in result.splits) == (2 not in missing)


def test_a_pack_stands_alone_and_its_pixels_are_compared(tmp_path):
    pixels = random_pixels(6)
    pixels[2] = pixels[0]
    pixels[4] = pixels[3]
    store = write_tiles(tmp_path / "tiles.lance", squares(), pixels)
    result = audit.run(AuditConfig(index=store.path, out=tmp_path / "map.png"))
    assert result.identical == {"test": 1, "val": 0}
    assert result.splits["test"].touching == 1
    assert (tmp_path / "map.png").exists()


def test_tiles_of_one_checksum_but_other_pixels_are_not_identical(tmp_path, monkeypatch):
    monkeypatch.setattr("swath.data.store.isal_zlib.crc32", lambda *_: 7)
    store = write_tiles(tmp_path / "tiles.lance", squares(), random_pixels(6))
    assert audit.run(AuditConfig(index=store.path)).identical == {"test": 0, "val": 0}


def test_without_location_only_pixels_are_compared_and_there_is_no_map(tmp_path):
    pixels = random_pixels(6)
    pixels[5] = pixels[1]
    store = write_tiles(tmp_path / "tiles.lance", squares(located=False), pixels)
    result = audit.run(AuditConfig(index=store.path))
    assert (result.identical, result.out, result.splits) == ({"test": 0, "val": 1}, None, {})
    assert "1 val tiles have the pixels of a training tile" in result.lines()[0]
    pixels[5] = pixels[4]
    lines = audit.run(
        AuditConfig(index=write_tiles(tmp_path / "other.lance", squares(located=False), pixels).path)
    ).lines()
    assert lines[0] == "Cannot tell on the ground for 2 train, 2 test, 1 val tiles: they have no location."
    assert "\n\n\n" not in "\n".join(lines)
    with pytest.raises(UsageError, match="--within-m and --out have no effect"):
        audit.run(AuditConfig(index=store.path, within_m=5))


def test_an_index_without_locations_says_to_pack_it(tmp_path):
    path = write_index(tmp_path / "index.parquet", squares(located=False))
    with pytest.raises(UsageError, match=r"swath pack .*index.parquet --out tiles.lance"):
        audit.run(AuditConfig(index=path))


def test_index_and_map_may_lie_on_s3(s3):
    path = write_index(s3("index.parquet"), squares())
    result = audit.run(AuditConfig(index=path))
    assert result.out == path.with_name("index.audit.png")
    assert storage.read_bytes(result.out).startswith(b"\x89PNG")
    assert result.splits["test"].touching == 1
