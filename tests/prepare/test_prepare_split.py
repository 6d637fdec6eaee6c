import math
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from swath.config import SplitConfig
from swath.data.index import SCHEMA, IndexInfo, IndexWriter, read_index
from swath.errors import DataError, UsageError
from swath.prepare import split

INFO = IndexInfo(
    root="/archive", layout="folder", task="multilabel", vocabulary=("farm", "water"), bands=("R",),
    band_px=(1.0,), tile_px=32, stride_px=0, dtypes=("uint8",), nodata=None,
)  # fmt: skip


def footprint(number, *, step=1.0):
    side = 320 / 110_574
    west, south = (
        9.0 + (number % 20) * side * step / math.cos(math.radians(50)),
        50.0 + (number // 20) * side * step,
    )
    return shapely.to_wkb(shapely.box(west, south, west + side / math.cos(math.radians(50)), south + side))


def row(number, **changes):
    return {
        "id": f"t{number}", "paths": [f"{number}.tif"], "x_px": 0, "y_px": 0, "width_px": 32, "height_px": 32,
        "labels": [["farm"], ["water"], None][number % 3], "geometry": footprint(number),
    } | changes  # fmt: skip


@pytest.fixture
def index_of(tmp_path):
    def write(rows) -> Path:
        path = tmp_path / "index.parquet"
        with IndexWriter(path, INFO) as writer:
            for start in range(0, len(rows), 150):
                writer.append(pa.RecordBatch.from_pylist(rows[start : start + 150], schema=SCHEMA))
        return path

    return write


def test_blocks_fill_both_columns_and_leave_the_others_as_they_were(index_of, tmp_path):
    path = index_of([row(number) for number in range(400)])
    result = split.run(SplitConfig(index=path, out=tmp_path / "split.parquet", block_m=1500, gap_m=100))
    before, after = read_index(path), read_index(tmp_path / "split.parquet")
    assert after.info == before.info
    for name in set(SCHEMA.names) - {"split", "block"}:
        assert after.table[name].to_pylist() == before.table[name].to_pylist()
    splits = after.table["split"].to_pylist()
    assert result.counts == {name: splits.count(name) for name in ("train", "val", "test", "gap")}
    assert result.blocks == len(set(after.table["block"].to_pylist()))
    assert result.to_json()["by"] == "blocks"


def test_random_keeps_the_shares_and_forgets_blocks(index_of):
    path = index_of([row(number, block="r1c1") for number in range(400)])
    result = split.run(SplitConfig(index=path, out=path, by="random", seed=4))
    assert result.counts == {"train": 280, "val": 40, "test": 80}
    assert set(read_index(path).table["block"].to_pylist()) == {None}


def test_random_is_refused_where_tiles_overlap_unless_forced(index_of, tmp_path):
    path, out = (
        index_of([row(number, geometry=footprint(number, step=0.5)) for number in range(100)]),
        tmp_path / "o.parquet",
    )
    with pytest.raises(UsageError, match=r"overlap on the ground.*swath split .* --by blocks .*--force"):
        split.run(SplitConfig(index=path, out=out, by="random"))
    assert not out.exists()
    assert split.run(SplitConfig(index=path, out=out, by="random", force=True)).counts["test"] == 20


def test_tiles_without_a_location_are_refused_by_blocks_with_the_command_to_type(index_of, tmp_path):
    path, out = index_of([row(number, geometry=None) for number in range(10)]), tmp_path / "out.parquet"
    with pytest.raises(UsageError, match=f"10 of 10 tiles.*Type: swath split {path} --out {out} --by random"):
        split.run(SplitConfig(index=path, out=out))
    assert not out.exists()
    assert split.run(SplitConfig(index=path, out=out, by="random")).counts == {
        "train": 7,
        "val": 1,
        "test": 2,
    }


def test_official_reads_every_usual_spelling_and_keeps_empty_ones_empty(index_of, tmp_path):
    spelled = ["train", "Training", "VALID", "validation", "val", " test ", None]
    path = index_of([row(number, split=name) for number, name in enumerate(spelled)])
    result = split.run(SplitConfig(index=path, out=tmp_path / "out.parquet", by="official"))
    found = read_index(tmp_path / "out.parquet").table["split"].to_pylist()
    assert found == ["train", "train", "val", "val", "val", "test", None]
    assert result.counts == {"train": 2, "val": 3, "test": 1, "none": 1}


def test_official_takes_a_split_by_blocks_as_it_is(index_of, tmp_path):
    path = index_of([row(number) for number in range(400)])
    split.run(SplitConfig(index=path, out=tmp_path / "blocks.parquet", block_m=1500, gap_m=100))
    split.run(SplitConfig(index=tmp_path / "blocks.parquet", out=tmp_path / "again.parquet", by="official"))
    before, after = (read_index(tmp_path / f"{name}.parquet").table for name in ("blocks", "again"))
    assert "gap" in before["split"].to_pylist()
    assert after.equals(before)


def test_official_takes_another_column(index_of, tmp_path):
    path = index_of([row(number) for number in range(3)])
    table = pq.read_table(path)
    pq.write_table(table.append_column("fold", pa.array(["train", "val", "test"])), path)
    split.run(SplitConfig(index=path, out=tmp_path / "out.parquet", by="official", split_column="fold"))
    assert read_index(tmp_path / "out.parquet").table["split"].to_pylist() == ["train", "val", "test"]


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("split", "tset", '"tset" in row 0 .* Did you mean "test"'),
        ("splitt", "train", 'no column "splitt".*Did you mean "split"'),
        ("split", None, "is empty. Type: swath split .* --by random"),
    ],
)
def test_an_official_split_that_cannot_be_read_is_an_error(index_of, tmp_path, column, value, said):
    path = index_of([row(number, split=value) for number in range(4)])
    with pytest.raises((UsageError, DataError), match=said):
        split.run(SplitConfig(index=path, out=tmp_path / "out.parquet", by="official", split_column=column))
    assert not (tmp_path / "out.parquet").exists()


