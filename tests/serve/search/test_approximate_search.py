"""Oracle: cosines by plain loops, as of the exact search."""

import logging
import shutil

import numpy as np
import pytest
from search_oracle import cosines

import swath
from swath.errors import DataError, MachineError, UsageError
from swath.features.table import fingerprint, tile_columns
from swath.runtime.lock import RunLock
from swath.serve.search import cell_building
from swath.serve.search.archive import Archive
from swath.serve.search.cells import CellIndex

TILES = 1200
rng = np.random.default_rng(5)
CENTRES = rng.normal(size=(20, 32))
VALUES = (CENTRES[np.arange(TILES) % 20] + rng.normal(0, 0.6, (TILES, 32))).astype(np.float32)
VALUES[[7, 500]] = 0
DIRECTED = np.setdiff1d(np.arange(TILES), [7, 500])


@pytest.fixture(autouse=True)
def large_is_1000(monkeypatch):
    monkeypatch.setattr("swath.serve.search.archive.APPROXIMATE_FROM", 1000)
    monkeypatch.setattr(cell_building, "_LEAST_CELLS", 1)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Where features and their index are kept once they are made."""
    return tmp_path_factory.mktemp("approximate")


@pytest.fixture
def path(made, make_features):
    if not (made / "features.parquet").exists():
        shutil.copy(make_features(values=VALUES), made / "features.parquet")
    return made / "features.parquet"


def true_rows(row, k, *, among=DIRECTED):
    among = np.intersect1d(among, DIRECTED[row != DIRECTED])
    return among[np.argsort(-cosines(VALUES[among], VALUES[row]))[:k]]


def test_nearly_all_true_neighbours_are_found_with_their_true_similarity(path):
    hits = 0
    for row in range(10, 30):
        result = swath.search(path, like=f"t{row:04d}", k=20)
        found = [int(tile["id"][1:]) for tile in result.found]
        hits += len(set(found) & set(true_rows(row, 20)))
        expected = cosines(VALUES[found], VALUES[row])
        np.testing.assert_allclose([tile["similarity"] for tile in result.found], expected, atol=4e-4)
        assert (np.diff(expected) <= 4e-4).all()
    assert hits >= 0.97 * 20 * 20
    assert (result.method, result.tiles) == ("approximate", TILES)
    assert 0.99 <= result.recall <= 1
    assert "approximate index: 9" in result.lines()[0] or "approximate index: 100" in result.lines()[0]


def test_less_than_all_tiles_are_looked_at_and_the_recall_is_that_of_plain_loops(path):
    archive = Archive(path)
    recall = archive.open_index(51)
    index = archive._cells
    depth = index.depth(51)
    assert depth.looked_at < TILES - 2
    assert depth.recall == recall
    rows = rng.choice(DIRECTED, 100, replace=False)
    near = index.nearest(VALUES[rows], k=51, look_at=depth.looked_at).rows
    found = [len(set(near[i]) & set(true_rows(row, 50))) / 50 for i, row in enumerate(rows)]
    assert np.mean(found) == pytest.approx(recall, abs=0.02)


def test_filters_give_k_tiles_wherever_they_lie_and_all_where_there_are_fewer(path):
    columns = tile_columns(path)
    for filters, keep in (
        ({"split": "val"}, lambda tile: tile["split"] == "val"),
        ({"labels": "rough"}, lambda tile: "rough" in (tile["labels"] or ())),
    ):
        among = np.asarray([row for row, tile in enumerate(columns.to_pylist()) if keep(tile)])
        result = swath.search(path, like="t0011", k=50, **filters)
        found = {int(tile["id"][1:]) for tile in result.found}
        assert result.method == "approximate"
        assert found <= set(among)
        assert len(found) == 50
        assert len(found & set(true_rows(11, 50, among=among))) >= 49
    few = swath.search(path, like="t0011", k=50, place="120.2,0.2,125.8,0.8")
    assert few.method == "exact"
    assert {tile["id"] for tile in few.found} == {f"t{row:04d}" for row in range(120, 126)}
    assert not swath.search(path, like="t0011", k=50, place="7.2,0.2,7.8,0.8").found


def test_exact_compares_every_tile_and_so_does_more_than_was_measured(path):
    assert swath.search(path, like="t0011", k=20, exact=True).recall is None
    result = swath.search(path, like="t0011", k=1100)
    assert (result.method, len(result.found)) == ("exact", 1100)


def test_exact_is_refused_where_every_tile_is_compared_anyway(make_features):
    with pytest.raises(UsageError, match=r"--exact would change nothing: .* has 60 tiles, and below 1,000 "):
        swath.search(make_features(), like="t0001", exact=True)


def test_the_index_is_made_once_and_again_for_other_features(path, make_features, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="swath")
    own = tmp_path / "own.parquet"
    shutil.copy(path, own)
    first = swath.search(own, like="t0011", k=20).found
    assert "making the search index of 1200 tiles, once" in caplog.text
    caplog.clear()
    assert swath.search(own, like="t0011", k=20).found == first
    assert "making" not in caplog.text
    shutil.copy(make_features("other.parquet", values=VALUES[::-1]), own)
    (tmp_path / "own.parquet.index" / ".cells-1-killed.123.tmp").mkdir()
    found = swath.search(own, like="t0011", k=20).found
    assert "making the search index" in caplog.text
    assert [tile["id"] for tile in found] != [tile["id"] for tile in first]
    assert [entry.name for entry in (tmp_path / "own.parquet.index").iterdir()] == [
        f"cells-1-{fingerprint(own):.16}"
    ]


def test_two_processes_do_not_make_the_same_index(path, tmp_path):
    own = tmp_path / "own.parquet"
    shutil.copy(path, own)
    with (
        RunLock(tmp_path / "own.parquet.index"),
        pytest.raises(MachineError, match=r"own.parquet.index is in use by pid"),
    ):
        swath.search(own, like="t0011")


@pytest.mark.parametrize("name", ["unit.f16", "rows.npy", "centres.npy", "index.json"])
def test_a_damaged_index_says_what_to_remove(path, tmp_path, name):
    swath.search(path, like="t0011", k=2)
    folder = next((path.parent / "features.parquet.index").glob("cells-*"))
    own = tmp_path / "cells"
    shutil.copytree(folder, own)
    (own / name).write_bytes((own / name).read_bytes()[:-9])
    with pytest.raises(DataError, match=r"cells is damaged; remove it, and it is made again"):
        CellIndex(own)


@pytest.mark.parametrize("seed", range(3))
def test_a_search_that_reads_every_cell_is_exact(path, seed):
    swath.search(path, like="t0011", k=2)
    index = CellIndex(next((path.parent / "features.parquet.index").glob("cells-*")))
    row = int(np.random.default_rng(seed).choice(DIRECTED))
    found = index.nearest(VALUES[row][None], k=TILES, look_at=TILES)
    assert found.rows.shape == (1, TILES - 2)
    np.testing.assert_allclose(found.similarities[0], cosines(VALUES[found.rows[0]], VALUES[row]), atol=2e-3)
    assert set(true_rows(row, 50)) <= set(found.rows[0][:52].tolist())
