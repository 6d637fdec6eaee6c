"""A bundle gives the numbers of the run that it was made of, and refuses what is not as it was bundled."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
from bundle_folder import tiles_of
from striped_tiles import BANDS, VOCABULARY

import swath
from swath.errors import DataError, UsageError
from swath.features.head import head_path, read_probe
from swath.runtime.checkpoint import read_checkpoint
from swath.runtime.run import Run


def embedded(made, store, tmp_path, **settings):
    import pyarrow.parquet as pq

    swath.embed(made.path, store.path, out=tmp_path / "f.parquet", **settings)
    return np.stack(pq.read_table(tmp_path / "f.parquet")["features"].to_numpy())


def test_features_and_answers_are_those_of_embed_and_probe(bundled, probed, tmp_path):
    store, path = bundled
    model = swath.load(path)
    rows = np.arange(0, len(store), 3)
    expected = embedded(probed[1], store, tmp_path)[rows]
    found = model.embed(tiles_of(store, rows), batch_size=7)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    decisions = read_probe(head_path(probed[1].path / "probe-linear.json")).decisions(expected)
    answers = model.predict(tiles_of(store, rows))
    np.testing.assert_allclose(answers.probabilities, 1 / (1 + np.exp(-decisions)), atol=1e-6)
    assert answers.labels == [tuple(np.asarray(VOCABULARY)[row > 0]) for row in decisions]


def test_one_label_a_tile_is_a_softmax(make_pack, make_run, tmp_path):
    store, made = make_pack(task="class"), make_run()
    swath.probe(made.path, store.path, rounds=100, features="mean", blocks=2)
    swath.bundle(made.path, out=tmp_path / "b", head=made.path / "probe-linear.json")
    model = swath.load(tmp_path / "b")
    answers = model.predict(tiles_of(store, range(20)))
    features = embedded(made, store, tmp_path, features="mean", blocks=2)[:20]
    scores = read_probe(head_path(made.path / "probe-linear.json")).scores(features)
    np.testing.assert_allclose(answers.probabilities, np.exp(scores), atol=1e-6)
    assert answers.labels == [(VOCABULARY[k],) for k in scores.argmax(axis=1)]
    assert (model.task, model.dim, model.about.content.blocks) == ("class", 32, 2)


def test_the_map_of_a_tile_has_the_decision_as_its_mean(bundled):
    store, path = bundled
    model = swath.load(path)
    groups = [torch.from_numpy(pixels) for pixels in store.read(np.arange(8))]
    seen = model.head.look(model.backbone, model.backbone.images(groups, store.format))
    assert seen.maps.shape == (8, len(VOCABULARY), 4, 4)
    np.testing.assert_allclose(seen.maps.mean(dim=(2, 3)).numpy(), seen.decisions, atol=1e-4)
    assert float(seen.maps.std(dim=(2, 3)).max()) > 0.1


def test_a_head_fitted_on_other_data_brings_the_statistics_of_that_data(make_pack, make_run, tmp_path):
    from dataclasses import replace

    from striped_tiles import FORMAT

    other = replace(FORMAT, gsd_m=20.0, high=(3000.0,) * 4, mean=(0.5,) * 4, std=(0.1,) * 4)
    store, made = make_pack("other.lance", tile_format=other), make_run()
    swath.probe(made.path, store.path, rounds=100, other_data=True)
    swath.bundle(made.path, out=tmp_path / "b", head="probe-linear.json")
    model = swath.load(tmp_path / "b")
    assert (model.gsd_m, model.units["B04"]) == (20.0, ("uint16", 0.0, 3000.0))
    expected = embedded(made, store, tmp_path, other_data=True)[:9]
    np.testing.assert_allclose(model.embed(tiles_of(store, range(9))), expected, atol=1e-6)


def test_weights_of_the_student_are_bundled_where_the_head_was_fitted_on_them(make_pack, make_run, tmp_path):
    store, made = make_pack(), make_run()
    swath.probe(made.path, store.path, rounds=100, weights="student")
    swath.bundle(made.path, out=tmp_path / "b", head="probe-linear.json")
    model = swath.load(tmp_path / "b")
    assert model.about.weights.whose == "student"
    expected = embedded(made, store, tmp_path, weights="student")[:9]
    np.testing.assert_allclose(model.embed(tiles_of(store, range(9))), expected, atol=1e-6)


def test_without_a_head_there_are_features_and_no_classes(make_run, tmp_path):
    made = make_run()
    result = swath.bundle(made.path, out=tmp_path / "b")
    assert (result.task, result.dim, result.bands) == (None, 32, BANDS)
    model = swath.load(tmp_path / "b")
    assert model.embed(np.full((2, 4, 16, 16), 1200, np.uint16)).shape == (2, 32)
    assert model.embed(np.full((4, 16, 16), 1200.0)).shape == (1, 32)
    assert model.embed(np.zeros((0, 4, 16, 16), np.uint16)).shape == (0, 32)
    with pytest.raises(UsageError, match=r"has no head.*swath bundle RUN --head"):
        model.predict(np.full((2, 4, 16, 16), 1200, np.uint16))


def test_loading_imports_no_training_room_and_no_lance(bundled):
    code = (
        "import sys, swath; swath.load(sys.argv[1]); "
        "rooms = ('pretraining', 'transfer', 'prepare', 'augment'); "
        "print([m for m in sys.modules if m == 'lance' or m.startswith(tuple(f'swath.{r}' for r in rooms))])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(bundled[1])], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_a_head_of_an_older_checkpoint_or_of_neighbours_is_refused(probed, make_run, tmp_path):
    store, made = probed
    swath.probe(made.path, store.path, task="knn", rounds=100)
    with pytest.raises(UsageError, match="neighbours have no head"):
        swath.bundle(made.path, out=tmp_path / "b", head="probe-knn.json")
    with pytest.raises(UsageError, match=r"no file nowhere\.json"):
        swath.bundle(made.path, out=tmp_path / "b", head="nowhere.json")
    make_run(step=20, seed=9)
    with pytest.raises(DataError, match=r"newest is .*step 20\). Probe again"):
        swath.bundle(made.path, out=tmp_path / "b", head="probe-linear.json")
    assert not (tmp_path / "b").exists()


def test_an_output_that_exists_is_left_alone(bundled, probed):
    with pytest.raises(UsageError, match="exists already"):
        swath.bundle(probed[1].path, out=bundled[1])
    swath.verify(bundled[1])


def test_the_licence_is_the_users_own_or_says_that_none_was_chosen(probed, tmp_path):
    _, made = probed
    (tmp_path / "mine.txt").write_text("All of it is yours.\n")
    swath.bundle(made.path, out=tmp_path / "a", licence=tmp_path / "mine.txt")
    assert (tmp_path / "a" / "LICENSE").read_text() == "All of it is yours.\n"
    swath.bundle(made.path, out=tmp_path / "b")
    assert "has not chosen a licence" in (tmp_path / "b" / "LICENSE").read_text()
    with pytest.raises(UsageError, match="cannot be read as a text"):
        swath.bundle(made.path, out=tmp_path / "c", licence=tmp_path / "none.txt")


def test_the_card_tells_input_output_and_scores_and_class_names_are_no_markup(bundled):
    _, path = bundled
    card = (path / "MODEL_CARD.md").read_text()
    assert "| B11 | uint16, 8 px | 0 | 4000 | 0.4 | 0.2 |" in card
    assert "macro average precision" in card
    assert "any number of classes a tile: bright, striped, rough, never" in card


def test_a_copy_elsewhere_is_the_same_model(bundled, tmp_path):
    store, path = bundled
    shutil.copytree(path, tmp_path / "elsewhere")
    tiles = tiles_of(store, range(4))
    np.testing.assert_array_equal(
        swath.load(path).embed(tiles), swath.load(tmp_path / "elsewhere").embed(tiles)
    )


def test_a_checkpoint_of_the_run_holds_what_was_bundled(bundled, probed):
    teacher = read_checkpoint(Run.open(probed[1].path).checkpoint().path).tensors["teacher"]
    for name, tensor in safetensors.torch.load_file(bundled[1] / "backbone.safetensors").items():
        assert torch.equal(tensor, teacher[f"backbone.{name}"])
