"""AWS's SDK v3 sends jobs of swath, and its driver, not our shell script, starts our entry."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest
from client_program import PROGRAM
from job_runner import REGION, RunningJob, sagemaker_on_loopback
from s3_server import KEYS

from swath.config.sagemaker import OneJob, ResultsConfig, StopConfig
from swath.launch.sagemaker.following import results, status, stop
from swath.launch.sagemaker.found import ENDED
from swath.launch.sagemaker.metrics import definitions
from swath.runtime.run import Run

SDK_JOB = Path(__file__).with_name("sdk_job.py")
AS_ROOT = ("unshare", "--mount", "--pid", "--fork", "--mount-proc")
# Mounts of its own let a container have /opt/ml, the paths that the driver has in its scripts, and the names
# of the hosts, of which the driver has written down the first.
IN_OPT_ML = """mount --bind "$0/hosts" /etc/hosts
mount -t tmpfs none /opt; mkdir /opt/ml; mount --bind "$0" /opt/ml; cd /opt/ml; exec "$@"
"""
# torchrun connects to itself by the name of its machine.
HOSTS = f"127.0.0.1 localhost algo-1 {socket.gethostname()}\n127.0.0.2 algo-2\n"
# Else the SDK reports each call to its makers.
SILENT = """SchemaVersion: "1.0"
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
"""
OURS = {"command": "exec python3 -m swath.launch.sagemaker.entry"}
IN_A_FOLDER = {"source_dir": "code", "entry_script": "train.py"}


def _namespaces():
    tried = subprocess.run(
        [*AS_ROOT, "mount", "-t", "tmpfs", "none", "/opt"], capture_output=True, check=False
    )
    return tried.returncode == 0


class InOptMl(RunningJob):
    """A job whose processes see /opt/ml, and the first of which is number 1, as in a container.

    The second host is a container of its own on another address of loopback; stopping is for one host.
    """

    def _fill(self):
        super()._fill()
        (self.base / "hosts").write_text(HOSTS)

    def _work(self):
        with self._second_host():
            return super()._work()

    @contextlib.contextmanager
    def _second_host(self):
        config = self.base / "input/config/resourceconfig.json"
        resources = json.loads(config.read_text())
        if len(resources["hosts"]) == 1:
            yield
            return
        base = self.base / "second"
        shutil.copytree(self.base, base, ignore=shutil.ignore_patterns("second"))
        resources["current_host"] = resources["hosts"][1]
        (base / "input/config/resourceconfig.json").write_text(json.dumps(resources))
        command = [*AS_ROOT, "sh", "-ec", IN_OPT_ML, str(base), *super()._command()]
        with subprocess.Popen(
            command, cwd=base, env=self._environment(), stdout=subprocess.DEVNULL
        ) as second:
            yield
            code = second.wait(60)
        written = sorted(path.name for path in (base / "model").iterdir())
        if code or written:
            raise RuntimeError(
                f"the second host ended with {code} and wrote {written}, expected 0 and nothing"
            )

    def _command(self):
        return [*AS_ROOT, "sh", "-ec", IN_OPT_ML, str(self.base), *super()._command()]

    def _first_process(self):
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        while not children.read_text():
            time.sleep(0.01)
        return int(children.read_text())

    def _environment(self):
        found = super()._environment()
        del found["SAGEMAKER_BASE_DIR"]
        pip = self.base / "bin/pip3"  # the driver asks whether there is one
        pip.write_text("#!/bin/sh\nexit 1\n")
        pip.chmod(0o755)
        return {**found, "PATH": f"{found['PATH']}:{Path(sys.executable).parent}"}


@pytest.fixture(scope="module")
def sdk_url():
    if shutil.which("unshare") is None or not _namespaces():
        pytest.skip("needs root and namespaces, as Docker has")
    with pytest.MonkeyPatch.context() as patched:
        for name, value in KEYS.items():
            patched.setenv(name, value)
        with sagemaker_on_loopback(InOptMl) as url:
            yield url


@pytest.fixture
def tiles(sdk_url, packed, monkeypatch):
    """The shared pack as s3://bucket/tiles.lance, where the environment leads."""
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": sdk_url, "AWS_DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    for path in packed.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "bucket", f"tiles.lance/{path.relative_to(packed)}")


@pytest.fixture
def send(tiles, told, client_python, tmp_path):  # noqa: ARG001 -- sdk_job.py names the tiles
    """Send by the SDK; returns the name of the job."""
    (tmp_path / "sdk.yaml").write_text(SILENT)
    (tmp_path / "code").mkdir()
    (tmp_path / "code/train.py").write_text(PROGRAM)

    def send(source_code, *, ranks=0, hosts=1, **more):
        asked = {"source_code": source_code, "ranks": ranks, "hosts": hosts, "hyperparameters": told(**more)}
        asked["metrics"] = definitions()
        environment = {
            **os.environ,
            "SAGEMAKER_VALIDATE_ROLE": "false",
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(tmp_path / "sdk.yaml"),
            "AWS_MAX_ATTEMPTS": "1",
            "HOME": str(tmp_path),
        }
        said = subprocess.run(
            [client_python("sdk") / "python", SDK_JOB, json.dumps(asked)],
            cwd=tmp_path, env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return said.stdout.splitlines()[-1]

    return send


def until(job, is_so):
    deadline = time.monotonic() + 180
    while not is_so(about := status(OneJob(job=job))):
        assert time.monotonic() < deadline, about
        time.sleep(0.2)
    return about


def ended(job):
    return until(job, lambda about: about.status in ENDED)


@pytest.mark.parametrize(
    ("source_code", "ranks", "hosts"),
    [(OURS, 0, 1), (IN_A_FOLDER, 0, 1), (IN_A_FOLDER, 2, 1), (OURS, 0, 2), (IN_A_FOLDER, 1, 2)],
    ids=["command", "program", "torchrun", "command on two hosts", "torchrun on two hosts"],
)
def test_a_job_sent_by_the_sdk_trains(send, tmp_path, source_code, ranks, hosts):
    job = send(source_code, ranks=ranks, hosts=hosts, norm_last_layer=False)
    about = ended(job)
    assert about.status == "Completed", about.reason
    results(ResultsConfig(job=job, out=tmp_path / "run"))
    run = Run.open(tmp_path / "run")
    assert run.checkpoint().step == 4
    assert run.checkpoint().state.get("world", 1) == max(1, ranks) * hosts
    assert run.recipe["norm_last_layer"] is False


def test_sigterm_reaches_the_stage_where_the_command_makes_our_entry_the_first_process(send, tmp_path):
    job = send(OURS, steps="100000")
    until(job, lambda about: about.metrics.get("swath:step", 0) >= 4)
    stop(StopConfig(job=job))
    until(job, lambda about: about.status in ENDED)
    results(ResultsConfig(job=job, out=tmp_path / "run"))
    assert Run.open(tmp_path / "run").checkpoint().step >= 4, "saved by nothing but SIGTERM"


def test_quotes_arrive_and_a_setting_that_is_wrong_is_the_reason(send):
    about = ended(send(OURS, init='/a "quoted" path.pth'))
    assert about.status == "Failed"
    assert '/a "quoted" path.pth' in about.reason


@pytest.mark.parametrize(
    "more", [{"init": "/o'neil.pth"}, {"optim.lr": "1"}], ids=["single quote", "dotted key"]
)
def test_what_the_driver_cannot_write_fails_before_our_entry(send, more):
    """As docs/sagemaker.md warns. Where it does not any more, the warning can go."""
    about = ended(send(OURS, **more))
    assert about.status == "Failed"
    assert "swath" not in about.reason.replace(about.job, "")
