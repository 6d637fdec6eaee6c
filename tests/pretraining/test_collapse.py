"""Collapses made on purpose are named in words; a healthy run raises no alarm."""

import math

import pytest

import swath
from swath.pretraining import dino, simclr
from swath.pretraining.collapse import ALIKE, ONE_OUTPUT, UNIFORM, Watch
from swath.runtime.run import Run

STEPS = ("--steps", "100", "--out-dim", "256", "--save-every", "30")


def row(**numbers):
    healthy = {
        "loss": 3.0,
        "entropy": 2.0,
        "kl": 1.0,
        "prototypes": 40.0,
        "feature_std": 0.5,
        "hit_rate": 0.9,
    }
    return healthy | numbers


def test_without_centring_one_output_dominates(pretrain, tmp_path, monkeypatch):
    monkeypatch.setattr(dino, "CENTRE_MOMENTUM", 1.0)
    answer = pretrain(tmp_path / "run", *STEPS)
    assert answer.code == 0, "it warns, and goes on"
    (said,) = [line for line in answer.errors.splitlines() if "COLLAPSE" in line]
    assert said.startswith("COLLAPSE: one output dominates, for 60 steps up to step 70: ")
    assert "its entropy is 0.000 of at most 5.545" in said
    assert "half the --lr" in said
    run = Run.open(tmp_path / "run")
    assert [r["step"] for r in run.metrics() if r.get("collapse") == ONE_OUTPUT.name] == list(range(70, 101))
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["step-00000060", "step-00000090", "step-00000100"], "the last good one stays"


def test_without_sharpening_the_output_is_uniform_and_stop_ends_the_run(pretrain, tmp_path):
    answer = pretrain(tmp_path / "run", *STEPS, "--teacher-temp", "1.0", "--on-collapse", "stop")
    assert answer.code == 4
    said = answer.json["error"]
    assert said.startswith("COLLAPSE: uniform output, for 60 steps up to step ")
    assert "is ln(256) = 5.5452" in said
    assert "--teacher-temp 0.02" in said
    assert "last good checkpoint is kept" in said
    assert (tmp_path / "run" / "checkpoints" / "step-00000060").exists()


def test_without_repulsion_tiles_look_alike(packed, tmp_path, monkeypatch, caplog):
    measure = simclr.contrastive_loss

    def attract_alone(projected, *, temperature):
        first, second = projected.chunk(2)
        return 1 - (first * second).sum(dim=1).mean(), measure(projected, temperature=temperature)[1]

    monkeypatch.setattr(simclr, "contrastive_loss", attract_alone)
    swath.pretrain(
        packed,
        out=tmp_path / "run",
        method="simclr",
        model="vit_micro",
        patch_size=16,
        batch_size=16,
        steps=80,
        monitor_every=0,
    )
    assert "COLLAPSE: tiles look alike" in caplog.text


def test_a_healthy_run_raises_no_alarm(pretrain, tmp_path):
    answer = pretrain(tmp_path / "run", *STEPS)
    assert answer.code == 0
    assert "COLLAPSE" not in answer.errors
    assert not any("collapse" in r for r in Run.open(tmp_path / "run").metrics())


@pytest.mark.parametrize(
    ("method", "signature", "numbers"),
    [
        ("dino", ONE_OUTPUT, {"prototypes": 1.0, "entropy": 0.0, "kl": 0.01, "loss": 0.01}),
        ("dino", UNIFORM, {"entropy": math.log(32), "kl": 1e-4, "loss": math.log(32)}),
        ("simclr", ALIKE, {"hit_rate": 1 / 7, "feature_std": 0.1}),
    ],
)
def test_an_alarm_needs_three_windows_after_the_warm_up_and_ends(a_recipe, method, signature, numbers):
    watch = Watch(a_recipe(method=method, steps=400, warmup_steps=100))
    said = {step: watch.see(step, row(**numbers)) for step in range(1, 161)}
    assert [step for step, words in said.items() if words] == [160], (
        "not in the warm-up, not before 3 x 20 steps"
    )
    assert watch.alarm is signature
    assert signature.name in said[160]
    said = {step: watch.see(step, row()) for step in range(161, 200)}
    assert [words for words in said.values() if words] == ["step 180: no sign of a collapse any more"]
    assert watch.alarm is None


def test_one_window_that_looks_healthy_starts_the_count_again(a_recipe):
    watch = Watch(a_recipe(steps=400, warmup_steps=0))
    bad = row(prototypes=1.0, entropy=0.0)
    said = [watch.see(step, row() if 41 <= step <= 60 else bad) for step in range(1, 120)]
    assert not any(said)
    assert watch.see(120, bad)


def test_a_confident_teacher_with_many_prototypes_is_healthy(a_recipe):
    watch = Watch(a_recipe(steps=400, warmup_steps=0))
    assert not any(watch.see(step, row(entropy=0.001, kl=0.01, prototypes=25.0)) for step in range(1, 200))
