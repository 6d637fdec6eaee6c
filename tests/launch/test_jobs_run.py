"""Jobs that really run: sent by the command line, to a SageMaker on loopback."""

import json
import time

import numpy as np
import pytest
from job_runner import RUNNING
from s3_server import put_folder

import swath
from swath.cli import main
from swath.config.sagemaker import OneJob
from swath.data.store import TileStore
from swath.launch.sagemaker.following import status
from swath.location import S3Path
from swath.runtime.run import Run

ROLE = ("--role", "arn:aws:iam::123456789012:role/swath", "--store", "s3://bucket/jobs")


def send(capsys, *words):
    assert main(["sagemaker", *words, *ROLE, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])["job"]


def end_of(job):
    RUNNING[job].join(240)
    return status(OneJob(job=job))


def reached(job, step):
    """Wait until the job has said so, or has ended."""
    running = RUNNING[job]
    while running.is_alive() and running.last("swath:step") < step:
        time.sleep(0.05)


@pytest.mark.usefixtures("aws")
def test_a_run_stopped_on_sagemaker_and_gone_on_with_by_another_job_is_the_run_never_stopped(
    on_s3, packed, tiny, tmp_path, capsys
):
    flags = [*tiny, "--steps", "24", "--save-every", "8", "--method", "dino"]
    whole = swath_pretrain(packed, tmp_path / "whole", flags)
    first = send(capsys, "pretrain", on_s3, *flags, "--environment", "SWATH_FAULT=slow@step=14")
    reached(first, 12)
    assert main(["sagemaker", "stop", first]) == 0
    assert end_of(first).status == "Stopped"
    stopped_at = fetched(first, tmp_path / "stopped", capsys).checkpoint().step
    assert 12 <= stopped_at < 24
    second = send(capsys, "pretrain", on_s3, *flags, "--checkpoints", f"s3://bucket/jobs/{first}/checkpoints")
    ended = end_of(second)
    assert ended.status == "Completed", ended.reason
    gone_on = fetched(second, tmp_path / "gone-on", capsys)
    assert gone_on.summary["state_hash"] == whole.summary["state_hash"]
    steps = [row["step"] for row in gone_on.metrics()]
    assert steps == sorted(set(steps))


@pytest.mark.cloud
@pytest.mark.usefixtures("aws")
def test_an_archive_is_indexed_by_one_job_and_packed_by_another(archive, tmp_path, capsys):
    put_folder(archive, S3Path("bucket", "raw"))
    index, tiles = S3Path("bucket", "made/index.parquet"), S3Path("bucket", "made/tiles.lance")
    cut = ("--layout", "scenes", "--tile-px", "32")
    for words in (
        ("index", "s3://bucket/raw", *cut, "--out", str(index)),
        ("pack", str(index), "--out", str(tiles)),
    ):
        ended = end_of(send(capsys, *words))
        assert ended.status == "Completed", ended.reason
    swath.index(archive, out=tmp_path / "index.parquet", layout="scenes", tile_px=32)
    swath.pack(tmp_path / "index.parquet", out=tmp_path / "tiles.lance")
    here, there = TileStore(tmp_path / "tiles.lance"), TileStore(tiles)
    rows = np.arange(len(here))
    assert len(there) == len(here) > 0
    assert np.array_equal(there.read(rows)[0], here.read(rows)[0])


def swath_pretrain(tiles, out, flags):
    assert main(["pretrain", str(tiles), "--out", str(out), *flags, "--quiet"]) == 0
    return Run.open(out)


def fetched(job, out, capsys):
    capsys.readouterr()
    assert main(["sagemaker", "results", job, "--out", str(out)]) == 0
    return Run.open(out)
