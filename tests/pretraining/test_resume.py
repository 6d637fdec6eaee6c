"""A run survives: stops, kills in mid-save, damaged checkpoints and full disks cost steps, never the run."""

import os
import random
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from rank_processes import start, wait_for
from safetensors.torch import load_file

from swath.cli import main
from swath.data.store import TileStore
from swath.pretraining.bad_batches import read_bad_batches
from swath.pretraining.monitor import trainable_rows
from swath.pretraining.trainer import Trainer
from swath.runtime.run import Run

STEPS = ("--steps", "12", "--save-every", "4")


@pytest.fixture(scope="session")
def whole(packed, tiny, tmp_path_factory) -> Run:
    """A run that was never stopped; tests look at it and change nothing."""
    out = tmp_path_factory.mktemp("unbroken") / "run"
    assert main(["pretrain", str(packed), "--out", str(out), *tiny, *STEPS]) == 0
    return Run.open(out)


@pytest.fixture(scope="session")
def unbroken(whole) -> str:
    """Its state hash."""
    return whole.summary["state_hash"]


@pytest.fixture(scope="session")
def stopped_at_10(packed, tiny, tmp_path_factory) -> Path:
    """The same, stopped at step 10 with checkpoints of steps 8 and 10; for tests to copy."""
    out = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SWATH_FAULT", "stop@step=9")
        assert main(["pretrain", str(packed), "--out", str(out), *tiny, *STEPS]) == 143
    return out


def test_the_same_run_twice_gives_the_same_state(pretrain, tmp_path, unbroken):
    again = pretrain(tmp_path / "again", *STEPS)
    assert again.code == 0
    assert again.json["state_hash"] == unbroken
    assert {"run", "steps", "samples", "images_per_s", "data_wait_share", "loss"} <= set(again.json)
    other_seed = pretrain(tmp_path / "other", *STEPS, "--seed", "1")
    assert other_seed.json["state_hash"] != unbroken


def test_stopped_and_resumed_in_mid_epoch_is_bitwise_equal(pretrain, tmp_path, whole, unbroken, monkeypatch):
    out = tmp_path / "stopped"
    for step in (3, 7):
        monkeypatch.setenv("SWATH_FAULT", f"stop@step={step}")
        stopped = pretrain(out, *STEPS)
        assert stopped.code == 143
        assert (
            f"Stopped by SIGTERM at step {step + 1}; saved; run the same command to resume" in stopped.errors
        )
    monkeypatch.setenv("SWATH_FAULT", "")
    ended = pretrain(out, *STEPS)
    assert "Resuming from step 8" in ended.errors
    assert ended.json["state_hash"] == unbroken
    smooth, broken = whole.metrics(), Run.open(out).metrics()
    assert [row["step"] for row in broken] == list(range(1, 13)), "each step once, in order"
    assert [row["loss"].hex() for row in broken] == [row["loss"].hex() for row in smooth]


