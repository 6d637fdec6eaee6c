"""Parts of a batch add up to the whole: micro-batches, memory that runs out, several processes."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from swath.runtime.run import Run

STEPS = ("--steps", "4", "--precision", "float32")


def losses(run):
    return [row["loss"] for row in Run.open(run).metrics()]


def as_two_ranks(packed, tiny, out, *flags):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "swath.cli", "pretrain", str(packed), "--out", str(out), *tiny, *flags]
    meet = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(command, env={**os.environ, **meet, "RANK": rank, "LOCAL_RANK": rank})
        for rank in ("0", "1")
    ]
    return [rank.wait(timeout=90) for rank in ranks]


@pytest.mark.parametrize("method", ["dino", "simclr"])
def test_ranks_and_micro_batches_change_nothing_but_rounding(packed, tiny, tmp_path, method):
    flags = [*STEPS, "--method", method]
    if method == "simclr":  # has no prototypes and no local views
        tiny = [*tiny[: tiny.index("--out-dim")], "--monitor-every", "0"]
    from swath.cli import main

    def alone(out, *more):
        assert main(["pretrain", str(packed), "--out", str(out), *tiny, *flags, *more]) == 0
        return losses(out)

    whole = alone(tmp_path / "whole")
    assert alone(tmp_path / "parts", "--micro-batch", "5") == pytest.approx(whole, rel=1e-4)
    assert as_two_ranks(packed, tiny, tmp_path / "two", *flags) == [0, 0]
    assert losses(tmp_path / "two") == pytest.approx(whole, rel=1e-4)


def test_memory_that_runs_out_halves_the_micro_batch_and_keeps_the_loss(pretrain, tmp_path, monkeypatch):
    assert pretrain(tmp_path / "whole", *STEPS).code == 0
    monkeypatch.setenv("SWATH_FAULT", "oom@part>=8")
    answer = pretrain(tmp_path / "small", *STEPS)
    assert answer.code == 0
    assert "out of memory: 16 -> 8" in answer.errors
    assert "out of memory: 8 -> 4" in answer.errors
    assert losses(tmp_path / "small") == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)


def test_sigterm_to_the_launcher_saves_and_exits_143(packed, tiny, tmp_path):
    out = tmp_path / "launched"
    command = [sys.executable, "-m", "swath.cli", "pretrain", str(packed), "--out", str(out), *tiny]
    process = subprocess.Popen(
        [*command, "--steps", "100000", "--save-every", "2", "--nproc", "2"],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 90
    while not list(out.glob("checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "saved; run the same command to resume" in errors.splitlines()[-1]


def test_more_processes_than_cores_are_refused(tmp_path, pretrain):
    answer = pretrain(tmp_path / "many", *STEPS, "--nproc", "5000")
    assert answer.code == 2
    assert "--nproc 5000: this machine has" in answer.errors
