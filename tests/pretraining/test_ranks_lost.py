"""Ranks that die, hang or are stopped cost the steps since the last checkpoint, and are named."""

import os
import re
import signal
import socket
import time

import pytest
import rank_processes
from rank_processes import wait_for

from swath.runtime.run import Run

STEPS = ("--steps", "12", "--save-every", "4", "--precision", "float32")
NO_END = ("--steps", "100000", "--save-every", "2")
SHORT = {"HANG_S": 2.0, "GRACE_S": 2.0, "_POLL_S": 0.2}


@pytest.fixture
def command(packed, tiny):
    return lambda out, *flags: ["pretrain", str(packed), "--out", str(out), *tiny, *flags]


def state_of(out):
    return Run.open(out).summary["state_hash"]


def losses(out):
    return {row["step"]: row["loss"] for row in Run.open(out).metrics()}


def ids_seen(monkeypatch):
    """Sample ids of each step that this process takes, as they come."""
    from swath.pretraining.trainer import Trainer

    seen, take = {}, Trainer.step

    def note(trainer, batch, step):
        seen[step] = batch.step_rows.tolist()
        return take(trainer, batch, step)

    monkeypatch.setattr(Trainer, "step", note)
    return seen


def test_two_ranks_resume_bitwise_after_one_was_killed(command, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert [r.wait() for r in rank_processes.start(command(whole, *STEPS), tmp_path, world=2)] == [0, 0]
    fault = "sigkill@step=6,rank=1"
    first, second = rank_processes.run(command(out, *STEPS), tmp_path, world=2, fault=fault)
    assert second.process.exitcode == -signal.SIGKILL
    assert first.process.exitcode == 5
    assert "another process of this training was lost" in first.errors
    assert "run the same command to resume" in first.errors
    first, second = rank_processes.run(command(out, *STEPS), tmp_path, world=2)
    assert "Resuming from step 4" in first.errors
    assert state_of(out) == state_of(whole)
    assert losses(out) == losses(whole), "bitwise, each step once"


def test_another_number_of_ranks_goes_on_with_the_same_tiles(command, tmp_path, monkeypatch):
    out = tmp_path / "elastic"
    first, _ = rank_processes.run(command(out, *STEPS), tmp_path, world=2, fault="stop@step=5")
    assert first.process.exitcode == 143
    from swath.cli import main

    seen = ids_seen(monkeypatch)
    assert main(command(out, *STEPS)) == 0
    after, before = dict(seen), losses(out)
    assert sorted(after) == list(range(6, 12))
    seen.clear()
    assert main(command(tmp_path / "alone", *STEPS)) == 0
    assert {step: seen[step] for step in after} == after
    assert before == pytest.approx(losses(tmp_path / "alone"), rel=1e-4)


def test_sigterm_to_two_ranks_saves_one_step_within_seconds(command, tmp_path):
    out = tmp_path / "stopped"
    ranks = rank_processes.start(command(out, *NO_END), tmp_path, world=2)
    wait_for(ranks[0], out, "checkpoints/step-*")
    began = time.monotonic()
    for rank in ranks:
        os.kill(rank.process.pid, signal.SIGTERM)
    assert [rank.wait(within_s=10) for rank in ranks] == [143, 143]
    assert time.monotonic() - began < 10
    steps = {re.search(r"at step (\d+); saved", rank.errors)[1] for rank in ranks}
    assert len(steps) == 1, "all ranks stop after the same step"
    assert Run.open(out).checkpoint().step == int(steps.pop())


def test_a_hung_rank_is_named_with_its_phase_and_its_stack(command, tmp_path):
    out = tmp_path / "hung"
    began = time.monotonic()
    fault = "hang@step=6,rank=1"
    ranks = rank_processes.start(command(out, *STEPS), tmp_path, world=2, fault=fault, limits=SHORT)
    assert [rank.wait(within_s=30) for rank in ranks] == [5, 5]
    assert time.monotonic() - began < 30
    host = socket.gethostname()
    assert f"rank 1 on {host} hangs at step 6, in the networks: no progress in 2 s" in ranks[1].errors
    assert "another process of this training was lost" in ranks[0].errors
    stack = (out / "logs" / "rank1.err").read_text()
    assert f"its stack is in {out / 'logs' / 'rank1.err'}" in ranks[1].errors
    assert "faults.py" in stack
    assert "in _hang" in stack
    assert Run.open(out).checkpoint().step == 4


def test_a_rank_that_fell_silent_is_named_by_the_one_that_waits(command, tmp_path):
    out = tmp_path / "silent"
    ranks = rank_processes.start(command(out, *NO_END), tmp_path, world=2, limits=SHORT)
    wait_for(ranks[0], out, "checkpoints/step-*")
    os.kill(ranks[1].process.pid, signal.SIGSTOP)  # as a machine that lost its power or its network
    try:
        assert ranks[0].wait(within_s=30) == 5
    finally:
        os.kill(ranks[1].process.pid, signal.SIGKILL)
        ranks[1].wait()
    assert re.search(
        r"rank 1 on \S+ was last seen at step \d+, .*: nothing heard of it for 2 s", ranks[0].errors
    )


@pytest.mark.parametrize("fault", ["hang@step=6", "hang@save=8"])
def test_sigterm_that_finds_no_safe_point_ends_the_process_and_keeps_the_checkpoint(command, tmp_path, fault):
    out = tmp_path / "stuck"
    limits = SHORT | {"SAVE_S": 2.0}
    (rank,) = rank_processes.start(command(out, *STEPS), tmp_path, fault=fault, limits=limits)
    wait_for(rank, out, "checkpoints/step-00000004/MANIFEST.json")
    time.sleep(0.5)
    began = time.monotonic()
    os.kill(rank.process.pid, signal.SIGTERM)
    assert rank.wait(within_s=20) == 143
    assert time.monotonic() - began < 15
    assert "SIGTERM came" in rank.errors
    assert "does not stop" in rank.errors
    assert Run.open(out).checkpoint().step == 4
    assert (out / "logs" / "rank0.err").exists()


def test_sigterm_in_a_slow_save_lets_it_finish(command, tmp_path):
    out = tmp_path / "slow"
    (rank,) = rank_processes.start(command(out, *STEPS), tmp_path, fault="slow@save=4;stop@step=4")
    assert rank.wait() == 143
    assert "Stopped by SIGTERM at step 5; saved" in rank.errors
    steps = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert steps == ["step-00000004", "step-00000005"]


def test_a_number_of_ranks_that_does_not_divide_the_batch_is_refused(command, tmp_path):
    ranks = rank_processes.run(command(tmp_path / "odd", *STEPS), tmp_path, world=3)
    assert {rank.process.exitcode for rank in ranks} == {2}
    assert (
        "--batch-size 16 cannot be shared evenly by 3 processes; possible are 1, 2, 4, 8, 16"
        in ranks[0].errors
    )
    assert not (tmp_path / "odd").exists()