def test_stopped_at_random_every_tile_comes_once_an_epoch(packed, pretrain, tmp_path, monkeypatch):
    rows = trainable_rows(TileStore(packed))
    steps, stops = -(-2 * len(rows) // 16), random.Random(4)
    faults = sorted(stops.sample(range(steps - 1), 3))
    taken, take = [], Trainer.step

    def note(trainer, batch, step):
        taken.append((step, batch.step_rows, batch.step_epochs))
        return take(trainer, batch, step)

    monkeypatch.setattr(Trainer, "step", note)
    for fault in [*(f"stop@step={step}" for step in faults), ""]:
        monkeypatch.setenv("SWATH_FAULT", fault)
        assert pretrain(tmp_path / "run", "--steps", str(steps)).code == (143 if fault else 0)
    assert [step for step, *_ in taken] == list(range(steps)), "no step twice, none left out"
    ids, epochs = (np.concatenate([part[column] for part in taken]) for column in (1, 2))
    for epoch in (0, 1):
        assert sorted(ids[epochs == epoch]) == sorted(rows)


def test_killed_in_mid_save_goes_on_from_the_checkpoint_before(packed, tiny, pretrain, tmp_path, unbroken):
    out = tmp_path / "killed"
    words = ["pretrain", str(packed), "--out", str(out), *tiny, *STEPS]
    (process,) = start(words, tmp_path, fault="sigkill@save=8")
    assert process.wait() == -signal.SIGKILL
    assert list((out / "checkpoints").glob(".*")), "the half-written save is there"
    ended = pretrain(out, *STEPS)
    assert "Resuming from step 4" in ended.errors
    assert ended.json["state_hash"] == unbroken
    assert not list((out / "checkpoints").glob(".*"))


def test_killed_at_random_again_and_again_never_goes_back(packed, tiny, pretrain, tmp_path, unbroken):
    out, draw, reached = tmp_path / "killed", random.Random(0), 0
    for _ in range(4):
        words = ["pretrain", str(packed), "--out", str(out), *tiny, "--steps", "12", "--save-every", "1"]
        (process,) = start(words, tmp_path)
        wait_for(process, out, f"checkpoints/step-{min(reached + 1, 12):08d}")
        process.process.join(draw.uniform(0, 0.2))
        process.process.kill()
        process.process.join()
        found = re.search(r"Resuming from step (\d+)", process.errors)
        assert (int(found[1]) if found else 0) >= reached, "no saved step was lost"
        reached = Run.open(out).checkpoint().step
    ended = pretrain(out, "--steps", "12", "--save-every", "1")
    assert ended.json["state_hash"] == unbroken
    assert not list((out / "checkpoints").glob(".*")), "what kills left half-written is gone"


def damage_flip(folder: Path) -> None:
    path = folder / "student.safetensors"
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)


def damage_truncate(folder: Path) -> None:
    path = folder / "teacher.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def damage_member(folder: Path) -> None:
    (folder / "optimizer.safetensors").unlink()


def damage_manifest(folder: Path) -> None:
    (folder / "MANIFEST.json").unlink()


@pytest.mark.parametrize("damage", [damage_flip, damage_truncate, damage_member, damage_manifest])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    pretrain, tmp_path, stopped_at_10, unbroken, damage
):
    out = shutil.copytree(stopped_at_10, tmp_path / "damaged")
    damage(out / "checkpoints" / "step-00000010")
    ended = pretrain(out, *STEPS)
    assert "using step-00000008 (2 steps lost)" in ended.errors
    assert "Resuming from step 8" in ended.errors
    assert ended.json["state_hash"] == unbroken
    assert list((out / "checkpoints").glob("*.damaged")), "set aside, not deleted"


def test_when_every_checkpoint_is_damaged_all_are_named(pretrain, tmp_path, stopped_at_10):
    out = shutil.copytree(stopped_at_10, tmp_path / "all")
    for folder in (out / "checkpoints").glob("step-*"):
        damage_flip(folder)
    answer = pretrain(out, *STEPS)
    assert answer.code == 3
    assert "step-00000008" in answer.errors
    assert "step-00000010" in answer.errors


def test_a_run_in_use_is_refused_and_a_real_sigterm_saves_and_exits_143(packed, tiny, pretrain, tmp_path):
    out, flags = tmp_path / "signalled", ("--steps", "100000", "--save-every", "2")
    (process,) = start(["pretrain", str(packed), "--out", str(out), *tiny, *flags], tmp_path)
    wait_for(process, out, "checkpoints/step-*")
    second = pretrain(out, *flags)
    assert second.code == 5
    assert f"{out} is in use by pid {process.process.pid} on host" in second.errors
    os.kill(process.process.pid, signal.SIGTERM)
    assert process.wait(within_s=30) == 143
    assert "Stopped by SIGTERM at step" in process.errors.splitlines()[-1]
    assert "run the same command to resume" in process.errors.splitlines()[-1]


