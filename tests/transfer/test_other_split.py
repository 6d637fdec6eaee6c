"""A run that learned by another split than the tiles have may have seen test tiles."""

import pytest

from swath.cli import main

WORDS = {
    "probe": ("probe", "{run}", "{tiles}", "--task", "knn"),
    "ladder": ("ladder", "{tiles}", "--runs", "{run}", "--probes", "knn", "--label-fraction", "1"),
}


@pytest.mark.parametrize("stage", WORDS)
def test_a_run_that_learned_by_another_split_is_refused_and_both_sides_are_named(
    make_pack, make_run, capsys, stage
):
    store, other = make_pack(count=60), make_pack("other.lance", count=60, splits=("train", "test", "val"))
    assert store.split_digest != other.split_digest
    made = make_run(split=store.split_digest)
    codes = [
        main([word.format(run=made.path, tiles=tiles.path) for word in WORDS[stage]])
        for tiles in (store, other)
    ]
    assert codes == [0, 3]
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{made.path} learned by split {store.split_digest[:12]}, {other.path} has split" in said
    assert other.split_digest[:12] in said
    assert "may have seen test tiles" in said
