"""A run that saw in training what it is tested on is refused, by its split, or tile by tile on other data."""

import shutil
from dataclasses import replace

import pytest
from striped_tiles import FORMAT

from swath.cli import main

WORDS = {
    "probe": ("probe", "{run}", "{tiles}", "--task", "knn"),
    "ladder": ("ladder", "{tiles}", "--runs", "{run}", "--probes", "knn", "--label-fraction", "1"),
}
OTHER = replace(FORMAT, mean=(0.3,) * 4)  # another split has other statistics of its training tiles
SPLITS = ("train", "test", "val")


def tried(stage, run, store, *more):
    return main([word.format(run=run.path, tiles=store.path) for word in WORDS[stage]] + [*more])


@pytest.mark.parametrize("stage", WORDS)
def test_a_run_that_learned_by_another_split_is_refused_and_both_sides_are_named(
    make_pack, make_run, capsys, stage
):
    store, other = make_pack(count=60), make_pack("other.lance", count=60, splits=SPLITS)
    assert store.split_digest != other.split_digest
    made = make_run(learned_from=store)
    assert [tried(stage, made, tiles) for tiles in (store, other)] == [0, 3]
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{made.path} learned by split {store.split_digest[:12]}, {other.path} has split" in said
    assert other.split_digest[:12] in said
    assert "may have seen test tiles" in said


@pytest.mark.parametrize("stage", WORDS)
def test_other_data_that_is_the_same_tiles_by_another_split_is_refused(make_pack, make_run, capsys, stage):
    store = make_pack(count=60)
    made = make_run(learned_from=store)
    again = make_pack("again.lance", count=60, splits=SPLITS, tile_format=OTHER)
    trained, tested = ({i for i in range(60) if (i // 6) % n in k} for n, k in ((6, {0, 1}), (3, {1})))
    assert tried(stage, made, again, "--other-data") == 3
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{made.path} trained on {len(trained & tested)} of the {len(tested)} test tiles" in said
    assert f'such as "t{min(trained & tested):04d}"' in said


def test_of_other_data_it_is_said_what_was_compared_and_what_could_not_be(make_pack, make_run, capsys):
    store, new = make_pack(count=60), make_pack("new.lance", count=60, tile_format=OTHER, seed=1)
    made, imported = make_run(learned_from=store), make_run("imported", seed=6)
    assert tried("probe", made, new, "--other-data") == 0
    assert "none of the 18 test tiles is one that" in capsys.readouterr().err
    assert tried("probe", imported, store) == 0
    assert "imported does not say what it learned from" in capsys.readouterr().err
    shutil.rmtree(store.path)
    assert tried("probe", made, new, "--other-data") == 0
    assert f"the tiles of {made.path} are not at hand" in capsys.readouterr().err
