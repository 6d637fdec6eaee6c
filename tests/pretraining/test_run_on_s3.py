"""A run in s3://: stopped, gone on with on another machine, written by one process, whole whatever fails."""

import os
import shutil

import flaky_s3
import pytest
import torch
from s3_server import flip, put_folder
from waiting import until

import swath
from swath import storage
from swath.copies import fetch_file, put_file
from swath.errors import DataError, MachineError, UsageError
from swath.runtime import lease
from swath.runtime.checkpoint import digest, load_newest, save_checkpoint
from swath.runtime.lease import Head, Lease, read_head
from swath.runtime.mirror import mirrored, run_here, work_folder
from swath.runtime.run import Run

STEPS = ("--steps", "12", "--save-every", "4")
NOBODY = "http://127.0.0.1:9"


def test_a_run_stopped_here_and_gone_on_with_elsewhere_is_the_run_never_stopped(
    pretrain, place, machine, monkeypatch
):
    whole, out = pretrain(place("whole"), *STEPS), place("run")
    monkeypatch.setenv("SWATH_FAULT", "stop@step=6")
    assert pretrain(out, *STEPS).code == 143
    monkeypatch.delenv("SWATH_FAULT")
    assert read_head(out) == Head(None, read_head(out).beat, ("step-00000004", "step-00000007"))
    machine("b")
    ended = pretrain(out, *STEPS)
    assert (ended.code, ended.json["run"]) == (0, str(out))
    assert ended.json["state_hash"] == whole.json["state_hash"]
    listed = {name.split("/")[1] for name in storage.list_files(out) if name.startswith("checkpoints/")}
    assert listed == set(read_head(out).checkpoints)
    with run_here(out) as folder:
        assert [row["step"] for row in Run.open(folder).metrics()] == list(range(1, 13))
        assert f"--out {out}" in (folder / "command.txt").read_text()


def test_embed_probe_and_report_read_it_and_what_they_write_beside_it_is_there(
    pretrain, packed, place, tmp_path
):
    out = place("run")
    pretrain(out, "--steps", "2")
    features = swath.embed(out, packed, out=place("features.parquet"))
    with run_here(out) as folder:
        assert features.digest == swath.embed(folder, packed, out=tmp_path / "f.parquet").digest
    assert storage.read_bytes(place("features.parquet"))[:4] == b"PAR1"
    assert str(swath.probe(out, packed, task="knn", rounds=100).out) == f"{out}/probe-knn.json"
    assert str(swath.report(out, tiles=packed).out) == f"{out}/report.html"
    page = swath.report(out, tiles=packed, out=place("pages") / "first.html")
    assert (page.bytes, str(page.out)) == (storage.size_of(page.out), f"{place('pages')}/first.html")
    assert storage.is_file(place("pages") / "MODEL_CARD.md")
    assert {"probe-knn.json", "features.parquet", "report.html"} <= set(storage.list_files(out))


def test_ladder_bundle_and_export_read_it_as_they_read_a_copy(pretrain, packed, place, tmp_path):
    out = place("run")
    pretrain(out, "--steps", "2")
    table = swath.ladder(
        packed, runs=[out], out=tmp_path / "ladder", label_fraction=[1.0], probes=["knn"], rounds=100
    )
    swath.bundle(out, out=tmp_path / "there")
    swath.export(out, out=tmp_path / "there.safetensors")
    with run_here(out) as folder:
        newest = digest(Run.open(folder).checkpoint().path)
        swath.bundle(folder, out=tmp_path / "here")
        swath.export(folder, out=tmp_path / "here.safetensors")
    assert (table.rungs[-1]["name"], table.rungs[-1]["digest"]) == ("run", newest)
    assert swath.load(tmp_path / "there").about.name == "run"
    for name in ("there/backbone.safetensors", "there.safetensors"):
        assert (tmp_path / name).read_bytes() == (tmp_path / name.replace("there", "here")).read_bytes()


def save(folder, step):
    tensors = {name: {"w": torch.full((300,), float(step))} for name in ("student", "teacher")}
    save_checkpoint(folder / "checkpoints", step=step, tensors=tensors, state={"step": step})


def begun(folder):
    Run.create(folder, {"asked": {}, "recipe": {}}, command="swath pretrain")


