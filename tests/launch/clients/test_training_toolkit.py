"""The sagemaker-training toolkit, which the images of AWS bring, starts our entry as the program of a job."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from swath.launch.sagemaker.metrics import definitions
from swath.runtime.run import Run

TOOLKIT = {"sagemaker_program": "train.py", "sagemaker_instance_type": "ml.g5.xlarge"}
TWO_RANKS = {"sagemaker_torch_distributed_enabled": "true", "sagemaker_mpi_num_of_processes_per_host": "2"}
HOSTS = ("127.0.0.1", "127.0.0.2")


@pytest.fixture
def train(client_python, our_packages, opt_ml, told):
    """Starts `train` of the toolkit; returns the folder of its host and the process."""

    def start(host="algo-1", hosts=("algo-1",), **more):
        base = opt_ml(told(**TOOLKIT, **more), host=host, hosts=hosts)
        config = base / "input/config/hyperparameters.json"
        asked = json.loads(config.read_text()) | {"sagemaker_submit_directory": str(base / "code")}
        config.write_text(json.dumps(asked))
        programs = client_python("toolkit")
        environment = {
            **os.environ,
            "PATH": f"{programs}:{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": our_packages, "SAGEMAKER_BASE_DIR": str(base), "SM_STUDIO_LOCAL_MODE": "true",
            "TRAINING_JOB_NAME": "job",
            "SAGEMAKER_TRAINING_MODULE": "sagemaker_pytorch_container.training:main", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        process = subprocess.Popen(
            [programs / "train"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return base, process

    return start


def ended(started):
    """Folder and words of a process that ended well."""
    base, process = started
    said = process.communicate(timeout=180)[0]
    assert process.returncode == 0, said
    return base, said


def test_one_host_trains_and_its_metrics_are_lines_that_the_definitions_find(train):
    base, said = ended(train())
    assert Run.open(base / "model/run").checkpoint().step == 4
    loss = next(d["Regex"] for d in definitions() if d["Name"] == "swath:loss")
    assert len(re.findall(loss, said)) == 4
    assert (base / "output/success").exists()


def test_two_ranks_of_its_torchrun_train_one_run(train):
    base, said = ended(train(**TWO_RANKS))
    assert Run.open(base / "model/run").checkpoint().state["world"] == 2
    assert len(re.findall(r"swath metric: step=4 ", said)) == 1, "one rank speaks"


def test_two_hosts_train_one_run_that_the_first_one_writes(train):
    flags = {"sagemaker_torch_distributed_enabled": "true", "sagemaker_mpi_num_of_processes_per_host": "1"}
    (first, _), (second, _) = [ended(s) for s in [train(host=h, hosts=HOSTS, **flags) for h in HOSTS]]
    assert Run.open(first / "model/run").checkpoint().state["world"] == 2
    assert not list((second / "model").iterdir())


@pytest.mark.parametrize("spelling", ["False", "false"])
def test_booleans_are_read_in_every_spelling(train, spelling):
    base, _ = ended(train(norm_last_layer=spelling))
    assert Run.open(base / "model/run").recipe["norm_last_layer"] is False


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"init": '/a path/o\'neil "x".pth'}, '/a path/o\'neil "x".pth'),
        ({"optim.lr": "0.1"}, 'unknown setting "optim.lr"'),
        ({"batch_size": "many"}, "--batch-size many"),
    ],
    ids=["quotes", "dotted key", "bad value"],
)
def test_what_is_wrong_is_the_reason_that_sagemaker_shows(train, more, reason):
    base, process = train(**more)
    process.communicate(timeout=180)
    assert process.returncode
    said = (base / "output/failure").read_text()
    assert reason in said
    assert "\n" not in said.strip()
    assert "Traceback" not in said
