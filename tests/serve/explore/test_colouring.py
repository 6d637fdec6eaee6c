"""What tiles are coloured by, against plain loops."""

import numpy as np
import pytest

from swath.serve.explore import colouring
from swath.serve.explore.colouring import NOTHING


class Pack:
    """As much of a pack as colours need."""

    def __init__(self, labels, *, task="multilabel", splits=(), labelled=None, dates=None):
        self._labels = np.asarray(labels, dtype=np.uint8)
        self.vocabulary = tuple("abcdefghijklmnopqrstuvwxyz"[: self._labels.shape[1]])
        self.task = task
        self._splits = np.asarray(splits or [""] * len(labels))
        self._labelled = np.ones(len(labels), bool) if labelled is None else np.asarray(labelled)
        self.dates = dates

    def labels(self):
        return self._labels

    def splits(self):
        return self._splits

    def labelled(self):
        return self._labelled


def named(found):
    return [None if code == NOTHING else found.names[code] for code in found.values]


def test_a_tile_with_several_labels_has_the_colour_of_the_rarest():
    found = colouring.by_label(Pack([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]]))
    assert found.names == ("a", "b", "c")  # the most frequent first
    assert named(found) == ["b", "a", "c", None]
    assert "rarest" in found.about


def test_beyond_twelve_labels_the_rare_ones_share_a_colour():
    found = colouring.by_label(Pack(np.eye(15, dtype=np.uint8)[[*range(15), 3, 3]], task="class"))
    assert len(found.names) == 12
    assert found.names[0] == "d"
    assert found.names[-1] == "4 other labels"
    assert named(found)[14] == "4 other labels"
    assert found.about == ""


def test_there_is_no_colour_where_nothing_is_known(monkeypatch):
    empty = Pack([[0], [0]])
    assert colouring.by_label(empty) is None
    assert colouring.by_split(empty) is None
    monkeypatch.setattr(colouring, "column", lambda *_: [None, np.datetime64("2020-01-02").astype(object)])
    assert colouring.by_date(empty) is None  # one day is no scale


def test_splits_keep_their_order_and_dates_are_days(monkeypatch):
    pack = Pack([[1]] * 4, splits=["gap", "test", "", "train"])
    found = colouring.by_split(pack)
    assert found.names == ("train", "test", "gap")
    assert named(found) == ["gap", "test", None, "train"]
    days = [np.datetime64(day).astype(object) for day in ("1970-01-03", "2020-01-01")]
    monkeypatch.setattr(colouring, "column", lambda *_: [*days, None, None])
    values = colouring.by_date(pack).values
    assert values[:2].tolist() == [2, 18262]
    assert np.isnan(values[2:]).all()


@pytest.mark.parametrize(
    ("task", "expected"),
    [("multilabel", ["right", "2 wrong", None, None]), ("class", ["right", "wrong", None, None])],
)
def test_errors_are_shown_where_the_probe_was_tested(task, expected):
    pack = Pack(
        [[1, 0], [1, 0], [0, 1], [0, 1]], task=task, splits=["test", "test", "train", "test"],
        labelled=[True, True, True, False],
    )  # fmt: skip
    decided = np.asarray([[1, 0], [0, 1], [0, 1], [0, 1]], dtype=bool)
    assert named(colouring.by_error(pack, decided)) == expected