def test_a_lost_connection_costs_one_copy_which_is_made_again(place, monkeypatch, caplog):
    out, url = place("run"), os.environ["AWS_ENDPOINT_URL"]
    with mirrored(out):
        folder = work_folder(out)
        begun(folder)
        save(folder, 4)
        until(lambda: read_head(out).checkpoints == ("step-00000004",))
        monkeypatch.setenv("AWS_ENDPOINT_URL", NOBODY)
        save(folder, 8)
        until(lambda: "Training goes on; the copy is made again" in caplog.text)
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert read_head(out).checkpoints[0] == "step-00000004"
        until(lambda: read_head(out).checkpoints == ("step-00000004", "step-00000008"))
    with run_here(out) as here:
        assert load_newest(here / "checkpoints", repair=False).step == 8


def test_what_could_not_be_copied_at_the_end_stays_here_and_is_gone_on_from(place, machine, monkeypatch):
    out, url = place("run"), os.environ["AWS_ENDPOINT_URL"]

    def train():
        with mirrored(out):
            begun(work_folder(out))
            save(work_folder(out), 4)
            until(lambda: read_head(out).checkpoints)
            monkeypatch.setenv("AWS_ENDPOINT_URL", NOBODY)
            save(work_folder(out), 8)

    with pytest.raises(MachineError, match=r"What was not copied is in .*swath-runs") as caught:
        train()
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with mirrored(out):  # its lease was not given back, and is silent
        assert load_newest(work_folder(out) / "checkpoints").step == 8
    machine("b")
    with mirrored(out):
        assert load_newest(work_folder(out) / "checkpoints").step == 8


def test_a_second_writer_is_refused_and_one_that_was_taken_over_cannot_say_a_word(place, monkeypatch):
    out, killed = place("run"), []
    monkeypatch.setattr(lease.os, "kill", lambda *_: killed.append(1))
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    with Lease(out), pytest.raises(MachineError, match=r"in use by pid \d+ on host"), Lease(out):
        pass
    monkeypatch.setattr(lease, "BEAT_S", 1.2)
    with Lease(out) as slow, Lease(out) as quick:
        quick.publish(["step-00000004"])
        with pytest.raises(MachineError, match="in use by"):
            slow.publish(["step-00000008"])
        until(lambda: slow.is_lost)
    assert read_head(out).checkpoints == ("step-00000004",)


def test_a_byte_flipped_at_rest_is_found_and_the_checkpoint_before_is_used(place, machine):
    out = place("run")
    with mirrored(out):
        begun(work_folder(out))
        for step in (4, 8):
            save(work_folder(out), step)
    flip(out / "checkpoints/step-00000008/teacher.safetensors")
    machine("b")
    with mirrored(out):
        assert load_newest(work_folder(out) / "checkpoints").step == 4
    assert storage.is_file(out / "checkpoints/step-00000008/teacher.safetensors"), "somebody may look at it"
    flip(out / "config.yaml")
    machine("c")
    with pytest.raises(DataError, match=r"config.yaml: sha256 mismatch"), mirrored(out):
        pass


def test_a_byte_flipped_on_its_way_comes_again(place, tmp_path):
    path, local = place("file"), tmp_path / "file"
    local.write_bytes(b"x" * 5000)
    put_file(local, path)
    with flaky_s3.before(os.environ["AWS_ENDPOINT_URL"]) as server, pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", server.url)
        server.faults = ["flip", "flip"]
        fetch_file(path, tmp_path / "back")
        server.faults = ["flip"] * 3
        with pytest.raises(DataError, match="sha256 mismatch"):
            fetch_file(path, tmp_path / "bad")
    assert (tmp_path / "back").read_bytes() == local.read_bytes()
    assert not (tmp_path / "bad").exists()


def test_a_run_copied_to_s3_by_other_means_is_read_and_nothing_is_no_run(place, tmp_path):
    begun(tmp_path / "run")
    save(tmp_path / "run", 4)
    put_folder(tmp_path / "run", place("copied"))
    with run_here(place("copied")) as folder:
        run = Run.open(folder)
        assert (run.checkpoint().step, str(run.address)) == (4, str(place("copied")))
    with pytest.raises(UsageError, match="does not exist"), run_here(place("nothing")):
        pass


def test_nobody_else_can_look_into_the_work_folder_and_a_link_is_not_followed(place, tmp_path):
    out = place("run")
    with mirrored(out):
        runs = work_folder(out).parent
        assert runs.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(runs)
    runs.symlink_to(tmp_path)
    with pytest.raises(MachineError, match="is not a folder of yours; set TMPDIR"), mirrored(out):
        pass
