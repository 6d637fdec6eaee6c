"""A run in s3:// on the page: what is marked by hand is put there at once, what was computed at the end."""

import shutil

import pytest
from s3_server import put_folder
from test_label_files import marked

import swath
from swath import storage
from swath.errors import UsageError
from swath.runtime.mirror import run_here
from swath.runtime.run import Run
from swath.serve.explore.server import Server


@pytest.fixture
def run(explored_run, place, tmp_path):
    """The run in s3://, without what explore keeps beside it."""
    shutil.copytree(
        explored_run, tmp_path / "run", ignore=shutil.ignore_patterns("explore", "labels", "*.parquet")
    )
    return put_folder(tmp_path / "run", place("run"))


def test_marks_are_there_while_the_page_is_open(run, client_of):
    with run_here(run) as folder, client_of(Run.open(folder)) as client:
        found, _ = marked(client, [4, 2], [9])
        assert found["file"] == f"{run}/labels/stripes.parquet"
        text = storage.read_bytes(run / "labels/stripes.csv").decode()
        assert text == client.get("/labels/stripes.csv").text
        assert storage.is_file(run / "labels/stripes.parquet")
        marked(client, [], [])
        assert not storage.exists(run / "labels")


def test_features_are_there_when_it_ends_and_the_next_page_shows_the_marks(run, client_of, monkeypatch):
    monkeypatch.setattr(Server, "wait", lambda _: "SIGINT")
    with run_here(run) as folder, client_of(Run.open(folder)) as client:
        marked(client, [4], [])
    assert storage.is_file(run / "features.parquet")
    assert swath.explore(run).to_json()["labels"] == [f"{run}/labels/stripes.parquet"]
    with pytest.raises(UsageError, match=rf"^{run}x does not exist"):
        swath.explore(f"{run}x")
