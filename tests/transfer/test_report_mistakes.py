"""The parts of the report that tell what was measured: figures beside it, tiles that are wrong, a map."""

import json

import numpy as np
import pytest
from test_report_page import Page

from swath.config import EmbedConfig, LadderConfig, ProbeConfig, ReportConfig
from swath.errors import UsageError
from swath.features.backbone import open_backbone
from swath.models.weights import save_weights
from swath.transfer.embed import run as embed
from swath.transfer.ladder import run as ladder
from swath.transfer.probe import run as probe
from swath.transfer.report import run as report
from swath.transfer.report.mistakes import answer
from swath.transfer.report.rungs import efficiency_section


def measured(store, made):
    """A run with everything the report can show, and its page."""
    embed(EmbedConfig(run=made.path, tiles=store.path, out=made.path / "features.parquet"))
    probe(
        ProbeConfig(run=made.path, tiles=store.path, label_fraction=(0.3, 1.0), fraction_seeds=1, rounds=100)
    )
    ladder(LadderConfig(tiles=store.path, runs=(made.path,), label_fraction=(1.0,), rounds=100))
    out = report(ReportConfig(run=made.path, tiles=store.path)).out
    return Page(out.read_text(encoding="utf-8"))


@pytest.mark.parametrize("task", ["class", "multilabel"])
def test_the_page_shows_ladder_curve_confusion_and_tiles_and_saves_the_figures(make_pack, make_run, task):
    made = make_run()
    page = measured(make_pack(task=task), made)
    assert not page.open
    for words in ("The ladder", "How many labels it saves", "Where it is wrong", "random convolutions"):
        assert words in page.text
    assert ("Confusion" in page.text) == (task == "class")
    assert "Map of errors" in page.text
    assert "Look least like it to the probe:" in page.text
    assert "Did pretraining pay?" in page.text
    assert "Class by class, every rung" in page.text
    names = {path.name for path in made.path.iterdir()}
    assert {"ladder.svg", "ladder.png", "label-efficiency.svg", "label-efficiency.png"} <= names


@pytest.mark.parametrize(
    ("shares", "words"),
    [((1.0,), "All labels were used in one go"), ((0.1, 1.0), "The curve is that of the ladder")],
)
def test_a_curve_that_only_the_ladder_has_is_pointed_at(tmp_path, shares, words):
    climbed = {"summary": [{"fraction": share} for share in shares]}
    section = efficiency_section({}, climbed, beside=tmp_path, command="swath probe")
    assert words in Page(section.render()).text


def test_answers_of_the_head_are_those_of_the_probe(make_pack, make_run):
    store, made = make_pack(task="class"), make_run()
    measured(store, made)
    found = answer(made.path, store, open_backbone(made))
    accuracy = json.loads((made.path / "probe-linear.json").read_text())["accuracy"][0]
    assert 1 - found.wrong.mean() == pytest.approx(accuracy)
    np.testing.assert_allclose(found.chance.sum(axis=1), 1.0, atol=1e-6)


def test_a_head_that_does_not_fit_and_a_ladder_of_other_tiles_are_said_and_not_shown(
    make_pack, make_run, caplog
):
    store, made = make_pack(), make_run()
    ladder(LadderConfig(tiles=store.path, probes=("knn",), label_fraction=(1.0,), rounds=100))
    save_weights(made.path / "probe-linear-head.safetensors", {}, {"contract": "{}"})
    other = make_pack("other.lance", seed=2)
    page = Page(report(ReportConfig(run=made.path, tiles=other.path)).out.read_text(encoding="utf-8"))
    assert "Not shown:" in page.text
    assert "is no head" in page.text
    assert "No ladder of these tiles yet." in page.text
    assert "is of other tiles than this page" in caplog.text


def test_a_ladder_that_is_named_and_missing_is_an_error(make_pack, make_run):
    made = make_run()
    with pytest.raises(UsageError, match="is not there; make it with: swath ladder TILES"):
        report(ReportConfig(run=made.path, tiles=make_pack().path, ladder=made.path / "no.json"))
