"""Plots and clusters of features, and that they are kept."""

import dataclasses

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.metrics import adjusted_rand_score

from swath.features.table import Origin
from swath.serve.explore import neighbour_plot as plots
from swath.serve.explore.arrangement import arrange, kept_arrangement, principal

ORIGIN = Origin("c", 1, "teacher", "p", "s", "both", 1, "run")


def grouped(count=400, groups=8, dim=24):
    """Unit rows around some directions, and the group of each."""
    rng = np.random.default_rng(0)
    of = np.arange(count) % groups
    rows = rng.normal(0, 1, (groups, dim))[of] + rng.normal(0, 0.25, (count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), of


def test_principal_components_are_those_of_scikit_learn():
    rows, _ = grouped()
    expected = PCA(5).fit_transform(rows)
    found = principal(rows, 5)
    assert np.abs(np.abs(found) - np.abs(expected)).max() < 1e-4


def test_neighbours_stay_nearer_than_in_principal_components():
    rows, _ = grouped(groups=16)
    made = arrange(rows)
    near, pca = (trustworthiness(rows, plot, n_neighbors=10) for plot in (made.near, made.pca))
    assert near > pca + 0.03


def test_tiles_beyond_the_landmarks_are_put_among_their_neighbours(monkeypatch):
    rows, of = grouped()
    monkeypatch.setattr(plots, "LANDMARKS", 150)
    made = arrange(rows)
    middles = np.stack([made.near[of == group].mean(axis=0) for group in range(8)])
    apart = np.linalg.norm(made.near[:, None] - middles, axis=2)
    assert (apart.argmin(axis=1) == of).mean() > 0.95


def test_clusters_are_the_groups_and_the_largest_is_the_first(monkeypatch):
    rows, of = grouped(groups=4)
    monkeypatch.setattr("swath.serve.explore.arrangement.CLUSTERS", 4)
    keep = (of != 2) | (np.arange(len(of)) % 8 == 2)
    made = arrange(rows[keep])
    assert adjusted_rand_score(of[keep], made.cluster) == 1
    counts = np.bincount(made.cluster)
    assert (np.diff(counts) <= 0).all()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_handful_of_tiles_or_copies_of_one_have_finite_places(count):
    for rows in (grouped()[0][:count], np.repeat(grouped()[0][:1], count, axis=0)):
        made = arrange(rows)
        assert np.isfinite(made.near).all()
        assert made.near.shape == made.pca.shape == (count, 2)


def test_an_arrangement_is_computed_once_and_again_only_for_other_features(tmp_path, monkeypatch):
    rows, _ = grouped(60)
    path = tmp_path / "explore" / "arrangement.parquet"
    first = kept_arrangement(path, rows, ORIGIN)
    assert np.array_equal(first.near, arrange(rows).near)  # the same each time
    monkeypatch.setattr("swath.serve.explore.arrangement.arrange", lambda _: pytest.fail("computed again"))
    again = kept_arrangement(path, rows, ORIGIN)
    for name in ("near", "pca", "cluster"):
        assert np.array_equal(getattr(again, name), getattr(first, name))
    monkeypatch.undo()
    other = kept_arrangement(path, rows[::-1].copy(), dataclasses.replace(ORIGIN, checkpoint="d"))
    assert not np.array_equal(other.pca, first.pca)
    path.write_bytes(b"cut short")
    assert np.array_equal(kept_arrangement(path, rows, ORIGIN).near, first.near)
