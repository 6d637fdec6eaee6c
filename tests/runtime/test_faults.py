import os
import signal
import subprocess
import sys

import pytest

from swath.errors import UsageError
from swath.runtime import faults


def test_nothing_happens_without_the_variable(monkeypatch):
    monkeypatch.delenv("SWATH_FAULT", raising=False)
    assert faults.fire("step", 3) == frozenset()


def test_a_fault_fires_at_its_point_and_number_alone(monkeypatch):
    monkeypatch.setenv("SWATH_FAULT", "nan@step=6; enospc@save=2")
    assert faults.fire("step", 5) == frozenset()
    assert faults.fire("step", 6) == {"nan"}
    assert faults.fire("save", 6) == frozenset()
    with pytest.raises(OSError, match="No space left"):
        faults.fire("save", 2)


def test_a_fault_may_last_for_ever(monkeypatch):
    monkeypatch.setenv("SWATH_FAULT", "nan@step>=6")
    assert [bool(faults.fire("step", step)) for step in (5, 6, 7, 800)] == [False, True, True, True]


@pytest.mark.parametrize("text", ["sigkil@step=1", "nan@stp=1", "nan@step", "nan@step=x", "nan"])
def test_an_unknown_fault_is_refused(monkeypatch, text):
    monkeypatch.setenv("SWATH_FAULT", f"nan@step=1;{text}")
    with pytest.raises(UsageError, match=rf'SWATH_FAULT "{text}" is unknown; expected sigkill\|'):
        faults.fire("step", 9)


@pytest.mark.parametrize(
    ("name", "code"), [("sigkill", -signal.SIGKILL), ("stop", -signal.SIGTERM), ("exit", 1)]
)
def test_a_process_ends_as_asked(name, code):
    done = subprocess.run(
        [sys.executable, "-c", "from swath.runtime import faults; faults.fire('step', 7)"],
        env={**os.environ, "SWATH_FAULT": f"{name}@step=7"},
        check=False,
    )
    assert done.returncode == code


def test_a_slow_save_takes_its_time(monkeypatch):
    waits = []
    monkeypatch.setattr(faults.time, "sleep", waits.append)
    monkeypatch.setenv("SWATH_FAULT", "slow@save=1")
    faults.fire("save", 1)
    assert waits == [faults.SLOW_S]
