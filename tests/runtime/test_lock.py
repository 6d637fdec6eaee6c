import errno
import json
import logging
import os
import socket
import subprocess
import sys

import pytest

from swath.errors import MachineError
from swath.runtime import lock as module
from swath.runtime.lock import RunLock

HOLD = """
import sys
from pathlib import Path
from swath.runtime.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def held_by_another_process(run):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, run], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "locked\n"
    return process


def write_owner(run, **owner):
    run.mkdir(exist_ok=True)
    (run / ".lock").write_text(json.dumps({"host": socket.gethostname(), "since": "2026-01-01", **owner}))


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def no_locks_here(_descriptor, _how):
    raise OSError(errno.ENOSYS, "no locks on this file system")


def test_a_second_process_is_told_who_has_the_run(tmp_path):
    run = tmp_path / "run"
    with held_by_another_process(run) as holder:
        with pytest.raises(MachineError) as caught, RunLock(run):
            pytest.fail("two processes have the run")
        text = rf"{run} is in use by pid {holder.pid} on host {socket.gethostname()} since 20"
        assert str(caught.value).startswith(text)
        holder.stdin.close()
        holder.wait()
    with RunLock(run):
        assert json.loads((run / ".lock").read_text())["pid"] == os.getpid()
    assert not (run / ".lock").exists()


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, caplog):
    with held_by_another_process(tmp_path) as holder:
        holder.kill()
    assert (tmp_path / ".lock").exists()
    with caplog.at_level(logging.INFO), RunLock(tmp_path):
        assert f"taking over the lock of pid {holder.pid}" in caplog.text


def test_two_locks_in_one_process_exclude_each_other_and_leave_the_first_intact(tmp_path):
    with RunLock(tmp_path):
        for _ in range(2):
            with pytest.raises(MachineError, match="is in use"), RunLock(tmp_path):
                pytest.fail("locked twice")
        assert (tmp_path / ".lock").exists()


def test_an_error_inside_frees_the_run(tmp_path):
    with pytest.raises(ZeroDivisionError), RunLock(tmp_path):
        raise ZeroDivisionError
    with RunLock(tmp_path):
        pass


def test_a_full_disk_is_told_and_leaves_no_lock(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module.os, "pwrite", full)
        with pytest.raises(MachineError, match="no space left"), RunLock(tmp_path):
            pytest.fail("took a lock that names no owner")
    assert list(tmp_path.iterdir()) == []
    with RunLock(tmp_path):
        pass


def test_the_lock_of_another_machine_is_respected_and_says_how_to_free_it(tmp_path):
    write_owner(tmp_path, pid=1, host="elsewhere")
    with pytest.raises(MachineError, match=r"pid 1 on host elsewhere .* rm .*\.lock"), RunLock(tmp_path):
        pytest.fail("took the lock of another machine")
    assert (tmp_path / ".lock").exists()


@pytest.mark.parametrize("content", ["", "half {", "[]", '{"pid": "x"}'])
def test_an_unreadable_owner_does_not_block_the_run(tmp_path, content):
    (tmp_path / ".lock").write_text(content)
    with RunLock(tmp_path):
        assert f'"pid": {os.getpid()}' in (tmp_path / ".lock").read_text()


def test_without_file_locks_a_living_owner_is_respected_and_a_dead_one_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(module.fcntl, "flock", no_locks_here)
    write_owner(tmp_path, pid=os.getpid())
    with pytest.raises(MachineError, match="is in use"), RunLock(tmp_path):
        pytest.fail("took the lock of a living process")
    write_owner(tmp_path, pid=dead_pid())
    with RunLock(tmp_path):
        pass
