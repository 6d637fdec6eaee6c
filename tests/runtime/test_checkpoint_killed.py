import os
import subprocess
import sys

import pytest

from swath.runtime.checkpoint import load_newest


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


KILLED = """
import sys
from pathlib import Path
import torch
from swath.runtime.checkpoint import load_newest, save_checkpoint
folder = Path(sys.argv[1])
found = load_newest(folder)
start = found.step if found else 0
print("from", start, flush=True)
for step in range(start + 1, 1000):
    tensors = {"student": {"w": torch.full((200_000,), step)}}
    save_checkpoint(folder, step=step, tensors=tensors, state={})
    if step == start + 1:
        print("ready", flush=True)
"""


def test_kill_9_while_saving_never_loses_a_saved_step(tmp_path):
    last = 0
    for delay_s in (0.05, 0.013):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True
        ) as process:
            started = int(process.stdout.readline().split()[1])
            assert process.stdout.readline() == "ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=delay_s)
            process.kill()
        assert started >= last
        last = load_newest(tmp_path).step
        assert last > started
    assert len(names_in(tmp_path)) <= 3
    assert not list(tmp_path.glob(".*"))


def test_kill_9_in_the_middle_of_a_save_leaves_the_previous_step(tmp_path):
    environment = {**os.environ, "SWATH_FAULT": "sigkill@save=3"}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path], env=environment, check=False, capture_output=True
    )
    assert done.returncode == -9
    assert len(list(tmp_path.glob(".step-00000003.*.tmp"))) == 1
    assert load_newest(tmp_path).step == 2
    assert names_in(tmp_path) == ["step-00000001", "step-00000002"]