def test_one_bad_step_is_skipped_whole(pretrain, tmp_path, monkeypatch):
    monkeypatch.setenv("SWATH_FAULT", "nan@step=6")
    answer = pretrain(tmp_path / "nan", *STEPS)
    assert answer.code == 0
    assert "step 6: loss or gradient is not finite" in answer.errors
    run = Run.open(tmp_path / "nan")
    assert [row["step"] for row in run.metrics() if row.get("skipped")] == [7]
    for tensors in run.checkpoint().tensors.values():
        assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_three_bad_steps_end_the_run_and_no_checkpoint_holds_them(pretrain, tmp_path, monkeypatch):
    monkeypatch.setenv("SWATH_FAULT", "nan@step>=6")
    answer = pretrain(tmp_path / "nan", *STEPS)
    assert answer.code == 4
    assert "--precision float32" in answer.errors
    assert answer.errors.count("back to the last good checkpoint, step 4") == 3, "three roll-backs, no more"
    assert "swath replay" in answer.errors.splitlines()[-1]
    folders = list((tmp_path / "nan" / "checkpoints").glob("step-*"))
    assert "step-00000004" in {folder.name for folder in folders}, "the last good one"
    for folder in folders:
        assert all(tensor.isfinite().all() for tensor in load_file(folder / "student.safetensors").values())
    lines = read_bad_batches(tmp_path / "nan")
    assert [(line["step"], line["rollbacks"]) for line in lines] == [
        (s, r) for r in range(4) for s in (6, 7, 8)
    ]
    assert all(len(line["sample_ids"]) == len(line["epochs"]) == 16 for line in lines)
    steps = [row["step"] for row in Run.open(tmp_path / "nan").metrics()]
    assert steps == sorted(set(steps)), "each step once, whatever was rolled back"


def test_no_checkpoint_to_roll_back_to_ends_the_run(pretrain, tmp_path, monkeypatch):
    monkeypatch.setenv("SWATH_FAULT", "nan@step>=0")
    answer = pretrain(tmp_path / "nan", *STEPS)
    assert answer.code == 4
    assert "there is no good checkpoint yet" in answer.errors


def test_a_roll_back_that_helps_goes_on_with_half_the_learning_rate(pretrain, tmp_path, whole, monkeypatch):
    take = Trainer.step

    def blow_up_once(trainer, batch, step):
        if trainer.rollbacks == 0 and step in {6, 7, 8}:
            return {"skipped": 1.0, "loss": float("nan"), "grad_norm": float("nan")}
        return take(trainer, batch, step)

    monkeypatch.setattr(Trainer, "step", blow_up_once)
    answer = pretrain(tmp_path / "helped", *STEPS)
    assert answer.code == 0
    assert answer.json["steps"] == 12
    rows = {row["step"]: row for row in Run.open(tmp_path / "helped").metrics()}
    assert list(rows) == list(range(1, 13))
    assert not any("skipped" in row for row in rows.values())
    smooth = {row["step"]: row for row in whole.metrics()}
    assert [rows[step]["lr"] == smooth[step]["lr"] for step in (3, 4)] == [True, True]
    assert [rows[step]["lr"] / smooth[step]["lr"] for step in (5, 12)] == [0.5, 0.5]
    assert Run.open(tmp_path / "helped").checkpoint().state["rollbacks"] == 1


def test_a_full_disk_keeps_training_and_the_checkpoint_before(pretrain, tmp_path, unbroken, monkeypatch):
    monkeypatch.setenv("SWATH_FAULT", "enospc@save=8")
    answer = pretrain(tmp_path / "full", *STEPS)
    assert answer.code == 0
    assert "no space left" in answer.errors
    assert "Training goes on and tries again" in answer.errors
    assert answer.json["state_hash"] == unbroken
    names = sorted(p.name for p in (tmp_path / "full" / "checkpoints").iterdir())
    assert names == ["step-00000004", "step-00000012"]


def test_a_finished_run_says_so_and_stays_as_it_is(pretrain, whole, unbroken):
    again = pretrain(whole.path, *STEPS, "--save-every", "5")
    assert again.code == 0
    assert "save_every: 4 -> 5" in again.errors
    assert "is finished" in again.errors
    assert again.json["state_hash"] == unbroken
