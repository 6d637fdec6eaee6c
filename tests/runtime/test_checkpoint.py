import json
import re
import resource
import shutil

import pytest
import torch

from swath import files
from swath.errors import DataError, MachineError, UsageError
from swath.runtime import checkpoint as module
from swath.runtime import retention
from swath.runtime.checkpoint import digest, load_newest, read_checkpoint, save_checkpoint, state_hash

STATE = {"step": 1, "samples": 64, "loss": 1 / 3, "vocabulary": ["a"]}


def tensors_of(seed):
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(8, 6, generator=draw)
    student = {"w": weight, "b": torch.randn(8, generator=draw).bfloat16(), "transposed": weight.T}
    optimizer = {
        "step": torch.tensor(seed, dtype=torch.int64),
        "rows": weight[2:4],
        "tied": weight,
        "none": weight[:0],
    }
    return {"student": student, "optimizer": optimizer}


def save(folder, step, **more):
    return save_checkpoint(folder, step=step, tensors=tensors_of(step), state={**STATE, "step": step}, **more)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def flip_a_byte(path):
    file = path / "student.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


def truncate(path):
    file = path / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-7])


DAMAGES = {
    "flip": (flip_a_byte, "student.safetensors sha256 mismatch"),
    "truncate": (truncate, r"optimizer.safetensors has [\d,]+ of [\d,]+ bytes"),
    "member": (lambda path: (path / "student.safetensors").unlink(), "student.safetensors is missing"),
    "state": (lambda path: (path / "state.json").write_text("{}"), r"state.json has 2 of \d+ bytes"),
    "manifest": (lambda path: (path / "MANIFEST.json").unlink(), "MANIFEST.json is missing"),
    "manifest cut": (
        lambda path: (path / "MANIFEST.json").write_text('{"for'),
        "MANIFEST.json is not readable",
    ),
    "manifest list": (
        lambda path: (path / "MANIFEST.json").write_text("[1]"),
        "MANIFEST.json is not readable",
    ),
}


def test_what_is_saved_comes_back_bit_for_bit(tmp_path):
    path = save(tmp_path, 1234)
    found = load_newest(tmp_path)
    assert path.name == "step-00001234"
    assert (found.step, found.path, found.state) == (1234, path, {**STATE, "step": 1234})
    for stem, named in tensors_of(1234).items():
        assert found.tensors[stem].keys() == named.keys()
        for name, tensor in named.items():
            assert found.tensors[stem][name].dtype == tensor.dtype
            assert torch.equal(found.tensors[stem][name], tensor)
    assert state_hash(found.tensors) == state_hash(tensors_of(1234))


def test_the_manifest_holds_size_and_sha256_of_every_file(tmp_path):
    path = save(tmp_path, 3)
    manifest = json.loads((path / "MANIFEST.json").read_text())
    assert sorted(manifest["files"]) == [name for name in names_in(path) if name != "MANIFEST.json"]
    for name, entry in manifest["files"].items():
        assert entry == {"size": (path / name).stat().st_size, "sha256": files.sha256_of(path / name)}
    assert digest(path) == files.sha256_of(path / "MANIFEST.json")


def test_the_same_state_gives_the_same_bytes(tmp_path):
    assert digest(save(tmp_path / "a", 3)) == digest(save(tmp_path / "b", 3))


def test_the_newest_two_are_kept(tmp_path):
    for step in (3, 6, 9, 12):
        save(tmp_path, step)
    assert names_in(tmp_path) == ["step-00000009", "step-00000012"]
    save(tmp_path, 15, keep=3)
    assert names_in(tmp_path) == ["step-00000009", "step-00000012", "step-00000015"]


def test_the_one_just_saved_is_never_purged(tmp_path):
    for step in (30, 40, 10):
        save(tmp_path, step)
    assert names_in(tmp_path) == ["step-00000010", "step-00000040"]


def test_saving_a_step_again_leaves_it_as_it_is_unless_it_is_damaged(tmp_path):
    before = save(tmp_path, 3).stat().st_ino
    assert save(tmp_path, 3).stat().st_ino == before
    flip_a_byte(tmp_path / "step-00000003")
    save(tmp_path, 3)
    assert names_in(tmp_path) == ["step-00000003", "step-00000003.damaged"]
    assert read_checkpoint(tmp_path / "step-00000003").step == 3


