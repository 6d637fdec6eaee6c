"""A run survives: stops, kills in mid-save, damaged checkpoints and full disks cost steps, never the run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from swath.pretraining.bad_batches import read_bad_batches
from swath.pretraining.trainer import Trainer
from swath.runtime.run import Run

STEPS = ("--steps", "12", "--save-every", "4")


@pytest.fixture
def unbroken(pretrain, tmp_path) -> str:
    """The state hash of a run that was never stopped."""
    return pretrain(tmp_path / "unbroken", *STEPS).json["state_hash"]


def elsewhere(packed: Path, tiny: list[str], out: Path, *flags: str, fault: str = "") -> subprocess.Popen:
    """The same command in a process of its own, which may be killed."""
    command = [sys.executable, "-m", "swath.cli", "pretrain", str(packed), "--out", str(out), *tiny, *flags]
    environment = {**os.environ, "SWATH_FAULT": fault, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_the_same_run_twice_gives_the_same_state(pretrain, tmp_path, unbroken):
    again = pretrain(tmp_path / "again", *STEPS)
    assert again.code == 0
    assert again.json["state_hash"] == unbroken
    assert {"run", "steps", "samples", "images_per_s", "data_wait_share", "loss"} <= set(again.json)
    other_seed = pretrain(tmp_path / "other", *STEPS, "--seed", "1")
    assert other_seed.json["state_hash"] != unbroken


def test_stopped_and_resumed_in_mid_epoch_is_bitwise_equal(pretrain, tmp_path, unbroken, monkeypatch):
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
    whole, broken = Run.open(tmp_path / "unbroken").metrics(), Run.open(out).metrics()
    assert [row["step"] for row in broken] == list(range(1, 13)), "each step once, in order"
    assert [row["loss"].hex() for row in broken] == [row["loss"].hex() for row in whole]


def test_killed_in_mid_save_goes_on_from_the_checkpoint_before(packed, tiny, pretrain, tmp_path, unbroken):
    out = tmp_path / "killed"
    process = elsewhere(packed, tiny, out, *STEPS, fault="sigkill@save=8")
    assert process.wait(timeout=60) == -signal.SIGKILL
    process.stderr.close()
    assert list((out / "checkpoints").glob(".*")), "the half-written save is there"
    ended = pretrain(out, *STEPS)
    assert "Resuming from step 4" in ended.errors
    assert ended.json["state_hash"] == unbroken
    assert not list((out / "checkpoints").glob(".*"))


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
def test_a_damaged_checkpoint_falls_back_to_the_one_before(pretrain, tmp_path, unbroken, monkeypatch, damage):
    out = tmp_path / "damaged"
    monkeypatch.setenv("SWATH_FAULT", "stop@step=9")
    assert pretrain(out, *STEPS).code == 143
    monkeypatch.setenv("SWATH_FAULT", "")
    damage(out / "checkpoints" / "step-00000010")
    ended = pretrain(out, *STEPS)
    assert "using step-00000008 (2 steps lost)" in ended.errors
    assert "Resuming from step 8" in ended.errors
    assert ended.json["state_hash"] == unbroken
    assert list((out / "checkpoints").glob("*.damaged")), "set aside, not deleted"


def test_when_every_checkpoint_is_damaged_all_are_named(pretrain, tmp_path):
    out = tmp_path / "all"
    assert pretrain(out, *STEPS).code == 0
    for folder in (out / "checkpoints").glob("step-*"):
        damage_flip(folder)
    answer = pretrain(out, *STEPS)
    assert answer.code == 3
    assert "step-00000008" in answer.errors
    assert "step-00000012" in answer.errors


def test_a_real_sigterm_saves_and_exits_143(packed, tiny, tmp_path):
    out = tmp_path / "signalled"
    process = elsewhere(packed, tiny, out, "--steps", "100000", "--save-every", "2")
    deadline = time.monotonic() + 60
    while not list(out.glob("checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "Stopped by SIGTERM at step" in errors.splitlines()[-1]
    assert "run the same command to resume" in errors.splitlines()[-1]


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


def test_a_roll_back_that_helps_goes_on_with_half_the_learning_rate(pretrain, tmp_path, monkeypatch):
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
    monkeypatch.setattr(Trainer, "step", take)
    assert pretrain(tmp_path / "whole", *STEPS).code == 0
    whole = {row["step"]: row for row in Run.open(tmp_path / "whole").metrics()}
    assert [rows[step]["lr"] == whole[step]["lr"] for step in (3, 4)] == [True, True]
    assert [rows[step]["lr"] / whole[step]["lr"] for step in (5, 12)] == [0.5, 0.5]
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


def test_a_finished_run_says_so_and_stays_as_it_is(pretrain, tmp_path, unbroken):
    again = pretrain(tmp_path / "unbroken", *STEPS, "--save-every", "5")
    assert again.code == 0
    assert "save_every: 4 -> 5" in again.errors
    assert "is finished" in again.errors
    assert again.json["state_hash"] == unbroken
