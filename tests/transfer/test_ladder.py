"""The whole ladder on tiny tiles: every row, its files, and that a second climb computes no feature again."""

import csv
import io
import json

import numpy as np
import pytest
from test_report_page import Page

from swath.config import LadderConfig
from swath.errors import DataError, UsageError
from swath.transfer.ladder import run
from swath.transfer.ladder_figure import colours_of
from swath.transfer.ladder_page import ladder_verdict
from swath.transfer.ladder_table import latex_text

BASELINES = ["image statistics", "random convolutions", "untrained ViT"]


def climb(store, *runs, **settings):
    usual = {"label_fraction": (0.2, 1.0), "fraction_seeds": 2, "rounds": 100}
    return run(LadderConfig(tiles=store.path, runs=tuple(one.path for one in runs), **{**usual, **settings}))


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def climbed(make_pack, make_run, kept):
    """Two runs, climbed once for all tests that only look at it."""
    if not kept:
        kept["ladder"] = climb(make_pack(count=480), make_run("first"), make_run("second", seed=9))
    return kept["ladder"]


def test_every_rung_probe_share_and_draw_has_a_row_with_its_interval(climbed):
    rungs = [*BASELINES, "first", "second"]
    found = [(r["rung"], r["probe"], r["fraction"], r["draw"]) for r in climbed.rows]
    draws = ((0.2, 0), (0.2, 1), (1.0, 0))
    assert found == [(rung, p, f, d) for rung in rungs for p in ("linear", "knn") for f, d in draws]
    for row in climbed.rows:
        value, low, high = row["values"]["map_macro"]
        assert low <= high
        assert 0 <= value <= 1
    assert all(r["settings"] == {"k": 20, "temperature": 0.07} for r in climbed.rows if r["probe"] == "knn")
    assert climbed.left_out == ["never"]
    json.dumps(climbed.to_json(), allow_nan=False)


def test_the_summary_is_the_mean_over_draws_and_its_gain_the_difference(climbed):
    for row in climbed.summary:
        drawn = [
            one["values"]["map_micro"][0]
            for one in climbed.rows
            if (one["rung"], one["probe"], one["fraction"]) == (row["rung"], row["probe"], row["fraction"])
        ]
        assert row["map_micro"][0] == pytest.approx(np.mean(drawn))
        rival = next(
            other
            for other in climbed.summary
            if other["rung"] == "untrained ViT"
            and (other["probe"], other["fraction"]) == (row["probe"], row["fraction"])
        )
        gain = row["gain_over_untrained"]["map_micro"]
        assert gain[0] == pytest.approx(row["map_micro"][0] - rival["map_micro"][0])
        if row["rung"] == "untrained ViT":
            assert gain == [0, 0, 0]
            assert row["p_no_gain"]["map_micro"] == 1.0


def test_two_runs_are_compared_on_the_same_rounds(climbed):
    shares = [(probe, share) for probe in ("linear", "knn") for share in (0.2, 1.0)]
    assert [(pair["probe"], pair["fraction"]) for pair in climbed.pairs] == shares
    value = {(r["rung"], r["probe"], r["fraction"]): r["map_macro"][0] for r in climbed.summary}
    for pair in climbed.pairs:
        assert (pair["rung"], pair["over"]) == ("second", "first")
        ours, theirs = (value[name, pair["probe"], pair["fraction"]] for name in ("second", "first"))
        assert pair["map_macro"][0] == pytest.approx(ours - theirs)
        assert (pair["p_no_difference"]["map_macro"] < 0.05) == (
            pair["map_macro"][1] > 0 or pair["map_macro"][2] < 0
        )
    said = [line for line in climbed.lines() if line.startswith("second over first")]
    assert [line.split(", ")[1:3] for line in said] == [["linear probe", "100 %"], ["kNN (k 20", "T 0.07)"]]


@pytest.mark.parametrize(
    ("value", "gain", "claim"),
    [
        (0.7, [0.1, 0.05, 0.15], "Yes:"),
        (0.6, [0.1, 0.05, 0.15], "Not beyond the best baseline:"),
        (0.7, [0.1, -0.05, 0.15], "It could not be shown:"),
        (0.4, [-0.1, -0.15, -0.05], "No:"),
    ],
)
def test_the_answer_is_no_better_than_the_numbers(value, gain, claim):
    rows = [
        {"rung": name, "kind": kind, "probe": "linear", "fraction": 1.0, "map_macro": [reached, 0, 1],
         "gain_over_untrained": {"map_macro": gain}}
        for name, kind, reached in (("random convolutions", "baseline", 0.65), ("mine", "run", value))
    ]  # fmt: skip
    said = ladder_verdict({"summary": rows, "headline": "map_macro", "settings": {}})
    assert f"<strong>{claim}</strong> mine reaches macro AP {value:.3f} by linear probe" in said
    assert "The best baseline, random convolutions, reaches 0.650." in said