def test_a_gap_that_leaves_nothing_to_train_on_is_an_error(index_of, tmp_path):
    path = index_of([row(number) for number in range(400)])
    with pytest.raises(UsageError, match=r"no tile is left for train.*smaller --gap-m"):
        split.run(SplitConfig(index=path, out=tmp_path / "out.parquet", block_m=1500, gap_m=20_000))


def test_blocks_too_few_for_the_shares_are_said_with_blocks_that_do(index_of, tmp_path, caplog):
    path, out = index_of([row(number) for number in range(400)]), tmp_path / "split.parquet"
    caplog.set_level("WARNING", "swath")
    first = split.run(SplitConfig(index=path, out=out, block_m=6000)).counts
    said = re.search(r"val (\d+)% and test (\d+)% of the tiles, asked were val 10% and test 20%", caplog.text)
    assert [int(share) for share in said.groups()] == [round(first[name] / 4) for name in ("val", "test")]
    hint = re.search(r"; --block-m (\d+) gives val (\d+)% and test (\d+)%", caplog.text)
    caplog.clear()
    again = split.run(SplitConfig(index=path, out=out, block_m=int(hint[1]))).counts
    assert [int(share) for share in hint.groups()[1:]] == [round(again[name] / 4) for name in ("val", "test")]
    assert caplog.text == ""


def test_a_label_that_the_test_split_lacks_is_said(index_of, tmp_path, caplog):
    rows = [row(number, labels=["farm"], split="train" if number else "test") for number in range(5)]
    rows[3]["labels"] = ["water"]
    split.run(SplitConfig(index=index_of(rows), out=tmp_path / "out.parquet", by="official"))
    assert "no test tile is labelled: water" in caplog.text


