"""Jobs that really run: sent by the command line, to a SageMaker on loopback."""

import json
import time

import pytest

from swath.cli import main
from swath.config.sagemaker import OneJob
from swath.launch.sagemaker.following import status
from swath.launch.sagemaker.found import ENDED
from swath.runtime.run import Run

ROLE = ("--role", "arn:aws:iam::123456789012:role/swath", "--store", "s3://bucket/jobs")


def send(capsys, *words):
    assert main(["sagemaker", *words, *ROLE, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])["job"]


def wait_for(job, *, until=lambda about: about.status in ENDED, within_s=240):
    deadline = time.monotonic() + within_s
    while not until(about := status(OneJob(job=job))):
        assert time.monotonic() < deadline, f"{job} is {about}"
        time.sleep(0.2)
    return about


@pytest.mark.usefixtures("aws")
def test_a_run_stopped_on_sagemaker_and_gone_on_with_by_another_job_is_the_run_never_stopped(
    on_s3, packed, tiny, tmp_path, capsys
):
    flags = [*tiny, "--steps", "60", "--save-every", "10", "--method", "dino"]
    whole = swath_pretrain(packed, tmp_path / "whole", flags)
    first = send(capsys, "pretrain", on_s3, *flags, "--environment", "SWATH_FAULT=slow@step=30")
    wait_for(first, until=lambda about: about.metrics.get("swath:step", 0) >= 12 or about.status in ENDED)
    assert main(["sagemaker", "stop", first]) == 0
    assert wait_for(first).status == "Stopped"
    stopped_at = fetched(first, tmp_path / "stopped", capsys).checkpoint().step
    assert 12 <= stopped_at < 60
    second = send(capsys, "pretrain", on_s3, *flags, "--checkpoints", f"s3://bucket/jobs/{first}/checkpoints")
    assert wait_for(second).status == "Completed", status(OneJob(job=second)).reason
    gone_on = fetched(second, tmp_path / "gone-on", capsys)
    assert gone_on.summary["state_hash"] == whole.summary["state_hash"]
    steps = [row["step"] for row in gone_on.metrics()]
    assert steps == sorted(set(steps))


def swath_pretrain(tiles, out, flags):
    assert main(["pretrain", str(tiles), "--out", str(out), *flags, "--quiet"]) == 0
    return Run.open(out)


def fetched(job, out, capsys):
    capsys.readouterr()
    assert main(["sagemaker", "results", job, "--out", str(out)]) == 0
    return Run.open(out)