@pytest.mark.parametrize(("harm", "reason"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_newest_checkpoint_falls_back_and_is_set_aside(tmp_path, caplog, harm, reason):
    save(tmp_path, 15)
    harm(save(tmp_path, 20))
    found = load_newest(tmp_path)
    assert found.step == 15
    assert names_in(tmp_path) == ["step-00000015", "step-00000020.damaged"]
    assert len(list((tmp_path / "step-00000020.damaged").iterdir())) >= 3
    pattern = rf"^step-00000020: {reason}; using step-00000015 \(5 steps lost\)$"
    assert any(re.search(pattern, message) for message in caplog.messages)


def test_a_mere_reader_falls_back_too_and_changes_nothing(tmp_path):
    save(tmp_path, 15)
    flip_a_byte(save(tmp_path, 20))
    (tmp_path / ".step-00000025.77.tmp").mkdir()
    before = names_in(tmp_path)
    assert load_newest(tmp_path, repair=False).step == 15
    assert names_in(tmp_path) == before


def test_when_all_are_damaged_each_is_listed_and_kept(tmp_path):
    flip_a_byte(save(tmp_path, 15))
    truncate(save(tmp_path, 20))
    for _ in range(2):  # a second start must not take the empty folder for a new run
        with pytest.raises(DataError) as caught:
            load_newest(tmp_path)
        assert "step-00000020: optimizer.safetensors has" in str(caught.value)
        assert "step-00000015: student.safetensors sha256 mismatch" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert names_in(tmp_path) == ["step-00000015", "step-00000020"]


def test_no_checkpoint_at_all_is_none(tmp_path):
    assert load_newest(tmp_path / "missing") is None
    (tmp_path / "step-notes").mkdir()
    assert load_newest(tmp_path) is None


def test_a_checkpoint_under_the_name_of_another_step_is_refused(tmp_path):
    save(tmp_path, 15).rename(tmp_path / "step-00000099")
    with pytest.raises(DataError, match=r"step-00000099: MANIFEST\.json is of another format or step"):
        read_checkpoint(tmp_path / "step-00000099")


def test_a_manifest_cannot_name_files_elsewhere(tmp_path):
    path = save(tmp_path, 3)
    manifest = files.read_json(path / "MANIFEST.json")
    manifest["files"]["../secret"] = manifest["files"]["state.json"]
    (path / "MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"MANIFEST\.json is not readable"):
        read_checkpoint(path)


def test_what_an_interrupted_save_left_is_removed_at_the_next_start(tmp_path):
    save(tmp_path, 3)
    (tmp_path / ".step-00000006.4242.tmp").mkdir()
    (tmp_path / ".step-00000006.4242.tmp" / "student.safetensors").write_bytes(b"half")
    save(tmp_path, 9)
    assert ".step-00000006.4242.tmp" in names_in(tmp_path)
    assert load_newest(tmp_path).step == 9
    assert names_in(tmp_path) == ["step-00000003", "step-00000009"]


def test_a_full_disk_fails_the_save_and_keeps_the_previous_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, 2)
    monkeypatch.setenv("SWATH_FAULT", "enospc@save=4")
    disk = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: disk._replace(free=300))
    with pytest.raises(MachineError) as caught:
        save(tmp_path, 4)
    assert str(caught.value) == (
        f"Checkpoint at step 4 failed: no space left on {tmp_path} (needs 0.0 MB, 0.0 MB free); "
        "previous checkpoint step 2 kept."
    )
    assert names_in(tmp_path) == ["step-00000002"]
    save(tmp_path, 6)
    assert load_newest(tmp_path).step == 6


@pytest.fixture
def files_of_a_megabyte():
    """The soft limit alone is lowered, so that it can be raised again."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("files_of_a_megabyte")
def test_a_real_file_size_limit_is_survived_and_told(tmp_path):
    save(tmp_path, 2)
    with pytest.raises(MachineError) as caught:
        save_checkpoint(tmp_path, step=4, tensors={"student": {"w": torch.ones(3_000_000)}}, state={})
    assert str(caught.value) == (
        f"Checkpoint at step 4 failed: no space left on {tmp_path} (needs 12.0 MB, more than a quota or file "
        "size limit allows); previous checkpoint step 2 kept."
    )
    assert names_in(tmp_path) == ["step-00000002"]


def test_a_purge_that_fails_is_logged_and_nothing_more(tmp_path, monkeypatch, caplog):
    for step in (1, 2):
        save(tmp_path, step)
    real = shutil.rmtree

    def refuse(path, **options):
        if path.name == "step-00000001":
            raise OSError("busy")
        real(path, **options)

    monkeypatch.setattr(retention.shutil, "rmtree", refuse)
    assert save(tmp_path, 3).exists()
    assert "could not be removed (busy); training goes on" in caplog.text


def test_nothing_is_purged_before_the_new_checkpoint_is_seen_in_place(tmp_path, monkeypatch):
    for step in (1, 2):
        save(tmp_path, step)
    monkeypatch.setattr(module, "_damage", lambda _path, **_: "step-00000003: student.safetensors is missing")
    save(tmp_path, 3)
    assert len(names_in(tmp_path)) == 3


def test_a_folder_that_is_a_file_is_a_usage_error(tmp_path):
    (tmp_path / "checkpoints").write_text("x")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        save(tmp_path / "checkpoints", 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: {"w": t["w"], "renamed": t["b"]},
        lambda t: {"w": t["w"], "b": t["b"].reshape(2, 4)},
        lambda t: {"w": t["w"], "b": t["b"].view(torch.int16)},
        lambda t: {"w": t["w"], "b": torch.nextafter(t["b"], torch.tensor(9.0).bfloat16())},
        lambda t: {"w": t["w"]},
    ],
    ids=["name", "shape", "dtype", "one bit", "fewer"],
)
def test_the_state_hash_sees_names_shapes_types_and_bits(change):
    tensors = {name: tensors_of(0)["student"][name] for name in ("w", "b")}
    assert state_hash({"student": tensors}) != state_hash({"student": change(tensors)})
    assert state_hash({"student": tensors}) != state_hash({"teacher": tensors})


def test_the_state_hash_does_not_see_order_or_memory_layout():
    here = tensors_of(0)
    there = {stem: dict(reversed(named.items())) for stem, named in reversed(here.items())}
    there["student"]["w"] = here["student"]["w"].T.contiguous().T
    assert state_hash(here) == state_hash(there)
