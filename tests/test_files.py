import contextlib
import errno
import hashlib
import os
import resource
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy

from swath import files
from swath.errors import DataError, MachineError, UsageError

NOISE = np.random.default_rng(0).integers(0, 255, 1_000_000, dtype=np.uint8)
WRITERS = {
    "python": lambda path: path.write_bytes(NOISE.tobytes()),
    "safetensors": lambda path: safetensors.numpy.save_file({"a": NOISE}, path),
    "parquet": lambda path: pq.write_table(pa.table({"a": NOISE}), path),
}


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def fail_half_way(path, error):
    with files.file_aside(path) as aside:
        aside.write_text("half")
        raise error


def fail_in_folder(path, error):
    with files.folder_aside(path) as aside:
        (aside / "half").write_text("x")
        raise error


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "new" / "index.parquet"
    with files.file_aside(path) as aside:
        aside.write_text("old")
        assert not path.exists()
    with files.file_aside(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names_in(path.parent) == ["index.parquet"]


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(DataError, match="bad tile"):
        fail_half_way(path, DataError("bad tile"))
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.json"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_whoever_writes_a_file_its_mode_is_what_the_umask_says(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        for name, write in WRITERS.items():
            with files.file_aside(tmp_path / name) as aside:
                write(aside)
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == dict.fromkeys(
        WRITERS, mode
    )


def test_every_file_is_fsynced_before_the_rename_and_the_parent_after(tmp_path, monkeypatch):
    seen = []
    real = files._fsync
    monkeypatch.setattr(
        files, "_fsync", lambda path: (seen.append((path.name, names_in(tmp_path))), real(path))
    )
    with files.folder_aside(tmp_path / "pack") as aside:
        (aside / "sub").mkdir()
        (aside / "sub" / "data").write_text("x")
    temporary = f".pack.{os.getpid()}.tmp"
    assert [name for name, _ in seen] == ["sub", "data", temporary, tmp_path.name]
    assert [inside for _, inside in seen] == [[temporary]] * 3 + [["pack"]]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "runs" / "a"
    with pytest.raises(KeyboardInterrupt):
        fail_in_folder(path, KeyboardInterrupt())
    assert names_in(path.parent) == []
    with files.folder_aside(path) as aside:
        (aside / "whole").write_text("x")
        assert not path.exists()
    assert names_in(path) == ["whole"]


def test_a_folder_that_exists_is_refused_untouched(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine").write_text("x")
    with (
        pytest.raises(UsageError, match="exists already; nothing was written"),
        files.folder_aside(tmp_path / "a"),
    ):
        pytest.fail("the body must not run")
    assert (tmp_path / "a" / "mine").read_text() == "x"


def test_a_file_on_the_way_or_a_folder_in_place_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(UsageError, match="is a file, not a folder"),
        files.file_aside(tmp_path / "file" / "b" / "c"),
    ):
        pytest.fail("the body must not run")
    with (
        pytest.raises(UsageError, match="is a folder; expected the name of a file"),
        files.file_aside(tmp_path),
    ):
        pytest.fail("the body must not run")


def test_only_a_file_of_the_same_kind_is_written_over(tmp_path):
    files.check_output(tmp_path / "new" / "a.json", begins=b"{")
    for text, is_ours in (('{"a": 1}', True), ("", True), ("thesis", False)):
        (tmp_path / "a.json").write_text(text)
        with contextlib.nullcontext() if is_ours else pytest.raises(UsageError, match="holds something else"):
            files.check_output(tmp_path / "a.json", begins=b"{")
    assert (tmp_path / "a.json").read_text() == "thesis"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EFBIG, "File too large"),
        OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),
        OSError("LanceError(IO): Generic LocalFileSystem error: File too large (os error 27)"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["full", "quota", "limit", "arrow", "lance", "safetensors"],
)
def test_every_spelling_of_a_full_disk_is_one_machine_error(tmp_path, error):
    path = tmp_path / "out"
    with pytest.raises(MachineError, match=r"no space left for .*out \(.* MiB free\)"):
        fail_half_way(path, error)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM, errno.EIO])
def test_a_place_that_cannot_be_written_is_a_machine_error(tmp_path, number):
    with pytest.raises(MachineError, match=r"not writable \(.+\)\. Choose another --out"):  # noqa: SIM117 -- reads in order
        with files.disk_errors(tmp_path):
            raise OSError(number, "words of the system")


@pytest.mark.parametrize(
    "error", [ValueError("x"), FileNotFoundError(errno.ENOENT, "gone"), DataError("No space left")]
)
def test_other_errors_pass_unchanged(tmp_path, error):
    with pytest.raises(type(error)) as caught, files.disk_errors(tmp_path):
        raise error
    assert caught.value is error


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder of Linux that takes no files")
@pytest.mark.parametrize("writing", [files.file_aside, files.folder_aside])
@pytest.mark.parametrize("name", ["new", "new/below"])
def test_a_folder_that_takes_no_files_is_a_machine_error(writing, name):
    with pytest.raises(MachineError, match=rf"^/proc/{name}: not writable"), writing(Path("/proc", name)):
        pytest.fail("there is nothing to write to")


def test_a_name_that_is_too_long_is_a_machine_error(tmp_path):
    with pytest.raises(MachineError, match="not writable"):
        files.write_json(tmp_path / ("x" * 300), {})


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_a_real_file_size_limit_is_told_by_every_library_that_writes(tmp_path, write):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with (
            pytest.raises(MachineError, match="no space left for"),
            files.file_aside(tmp_path / "a") as aside,
        ):
            write(aside)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names_in(tmp_path) == []


def test_json_and_digests_come_back(tmp_path):
    value = {"a": [1, 2.5, None, "x"], "third": 1 / 3}
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == value
    assert (
        files.sha256_of(tmp_path / "a.json") == hashlib.sha256((tmp_path / "a.json").read_bytes()).hexdigest()
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "b.json", {"loss": float("nan")})
    assert names_in(tmp_path) == ["a.json"]
