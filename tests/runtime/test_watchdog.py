"""What the watchdog takes for a hang; it ends whole processes in tests/pretraining/test_ranks_lost.py."""

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from swath.runtime import watchdog as module
from swath.runtime.peers import Peers
from swath.runtime.pulse import Pulse
from swath.runtime.signals import StopFlag
from swath.runtime.watchdog import Watchdog


class Told:
    """A store that several `Peers` of one process share."""

    def __init__(self):
        self.words = {}

    def set(self, key, text):
        self.words[key] = text

    def check(self, keys):
        return all(key in self.words for key in keys)

    def multi_get(self, keys):
        return [self.words[key].encode() for key in keys]


@pytest.fixture
def ended(monkeypatch):
    """What would have ended this process."""
    errors = []
    monkeypatch.setattr(Watchdog, "_end", lambda _self, error: errors.append(error))
    return errors


def dogs(*pulses):
    store = Told()
    return [
        Watchdog(pulse, rank=rank, peers=Peers(store, rank=rank, world=len(pulses)), run=None)
        for rank, pulse in enumerate(pulses)
    ]


def test_a_rank_that_stands_still_while_another_waits_hangs():
    still, waiting = Pulse(step=3, doing="in the networks"), Pulse()
    watched, other = dogs(still, waiting)
    with waiting.waiting():
        said = [(other._hanging(now), watched._hanging(now)) for now in (0.0, 60.0, 101.0, 102.0)]
    assert [waiter for waiter, _ in said] == [None] * 4
    assert [still is None for _, still in said] == [True, True, False, False]
    assert f"rank 0 on {socket.gethostname()} hangs at step 3, in the networks" in str(said[-1][1])


def test_a_slow_rank_that_moves_is_left_alone():
    slow, waiting = Pulse(), Pulse()
    watched, other = dogs(slow, waiting)
    with waiting.waiting():
        for now in range(0, 1000, 50):
            slow.at("in the networks")
            assert (watched._hanging(float(now)), other._hanging(float(now))) == (None, None)


def test_all_ranks_may_be_slow_together():
    for watched in (first := dogs(Pulse(), Pulse())):
        assert all(watched._hanging(float(now)) is None for now in range(0, 1000, 50) for watched in first)


def test_a_silent_rank_is_named_by_one_that_waits():
    waiting = Pulse()
    watched, other = dogs(waiting, Pulse(step=7, doing="reading tiles"))
    assert other._hanging(0.0) is None
    with waiting.waiting():
        said = [watched._hanging(float(now)) for now in (0, 50, 99, 101)]
    assert said[:3] == [None] * 3
    assert f"rank 1 on {socket.gethostname()} was last seen at step 7, reading tiles" in str(said[3])


def test_peers_hear_nothing_before_all_have_spoken_and_survive_a_lost_store():
    class Lost(Told):
        def set(self, *_):
            raise RuntimeError("connection reset")

    alone = Peers(Told(), rank=0, world=2)
    alone.exchange({"waits_s": 0.0, "at": "starting"}, 0.0)
    assert (alone.longest_wait_s(), alone.silent(1e9, 1.0)) == (0.0, "")
    Peers(Lost(), rank=0, world=2).exchange({"waits_s": 0.0, "at": "starting"}, 0.0)


def test_a_signal_gets_its_grace_and_a_long_step_twice_its_length(ended):
    pulse = Pulse()
    with Watchdog(pulse, run=None) as dog:
        before = signal.signal(signal.SIGUSR1, lambda *_: None)
        os.kill(os.getpid(), signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, before)
        until_s = time.monotonic() + 10
        while dog._stop is None and time.monotonic() < until_s:
            time.sleep(0.01)
        name, came = dog._stop
        assert name == "SIGUSR1"
        assert dog._overdue(came + module.GRACE_S - 1) is None
        assert "SIGUSR1 came 21 s ago" in str(dog._overdue(came + 21))
        pulse.longest_step_s = 40.0
        assert dog._overdue(came + 79) is None
        assert dog._overdue(came + 81) is not None
        with pulse.saving():
            assert dog._overdue(came + 81) is None, "a save that has begun has time of its own"
            assert dog._overdue(came + 81 + module.SAVE_S) is not None
    assert not ended


def test_a_process_whose_launcher_was_killed_asks_itself_to_stop(ended, monkeypatch):
    monkeypatch.setenv("SWATH_LAUNCHED", "1")
    monkeypatch.setattr(module, "_POLL_S", 0.01)
    with StopFlag() as stop, Watchdog(Pulse(), run=None):
        assert not stop
        monkeypatch.setattr(module.os, "getppid", lambda: 1)
        until_s = time.monotonic() + 10
        while not stop and time.monotonic() < until_s:
            time.sleep(0.01)
    assert stop.signal == "SIGTERM"
    assert not ended


def test_it_leaves_no_thread_and_no_descriptor_behind():
    threads, before = threading.active_count(), signal.set_wakeup_fd(-1)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with Watchdog(Pulse(), run=None):
            pass
    assert threading.active_count() == threads
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert signal.set_wakeup_fd(before) == -1


def test_the_end_says_why_and_leaves_every_stack(tmp_path, monkeypatch, capfd):
    codes = []
    monkeypatch.setattr(module.os, "_exit", codes.append)
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    Watchdog(Pulse(), run=tmp_path / "run")._end(module.MachineError("rank 0 hangs"))
    assert codes == [5]
    assert capfd.readouterr().err == "swath: rank 0 hangs\n"
    stack = (tmp_path / "run" / "logs" / "rank0.err").read_text()
    assert stack.startswith("rank 0 hangs\n")
    assert "test_the_end_says_why" in stack
    said = json.loads((tmp_path / "error.json").read_text())["message"]
    assert (said["message"], said["errorCode"]) == ("rank 0 hangs", 5)
