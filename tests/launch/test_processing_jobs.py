"""What looks at data once, shared by two machines: their results together are those of one process."""

import json

import boto3
import pyarrow.parquet as pq
import pytest
from job_runner import REGION
from striped_run import make_pack, make_run
from striped_scene import bands_of, write_stack

import swath
import swath.sagemaker
from swath.cli import main

__all__ = ["make_pack", "make_run"]
ROLE = {"role": "arn:aws:iam::123456789012:role/swath", "store": "s3://bucket/looked"}


@pytest.fixture
def put(aws):
    """Copies a folder or file to S3 and says where it lies."""
    client = boto3.client("s3", endpoint_url=aws, region_name=REGION)

    def put(path, key):
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file():
                inside = "" if file == path else f"/{file.relative_to(path)}"
                client.upload_file(str(file), "bucket", f"{key}{inside}")
        return f"s3://bucket/{key}"

    return put


def same_files(found, expected):
    """Equal names, and equal bytes of all that holds no time and no place."""
    names = sorted(path.relative_to(expected) for path in expected.rglob("*") if path.is_file())
    assert sorted(path.relative_to(found) for path in found.rglob("*") if path.is_file()) == names
    for name in names:
        if name.suffix in {".tif", ".parquet"}:
            assert (found / name).read_bytes() == (expected / name).read_bytes(), name


def test_two_machines_predict_what_one_does_and_a_bad_scene_is_told_not_fatal(
    make_pack, make_run, put, tmp_path, capsys
):
    store, made = make_pack(count=120), make_run()
    swath.probe(made.path, store.path, rounds=100)
    swath.bundle(made.path, out=tmp_path / "bundle", head="probe-linear.json")
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    for number, name in enumerate(("a", "b", "c")):
        write_stack(scenes / f"{name}.tif", bands_of(48, 40, seed=number))
    (scenes / "d.tif").write_bytes(b"II*\0 and no more")
    job = swath.sagemaker.predict(
        put(tmp_path / "bundle", "look/bundle"), put(scenes, "look/scenes"), count=2, **ROLE
    )
    about = job.wait(look_s=0.2)
    assert (about.status, about.kind, about.count) == ("Completed", "processing", 2), about.reason
    assert "1 scenes could not be read" in about.reason
    assert job.cost().usd == pytest.approx(job.cost().billable_s * 2 * 1.41 / 3600)
    assert job.logs().lines_said >= 2
    assert job.name in capsys_list(capsys)
    assert main(["sagemaker", "results", job.name, "--out", str(tmp_path / "found")]) == 3
    alone = swath.predict(tmp_path / "bundle", scenes, out=tmp_path / "alone")
    assert sorted(alone.scenes) == ["a", "b", "c"]
    same_files(tmp_path / "found", tmp_path / "alone")
    assert "d.tif" in (tmp_path / "found" / "bad_scenes.csv").read_text()


def capsys_list(capsys):
    capsys.readouterr()
    assert main(["sagemaker", "list", "--json"]) == 0
    return [row["name"] for row in json.loads(capsys.readouterr().out.splitlines()[-1])["jobs"]]


def test_two_machines_embed_what_one_does_each_reading_its_tiles_from_s3(make_pack, make_run, put, tmp_path):
    store, made = make_pack(count=120), make_run()
    where = put(made.path, "embed/run"), put(store.path, "embed/tiles.lance")
    job = swath.sagemaker.embed(*where, count=2, input="direct", batch_size=16, **ROLE)
    about = job.wait(look_s=0.2)
    assert about.status == "Completed", about.reason
    found = job.results(tmp_path / "found")
    swath.embed(made.path, store.path, out=tmp_path / "alone.parquet", batch_size=16)
    assert [path.name for path in found.iterdir()] == ["features.parquet"]
    assert pq.read_table(found / "features.parquet").equals(pq.read_table(tmp_path / "alone.parquet"))


def test_a_job_that_is_stopped_has_no_results_and_says_so(make_pack, make_run, put, tmp_path, capsys):
    where = put(make_run().path, "stop/run"), put(make_pack(count=12).path, "stop/tiles.lance")
    job = swath.sagemaker.embed(*where, **ROLE)
    assert job.stop().status in {"Stopping", "Stopped"}
    assert job.wait(look_s=0.1).status == "Stopped"
    assert main(["sagemaker", "results", job.name, "--out", str(tmp_path / "found")]) == 3
    assert f"{job.name} is Stopped" in capsys.readouterr().err
    assert not (tmp_path / "found").exists()
