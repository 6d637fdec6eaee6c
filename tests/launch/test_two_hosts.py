"""Two containers of one job, as two addresses of loopback: one training, in the same steps as alone."""

import json
import os
import subprocess
import sys

import pytest

from swath.cli import main
from swath.runtime.run import Run

HOSTS = ("127.0.0.1", "127.0.0.2")


@pytest.fixture
def start(tmp_path, packed, tiny):
    """Starts the first process of the container of a host; returns it and its folder."""
    flags = {flag[2:].replace("-", "_"): value for flag, value in zip(tiny[::2], tiny[1::2], strict=True)}

    def start(host):
        base = tmp_path / host
        (base / "input/config").mkdir(parents=True)
        (base / "input/data").mkdir()
        (base / "input/data/tiles").symlink_to(packed)
        told = {"swath_verb": "pretrain", "tiles": "/opt/ml/input/data/tiles", "steps": "4", **flags}
        told["out"] = "/opt/ml/checkpoints/run"
        (base / "input/config/hyperparameters.json").write_text(json.dumps(told))
        resources = {"current_host": host, "hosts": list(HOSTS)}
        (base / "input/config/resourceconfig.json").write_text(json.dumps(resources))
        return base, subprocess.Popen(
            [sys.executable, "-m", "swath.launch.sagemaker.entry"], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "SAGEMAKER_BASE_DIR": str(base), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    return start


def test_two_hosts_train_one_run_that_the_first_one_writes(start, packed, tiny, tmp_path):
    containers = [start(host) for host in HOSTS]
    said = [process.communicate(timeout=120)[0] for _, process in containers]
    assert [process.returncode for _, process in containers] == [0, 0], said
    run = Run.open(containers[0][0] / "model/run")
    assert run.checkpoint().step == 4
    assert not (containers[1][0] / "model").exists()
    assert (
        main(["pretrain", str(packed), "--out", str(tmp_path / "alone"), *tiny, "--steps", "4", "--quiet"])
        == 0
    )
    together, alone = ([row["loss"] for row in r.metrics()] for r in (run, Run.open(tmp_path / "alone")))
    assert together == pytest.approx(alone, rel=2e-2)
