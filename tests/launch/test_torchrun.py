"""Processes that a launcher starts: ours, and plain torchrun."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from swath.errors import LostRankError, MachineError, UsageError
from swath.launch import torchrun
from swath.runtime import last_words
from swath.runtime.run import Run

NO_END = ("--steps", "100000", "--save-every", "2")


@pytest.fixture
def launch(packed, tiny):
    """Start `swath pretrain`, with what comes before and after those words."""

    def begin(out, *flags, before=("-m", "swath.cli"), fault=""):
        words = [*before, "pretrain", str(packed), "--out", str(out), *tiny, *flags]
        environment = {**os.environ, "SWATH_FAULT": fault, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


def wait_for_a_checkpoint(out, process):
    until_s = time.monotonic() + 120
    while not list(out.glob("checkpoints/step-*")) and time.monotonic() < until_s and process.poll() is None:
        time.sleep(0.05)


def test_sigterm_to_the_launcher_saves_and_exits_143(launch, tmp_path):
    with launch(tmp_path / "run", *NO_END, "--nproc", "2") as process:
        wait_for_a_checkpoint(tmp_path / "run", process)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert time.monotonic() - began < 20
    assert "saved; run the same command to resume" in errors.splitlines()[-1]


def test_the_launcher_names_the_rank_that_was_killed_its_signal_and_its_host(launch, tmp_path):
    flags = ("--steps", "12", "--save-every", "2", "--nproc", "2")
    with launch(tmp_path / "run", *flags, fault="sigkill@step=5,rank=1") as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 5
    assert errors.splitlines()[-1] == (
        f"swath: rank 1 on {socket.gethostname()} was ended by SIGKILL; run the same command to resume from "
        "the last checkpoint"
    )
    assert Run.open(tmp_path / "run").checkpoint().step == 4


def test_plain_torchrun_trains_too(launch, tmp_path):
    agent = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "swath.cli")
    with launch(tmp_path / "run", "--steps", "3", "--json", before=agent) as process:
        said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert json.loads(said.splitlines()[-1])["steps"] == 3, "one result, of the first rank"
    assert Run.open(tmp_path / "run").checkpoint().state["world"] == 2


def test_the_one_that_knows_speaks_for_those_that_lost_it():
    said = {0: LostRankError("lost"), 1: MachineError("rank 1 hangs"), 2: LostRankError("lost")}
    assert str(torchrun._cause({0: 5, 1: 5, 2: 5}, said)) == "rank 1 hangs"
    assert str(torchrun._cause({0: 5}, {0: LostRankError("lost")})) == "lost"
    assert "ended with code 7 and no word" in str(torchrun._cause({3: 7, 5: 1}, {}))
    assert "was ended by SIGKILL" in str(torchrun._cause({0: 5, 2: -signal.SIGKILL}, said))
    agent_ends_the_rest = {0: -signal.SIGTERM, 1: -signal.SIGSEGV}
    assert "rank 1 on" in str(torchrun._cause(agent_ends_the_rest, {}))


def test_last_words_come_back_as_they_were_said(tmp_path, monkeypatch):
    folder = tmp_path / "0" / "3"
    folder.mkdir(parents=True)
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(folder / "error.json"))
    assert not last_words.leave(UsageError("no such flag")), "nobody else says it"
    monkeypatch.setenv(last_words.LAUNCHED, "1")
    assert last_words.leave(UsageError("no such flag"))
    (error,) = last_words.words_in(tmp_path).values()
    assert (type(error), str(error)) == (UsageError, "no such flag")
    assert list(last_words.words_in(tmp_path)) == [3]
