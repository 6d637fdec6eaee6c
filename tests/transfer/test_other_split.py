"""A run that learned by another split than the tiles have may have seen test tiles."""

import pytest

import swath


@pytest.mark.parametrize("stage", ["probe", "ladder"])
def test_a_run_that_learned_by_another_split_is_said_with_both_sides(make_pack, make_run, caplog, stage):
    store, other = make_pack(count=60), make_pack("other.lance", count=60, splits=("train", "test", "val"))
    assert store.split_digest != other.split_digest
    made = make_run(split=store.split_digest)
    for tiles in (store, other):
        if stage == "probe":
            swath.probe(made.path, tiles.path, task="knn")
        else:
            swath.ladder(tiles.path, runs=[made.path], label_fraction=1.0, probes="knn", rounds=100)
        said = [line for line in caplog.messages if "may have seen test tiles" in line]
        assert len(said) == (tiles is other)
    assert f"{made.path} learned by split {store.split_digest[:12]}, {other.path} has split" in said[0]
    assert other.split_digest[:12] in said[0]
