"""Parts of a batch add up to the whole: micro-batches, memory that runs out, several processes."""

import pytest
import rank_processes

from swath.runtime.run import Run

STEPS = ("--steps", "4", "--precision", "float32")


def losses(run):
    return [row["loss"] for row in Run.open(run).metrics()]


@pytest.mark.parametrize("method", ["dino", "simclr"])
def test_ranks_and_micro_batches_change_nothing_but_rounding(packed, tiny, tmp_path, method):
    flags = [*STEPS, "--method", method]
    if method == "simclr":  # has no prototypes and no local views
        tiny = [*tiny[: tiny.index("--out-dim")], "--monitor-every", "0"]
    from swath.cli import main

    def words(out, *more):
        return ["pretrain", str(packed), "--out", str(out), *tiny, *flags, *more]

    def alone(out, *more):
        assert main(words(out, *more)) == 0
        return losses(out)

    whole = alone(tmp_path / "whole")
    assert alone(tmp_path / "parts", "--micro-batch", "5") == pytest.approx(whole, rel=1e-4)
    ranks = rank_processes.run(words(tmp_path / "two"), tmp_path, world=2)
    assert [rank.process.exitcode for rank in ranks] == [0, 0]
    assert losses(tmp_path / "two") == pytest.approx(whole, rel=1e-4)


def test_memory_that_runs_out_halves_the_micro_batch_and_keeps_the_loss(pretrain, tmp_path, monkeypatch):
    assert "micro_batch = 16: the whole batch at once" in pretrain(tmp_path / "whole", *STEPS).errors
    monkeypatch.setenv("SWATH_FAULT", "oom@part>=8")
    answer = pretrain(tmp_path / "small", *STEPS)
    assert answer.code == 0
    assert "out of memory: 16 -> 8" in answer.errors
    assert "out of memory: 8 -> 4" in answer.errors
    assert losses(tmp_path / "small") == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)


def test_a_resumed_run_keeps_the_micro_batch_that_fitted(pretrain, tmp_path, monkeypatch):
    monkeypatch.setenv("SWATH_FAULT", "oom@part>=8")
    whole = pretrain(tmp_path / "whole", *STEPS).json["state_hash"]
    monkeypatch.setenv("SWATH_FAULT", "oom@part>=8;stop@step=1")
    assert pretrain(tmp_path / "stopped", *STEPS).code == 143
    monkeypatch.setenv("SWATH_FAULT", "")
    resumed = pretrain(tmp_path / "stopped", *STEPS)
    assert "micro_batch = 4: what fitted into memory before the stop" in resumed.errors
    assert resumed.json["state_hash"] == whole, "bitwise, as if it had never stopped"
    assert Run.open(tmp_path / "stopped").checkpoint().state["micro_batch"] == 4


def test_a_micro_batch_that_was_asked_for_wins_over_the_stored_one(pretrain, tmp_path, monkeypatch):
    monkeypatch.setenv("SWATH_FAULT", "oom@part>=8;stop@step=1")
    assert pretrain(tmp_path / "run", *STEPS).code == 143
    monkeypatch.setenv("SWATH_FAULT", "")
    assert "micro_batch" in pretrain(tmp_path / "run", *STEPS, "--micro-batch", "16").errors
    assert Run.open(tmp_path / "run").checkpoint().state["micro_batch"] == 16


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--micro-batch", "17"), "--micro-batch 17 would change nothing: a step has 16 tiles a process"),
        (("--nproc", "1"), "nproc 1 would change nothing: one process is what runs without it"),
        (("--nproc", "5000"), "--nproc 5000: this machine has"),
        (("--backend", "nccl"), "--backend nccl would change nothing with one process"),
        (("--dry-run", "--nproc", "2"), "--dry-run measures one process; leave out --nproc 2"),
    ],
)
def test_what_would_change_nothing_or_cannot_be_is_refused(pretrain, tmp_path, flags, said):
    answer = pretrain(tmp_path / "run", *STEPS, *flags)
    assert answer.code == 2
    assert said in answer.errors
    assert not (tmp_path / "run").exists()


def test_processes_within_processes_are_refused(pretrain, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")  # as torchrun sets it
    answer = pretrain(tmp_path / "run", *STEPS, "--nproc", "2")
    assert answer.code == 2
    assert "--nproc 2 within torchrun, which has started 4 processes: leave it out" in answer.errors


def test_a_micro_batch_above_the_share_of_a_rank_is_refused(packed, tiny, tmp_path):
    words = ["pretrain", str(packed), "--out", str(tmp_path / "run"), *tiny, *STEPS, "--micro-batch", "9"]
    ranks = rank_processes.run(words, tmp_path, world=2)
    assert {rank.process.exitcode for rank in ranks} == {2}
    assert "--micro-batch 9 would change nothing: a step has 8 tiles a process" in ranks[0].errors
