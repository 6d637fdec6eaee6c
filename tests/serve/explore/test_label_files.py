"""Label by example, without a browser: scores, files, and that swath index takes them."""

import json
import struct

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score

from swath.errors import UsageError
from swath.serve.explore.example_probe import ExampleProbe
from swath.serve.explore.label_files import LabelFolder, Marks


def marked(client, positive, negative, label="stripes"):
    answer = client.post("/api/labels", json={"label": label, "positive": positive, "negative": negative})
    if answer.status_code != 200:
        return answer.json()["detail"], None
    length = struct.unpack("<I", answer.content[:4])[0]
    return json.loads(answer.content[4 : 4 + length]), np.frombuffer(answer.content[4 + length :], "<f4")


def test_marks_rank_the_archive_and_more_marks_rank_it_better(client, explored):
    truth = explored.store.labels()[:, explored.store.vocabulary.index("flat")].astype(bool)
    yes, no = np.flatnonzero(truth), np.flatnonzero(~truth)
    found, first = marked(client, [int(yes[0])], [], label="flat")
    assert found["positive"] == [yes[0]]
    _, later = marked(client, yes[:8].tolist(), no[:8].tolist(), label="flat")
    rest = np.setdiff1d(np.arange(len(truth)), [*yes[:8], *no[:8]])
    early, late = (average_precision_score(truth[rest], scores[rest]) for scores in (first, later))
    assert late > early + 0.05


def test_the_same_marks_give_the_same_scores_whatever_came_before(explored):
    probe = ExampleProbe(explored.features)
    first = probe.scores([3], [4, 5])
    probe.scores([9], [])
    assert np.array_equal(first, probe.scores([3], [4, 5]))
    assert ((first > 0) & (first < 1)).all()


def test_all_tiles_marked_as_positive_are_all_certain():
    features = np.eye(3, dtype=np.float32)
    assert (ExampleProbe(features).scores([0, 1, 2], []) == 1).all()


def test_the_files_say_what_was_marked_and_are_there_after_a_restart(client, explored):
    marked(client, [4, 2], [9])
    path = explored.run / "labels" / "stripes.parquet"
    frame = geopandas.read_parquet(path)
    assert frame["id"].tolist() == [explored.ids[row] for row in (2, 4, 9)]
    assert frame["stripes"].tolist() == [1, 1, 0]
    assert frame.geometry.notna().all()
    lines = path.with_suffix(".csv").read_text().splitlines()
    assert lines == ["id,stripes", *(f"{explored.ids[row]},{int(row != 9)}" for row in (2, 4, 9))]
    assert client.get("/labels/stripes.csv").text.splitlines() == lines
    again = LabelFolder(explored.run, explored.ids, [None] * 144).read()
    assert again == [Marks("stripes", (2, 4), (9,))]
    assert client.get("/api/labels").json()[0]["positive"] == [2, 4]
    marked(client, [], [])
    assert not list((explored.run / "labels").iterdir())


@pytest.mark.parametrize(
    "name", ["", "../x", "a/b", "a.b", " a", "a ", "<b>", "Split", "id", "geometry", "x" * 65, "a\nb", "-"]
)
def test_a_name_that_is_no_file_or_column_is_refused(client, explored, name):
    said, scores = marked(client, [1], [], label=name)
    assert scores is None
    assert "label" in said
    assert not (explored.run / "labels").exists()


@pytest.mark.parametrize(("positive", "negative"), [([1], [1]), ([1, 1], []), ([144], []), ([-1], [])])
def test_marks_that_make_no_sense_are_refused(client, explored, positive, negative):
    assert marked(client, positive, negative)[1] is None
    assert not (explored.run / "labels").exists()


def test_other_files_in_the_folder_are_passed_over(explored):
    folder = explored.run / "labels"
    folder.mkdir()
    (folder / "broken.parquet").write_bytes(b"PAR1")
    pq.write_table(pq.read_table(explored.run / "features.parquet", columns=["id"]), folder / "other.parquet")
    assert LabelFolder(explored.run, explored.ids, [None] * 144).read() == []
    with pytest.raises(UsageError, match="no name for a label"):
        LabelFolder(explored.run, explored.ids, []).file("../x")
