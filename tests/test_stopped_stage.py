"""SIGTERM in the middle of a stage, sent when the stage says that it is there."""

import signal
import subprocess
import sys

_PACK_THAT_WAITS = """
import sys, time
from swath import cli
from swath.data.fragment import FragmentWriter

append = FragmentWriter.append

def append_and_wait(*given):
    append(*given)
    print("half-way", flush=True)
    time.sleep(60)

FragmentWriter.append = append_and_wait
sys.exit(cli.main(sys.argv[1:]))
"""


def test_sigterm_ends_a_stage_in_one_line_and_leaves_nothing_behind(packed, tmp_path):
    words = ["pack", str(packed.with_name("split.parquet")), "--out", str(tmp_path / "t.lance"), "--quiet"]
    command = [sys.executable, "-c", _PACK_THAT_WAITS, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "half-way\n"
        assert list(tmp_path.iterdir())
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=50)
    assert process.returncode == 143
    assert "stopped by Ctrl-C or SIGTERM" in errors
    assert not list(tmp_path.iterdir())
