"""The code that a job gets: a wheel that installs, of this program alone."""

import base64
import hashlib
import io
import subprocess
import sys
import zipfile

from swath.launch.sagemaker.wheel import build_wheel, constraints


def test_the_wheel_runs_by_itself_and_finds_its_data_files(tmp_path):
    name, content = build_wheel()
    (tmp_path / name).write_bytes(content)
    program = "import swath.cli; print(swath.cli.__file__); swath.cli.main(['sagemaker', 'tables'])"
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(tmp_path / name)}, cwd=tmp_path,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[0].startswith(str(tmp_path / name))
    assert "ml.g5.xlarge" in done.stdout


def test_the_record_of_the_wheel_has_the_hash_of_every_file():
    archive = zipfile.ZipFile(io.BytesIO(build_wheel()[1]))
    (record,) = [name for name in archive.namelist() if name.endswith("/RECORD")]
    rows = [line.split(",") for line in archive.read(record).decode().splitlines()]
    assert {row[0] for row in rows} == set(archive.namelist())
    for name, digest, size in rows[:-1]:
        content = archive.read(name)
        wanted = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        assert digest == f"sha256={wanted}"
        assert int(size) == len(content)


def test_nothing_but_the_program_travels():
    names = zipfile.ZipFile(io.BytesIO(build_wheel()[1])).namelist()
    assert all(name.startswith(("swath/", "swath-")) for name in names)
    assert not [name for name in names if ".env" in name or ".git" in name or "__pycache__" in name]
    assert "swath/launch/sagemaker/start.sh" in names


def test_the_same_code_gives_the_same_bytes():
    assert build_wheel() == build_wheel()


def test_versions_are_those_installed_and_torch_stays_the_images():
    pinned = dict(line.split("==") for line in constraints().splitlines())
    import numpy as np

    assert pinned["numpy"] == np.__version__
    assert "pydantic" in pinned
    assert not {"torch", "triton", "swath", "pytest"} & set(pinned)
