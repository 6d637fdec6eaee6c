"""Heads of a segmentation and of a fine-tuning are bundled too, and say what the probe's own code says."""

import numpy as np
import pytest
import torch
from bundle_folder import redescribe
from masked_tiles import NAMES, make_pack, make_run

import swath
from swath.errors import DataError, UsageError
from swath.features.backbone import open_backbone
from swath.features.token_maps import BackboneTokens
from swath.models.dense_head import dense_head_of
from swath.models.weights import load_weights
from swath.runtime.run import Run
from swath.transfer.segmentation.predict import predicted


@pytest.fixture
def labelled(tmp_path):
    """A folder with a run and 60 tiles that have masks and one label each."""
    make_pack(tmp_path / "tiles.lance", labels=True)
    make_run(tmp_path / "run")
    return tmp_path


@pytest.mark.parametrize("head", ["linear", "conv"])
def test_a_segmentation_says_the_classes_that_its_probe_said(labelled, head):
    from swath.data.store import TileStore

    store = TileStore(labelled / "tiles.lance")
    swath.probe(labelled / "run", store.path, task="segmentation", head=head, rounds=100)
    swath.bundle(labelled / "run", out=labelled / "b", head="probe-segmentation.json")
    model = swath.load(labelled / "b")
    pixels = store.read(np.arange(10))[0]
    answers = model.predict(pixels, batch_size=3)
    assert (model.task, model.class_names) == ("segmentation", NAMES)
    assert answers.probabilities.shape == (10, 3, 16, 16)
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1, atol=1e-6)
    tensors = load_weights(labelled / "run" / "probe-segmentation.safetensors")
    unit = torch.from_numpy(pixels).float() / 255
    expected = predicted(
        unit, dense_head_of(tensors), BackboneTokens(open_backbone(Run.open(labelled / "run")))
    )
    np.testing.assert_array_equal(answers.classes, expected.numpy())
    with pytest.raises(UsageError, match="no labels of whole tiles"):
        _ = answers.labels


@pytest.mark.parametrize(("task", "kind"), [("labels", "class"), ("masks", "segmentation")])
def test_a_fine_tuned_run_brings_the_head_that_was_trained_with_it(labelled, task, kind):
    from swath.data.store import TileStore

    swath.finetune(
        labelled / "run",
        labelled / "tiles.lance",
        out=labelled / "tuned",
        task=task,
        epochs=1,
        batch_size=10,
        precision="float32",
    )
    result = swath.bundle(labelled / "tuned", out=labelled / "b")
    assert (result.task, len(result.class_names)) == (kind, 2 if task == "labels" else 3)
    model = swath.load(labelled / "b")
    pixels = TileStore(labelled / "tiles.lance").read(np.arange(10))[0]
    answers = model.predict(pixels)
    if task == "labels":
        head = Run.open(labelled / "tuned").checkpoint().tensors["teacher"]
        decisions = model.embed(pixels) @ head["head.weight"].numpy().T + head["head.bias"].numpy()
        expected = torch.from_numpy(decisions).softmax(dim=1).numpy()
        np.testing.assert_allclose(answers.probabilities, expected, atol=1e-6)
    assert model.about.head.n_test == 15
    assert model.about.head.scores


def test_a_head_of_more_classes_than_its_description_is_refused(labelled):
    swath.probe(labelled / "run", labelled / "tiles.lance", task="segmentation", rounds=100)
    swath.bundle(labelled / "run", out=labelled / "b", head="probe-segmentation.json")
    redescribe(labelled / "b", lambda about: about["head"].update(class_names=["a", "b"]))
    with pytest.raises(DataError, match="tells 3 classes apart, its description names 2"):
        swath.load(labelled / "b")