def test_random_is_refused_where_overlapping_tiles_have_no_location(tmp_path):
    path = tmp_path / "index.parquet"
    with IndexWriter(path, replace(INFO, layout="scenes", stride_px=16)) as writer:
        rows = [row(number, geometry=None) for number in range(20)]
        writer.append(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    settings = {"index": path, "out": tmp_path / "split.parquet", "by": "random"}
    with pytest.raises(UsageError, match=r"cut every 16 px.*--stride-px 32"):
        split.run(SplitConfig(**settings))
    assert sum(split.run(SplitConfig(**settings, force=True)).counts.values()) == 20


AREAS = [
    (area, number) for area, count in (("a", 40), ("b", 30), ("c", 20), ("d", 10)) for number in range(count)
]


def in_areas(index_of, **changes):
    return index_of(
        [
            row(i, paths=[f"imagery/{area}/day{number % 2}/{number}.tif"], geometry=None, **changes)
            for i, (area, number) in enumerate(AREAS)
        ]
    )


def test_folders_go_whole_into_one_split_and_fill_the_block(index_of, tmp_path):
    result = split.run(
        SplitConfig(
            index=in_areas(index_of), out=tmp_path / "o.parquet", by="folders", test_share=0.3, val_share=0.2
        )
    )
    table = read_index(tmp_path / "o.parquet").table
    assert table["block"].to_pylist() == [f"imagery/{area}" for area, _ in AREAS]
    found = {block: set() for block in table["block"].to_pylist()}
    for block, name in zip(table["block"].to_pylist(), table["split"].to_pylist(), strict=True):
        found[block].add(name)
    assert all(len(names) == 1 for names in found.values())
    assert result.counts == {"train": 50, "val": 20, "test": 30}
    assert result.blocks == 4


def test_folders_share_out_labels_as_well_as_tiles(index_of, tmp_path):
    rows = [
        row(i, paths=[f"{area}/{i}.tif"], geometry=None, labels=["farm"] if area in "ab" else ["water"])
        for i, area in enumerate("abcdef" * 20)
    ]
    config = SplitConfig(
        index=index_of(rows), out=tmp_path / "o.parquet", by="folders", test_share=1 / 3, val_share=0
    )
    result = split.run(config)
    assert result.counts == {"train": 80, "test": 40}
    assert result.labels["farm"]["test"] == 0.5  # 1 of 2 folders of farms, never both or none


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ([f"{i}.tif" for i in range(9)], r'"0.tif" lies in no folder that others do not share'),
        ([f"a/{i}.tif" for i in range(8)] + ["9.tif"], r'"9.tif" lies in no folder'),
        ([f"{'ab'[i % 2]}/{i}.tif" for i in range(9)], r"tiles of 2 folders \(a, b\), the split needs 3"),
        ([f"{i}/b.tif" for i in range(9)], r"a folder for each of its 9 tiles"),
    ],
)
def test_folders_that_cannot_be_split_are_refused_in_one_line(index_of, tmp_path, paths, said):
    rows = [row(i, paths=[path], geometry=None) for i, path in enumerate(paths)]
    with pytest.raises(UsageError, match=said) as refused:
        split.run(SplitConfig(index=index_of(rows), out=tmp_path / "o.parquet", by="folders"))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "o.parquet").exists()


def test_folders_that_are_the_classes_are_refused(tmp_path):
    path, classes = tmp_path / "index.parquet", ("farm", "lake", "road", "water")
    with IndexWriter(path, replace(INFO, task="class", vocabulary=classes)) as writer:
        rows = [
            row(i, paths=[f"{classes[i % 4]}/{i}.tif"], labels=[classes[i % 4]], geometry=None)
            for i in range(20)
        ]
        writer.append(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    with pytest.raises(UsageError, match=r"its classes \(farm, lake, road, water, ...\)"):
        split.run(SplitConfig(index=path, out=tmp_path / "o.parquet", by="folders"))


def test_folders_that_show_one_place_on_several_days_are_refused(index_of, tmp_path):
    rows = [row(i, paths=[f"year{i % 3}/{i // 3}.tif"], geometry=footprint(i // 3)) for i in range(90)]
    with pytest.raises(UsageError, match=r"overlap training tiles of other folders on the ground"):
        split.run(SplitConfig(index=index_of(rows), out=tmp_path / "o.parquet", by="folders"))


@pytest.mark.parametrize(
    ("by", "setting", "flag"),
    [
        ("folders", {"gap_m": 100.0}, "--gap-m"),
        ("folders", {"force": True}, "--force"),
        ("random", {"block_m": 100.0}, "--block-m"),
        ("official", {"test_share": 0.3}, "--test-share"),
        ("blocks", {"split_column": "fold"}, "--split-column"),
    ],
)
def test_a_setting_that_would_change_nothing_is_refused(tmp_path, by, setting, flag):
    with pytest.raises(ValueError, match=f"{flag} would change nothing with --by {by}"):
        SplitConfig(index=tmp_path / "i.parquet", out=tmp_path / "o.parquet", by=by, **setting)