def test_a_name_cannot_be_an_argument_in_latex():
    row = {"rung": "[x] 5%", "probe": "linear", "fraction": 1.0, "map_macro": [0.5, 0.4, 0.6]}
    text = latex_text({"summary": [row], "n_test": 9, "settings": {"by": "tile"}})
    assert r"{[}x] 5\% & 0.500" in text


def test_a_baseline_has_one_colour_in_every_figure_and_runs_have_their_own():
    kinds = {"image statistics": "baseline", "untrained ViT": "baseline", "a": "run", "b": "run"}
    few = [{"rung": name, "kind": kind} for name, kind in kinds.items()]
    more = [{"rung": name, "kind": "baseline"} for name in ("random convolutions", "untrained ViT like b")]
    found, fewer = colours_of({"summary": more + few}), colours_of({"summary": few})
    assert fewer == {name: found[name] for name in kinds}
    assert len(set(found.values())) == len(found) == 6


def test_table_figure_and_page_are_written_and_say_the_same(climbed):
    rows = list(csv.DictReader(io.StringIO((climbed.out / "ladder.csv").read_text())))
    assert len(rows) == len(climbed.summary) * 4  # macro and micro of AP and F1
    first = climbed.summary[0]
    assert float(rows[0]["value"]) == first[rows[0]["measure"]][0]
    assert {(row["probe"], row["k"], row["temperature"]) for row in rows} == {
        ("linear", "", ""), ("knn", "20", "0.07")
    }  # fmt: skip
    tex = (climbed.out / "ladder.tex").read_text()
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 1
    assert rf"{first['map_macro'][0]:.3f}" in tex
    assert r"20 \% & 100 \%" in tex
    page = Page((climbed.out / "ladder.html").read_text())
    assert not page.open
    assert not {name for name, _ in page.elements} & {"script", "link"}
    assert f"{first['map_macro'][0]:.3f}" in page.text
    assert (climbed.out / "ladder.png").read_bytes()[:4] == b"\x89PNG"
    assert b"<svg" in (climbed.out / "ladder.svg").read_bytes()[:600]
    assert any("image statistics" in line for line in climbed.lines())
    heads = [line.index("20 %") for line in climbed.lines() if line.endswith("100 %")]
    cells = [line.index("[") - len("0.000 ") for line in climbed.lines() if line.startswith("  ")]
    assert set(heads) == set(cells)


def test_a_second_climb_takes_the_features_that_are_there_and_gives_the_same(make_pack, make_run):
    store, made = make_pack(), make_run()
    first = climb(store, made, probes=("knn",))
    times = {path: path.stat().st_mtime_ns for path in first.out.glob("*.parquet")}
    assert len(times) == 4
    assert climb(store, made, probes=("knn",)).to_json() == first.to_json()
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_the_features_that_embed_left_in_the_run_are_taken_and_not_replaced(make_pack, make_run):
    from swath.config import EmbedConfig
    from swath.transfer.embed import run as embed

    store, made = make_pack(), make_run()
    own = made.path / "features.parquet"
    embed(EmbedConfig(run=made.path, tiles=store.path, out=own))
    before = own.stat().st_mtime_ns
    found = climb(store, made, probes=("knn",))
    assert not (found.out / "features-run.parquet").exists()
    climb(make_pack("other.lance", seed=4), made, probes=("knn",), out=found.out)
    assert own.stat().st_mtime_ns == before


def test_without_a_run_the_baselines_stand_alone(make_pack):
    found = climb(make_pack(), probes=("knn",), label_fraction=1.0, fraction_seeds=1)
    assert [rung["name"] for rung in found.rungs] == BASELINES
    assert found.sentences == {}
    assert "Only baselines were measured." in (found.out / "ladder.html").read_text()


def test_a_single_label_ladder_is_headed_by_accuracy(make_pack, make_run):
    found = climb(make_pack(task="class"), make_run(), probes=("knn",))
    assert found.headline == "accuracy"
    assert "kNN (k 20, T 0.07), accuracy" in "\n".join(found.lines())


def test_a_run_of_another_pack_is_refused_before_anything_is_computed(make_pack, make_run):
    from dataclasses import replace

    from striped_tiles import FORMAT

    store = make_pack(tile_format=replace(FORMAT, gsd_m=3.0))
    with pytest.raises(DataError, match="3 m a pixel; the run was trained on 10 m"):
        climb(store, make_run())
    assert not list(store.path.parent.glob("ladder/*.parquet"))
    moved = climb(store, make_run("again"), other_data=True, probes=("knn",))
    assert moved.rungs[-1]["scale"] == "tiles"


def test_settings_that_change_nothing_or_name_a_run_twice_are_refused(make_pack, make_run):
    store, made = make_pack(), make_run()
    with pytest.raises(UsageError, match="--other-data changes nothing: every run has the statistics"):
        climb(store, made, other_data=True)
    with pytest.raises(UsageError, match='two rungs would be called "run"'):
        climb(store, made, made)
