"""The soak of `make soak`, one round of it."""

import importlib.util
import random
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import rank_processes

from swath.runtime.run import Run

SOAK = Path(__file__).parents[1] / "tools" / "soak.py"


class Forked:
    """A process as subprocess.Popen gives it, but forked: a round would take a minute of starts."""

    def __init__(self, rank):
        self._rank = rank

    def wait(self):
        return self._rank.wait()

    def kill(self):
        self._rank.process.kill()

    def terminate(self):
        self._rank.process.terminate()


@pytest.fixture
def soak(monkeypatch):
    spec = importlib.util.spec_from_file_location("soak", SOAK)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "soak", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "LONGEST_WAIT_S", 1.5)
    monkeypatch.setattr(module, "STEPS", 20)
    return module


def test_a_round_of_the_soak_ends_as_without_faults(soak, tmp_path, monkeypatch, capsys):
    tiles = soak.packed_noise(tmp_path)

    def begin(self, out, world, fault):
        ranks = rank_processes.start(self.words(out), tmp_path / "said", world=world, fault=fault)
        return [Forked(rank) for rank in ranks]

    monkeypatch.setattr(soak.Soak, "_begin", begin)
    run = soak.Soak(tiles, tmp_path, random.Random(1732))
    run.round(1)
    said = capsys.readouterr().out
    assert re.search(r"round 1: \d processes, \d+ starts, state \w{12} as without faults", said)
    assert run.done == {"save": 1, "slow": 1, "full": 1}, "what this seed draws"
    assert Run.open(tmp_path / "round-1").checkpoint().step == soak.STEPS


def test_a_round_that_ends_in_another_state_is_told(soak, tmp_path, monkeypatch):
    run = soak.Soak(tmp_path / "tiles", tmp_path, random.Random(3), whole={1: "a" * 64, 2: "b" * 64})
    monkeypatch.setattr(soak.Soak, "_start", lambda *_: soak.DONE)

    rows = [{"step": step} for step in range(1, soak.STEPS + 1)]
    ended = SimpleNamespace(summary={"state_hash": "c" * 64}, metrics=lambda: rows)
    monkeypatch.setattr(soak.Run, "open", lambda _path: ended)
    with pytest.raises(SystemExit, match="ended as cccccccccccc, without faults as"):
        run.round(1)
