import pytest

import swath
from swath.errors import UsageError


def test_more_neighbours_than_training_tiles_are_refused_and_few_are_said(make_pack, make_run, caplog):
    store, made = make_pack(task="class"), make_run()
    count = int((store.labelled() & (store.splits() == "train")).sum())
    with pytest.raises(UsageError, match=rf"--k 5000 is more than the {count} .* at most --k {count}"):
        swath.probe(made.path, store.path, rounds=100, task="knn", k=5000)
    caplog.set_level("WARNING", "swath")
    swath.probe(made.path, store.path, rounds=100, task="knn", k=9, label_fraction=0.1)
    assert f"10 % of the labels: {round(count / 10)} tiles, fewer than --k 9; all voted" in caplog.text
