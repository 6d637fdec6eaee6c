"""Checkpoints written while training goes on."""

import threading
import time

import pytest
import torch

from swath.errors import MachineError, TrainingError
from swath.runtime import checkpoint_writer as module
from swath.runtime.checkpoint import load_newest, read_checkpoint
from swath.runtime.checkpoint_writer import CheckpointWriter


@pytest.fixture
def gate(monkeypatch) -> threading.Event:
    """Writing waits until it is opened."""
    opened, real = threading.Event(), module.save_checkpoint

    def wait_and_save(*args, **named):
        assert opened.wait(timeout=20)
        return real(*args, **named)

    monkeypatch.setattr(module, "save_checkpoint", wait_and_save)
    return opened


def start(writer, weight, step):
    writer.start(step=step, tensors={"student": {"w": weight}}, state={"step": step})


def test_what_is_written_is_the_state_at_the_call(tmp_path, gate):
    weight = torch.zeros(1000)
    with CheckpointWriter(tmp_path) as writer:
        start(writer, weight, 4)
        assert writer.busy
        weight += 1  # the next step, while the one before is being written
        gate.set()
        writer.collect()
        assert not writer.busy
    assert read_checkpoint(tmp_path / "step-00000004").tensors["student"]["w"].eq(0).all()


def test_starting_does_not_wait_for_the_disk(tmp_path, gate):
    with CheckpointWriter(tmp_path) as writer:
        began = time.perf_counter()
        start(writer, torch.zeros(10), 1)
        assert time.perf_counter() - began < 5
        assert load_newest(tmp_path, repair=False) is None
        gate.set()


def test_leaving_waits_for_the_checkpoint_also_on_an_error(tmp_path):
    def fail_while_writing():
        with CheckpointWriter(tmp_path) as writer:
            start(writer, torch.zeros(2_000_000), 1)
            raise KeyError

    with pytest.raises(KeyError):
        fail_while_writing()
    assert load_newest(tmp_path).step == 1


def test_an_error_of_the_thread_is_raised_once_and_the_next_save_works(tmp_path, monkeypatch):
    monkeypatch.setenv("SWATH_FAULT", "enospc@save=2")
    with CheckpointWriter(tmp_path) as writer:
        for step in (1, 2):
            start(writer, torch.zeros(10), step)
            if step == 1:
                writer.collect()
        with pytest.raises(MachineError, match=r"no space left.*previous checkpoint step 1 kept"):
            writer.collect()
        writer.collect()
        start(writer, torch.zeros(10), 3)
        writer.collect()
    assert load_newest(tmp_path).step == 3


def test_a_state_that_is_not_finite_is_never_written(tmp_path):
    weight = torch.zeros(10)
    weight[3] = torch.nan
    with CheckpointWriter(tmp_path) as writer:
        start(writer, weight, 2)
        with pytest.raises(TrainingError, match="step 2 was not written: student w holds NaN or infinity"):
            writer.collect()
    assert load_newest(tmp_path) is None


def test_huge_finite_numbers_are_finite(tmp_path):
    with CheckpointWriter(tmp_path) as writer:
        start(writer, torch.full((4,), 3e38), 2)
        writer.collect()
    assert load_newest(tmp_path).step == 2
