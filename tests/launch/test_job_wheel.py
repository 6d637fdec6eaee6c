"""The code that a job gets: a wheel that installs, of this program alone."""

import base64
import hashlib
import io
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from swath.launch.sagemaker.wheel import build_wheel, code_files, constraints


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


@pytest.mark.cloud
def test_pip_installs_what_is_sent_over_a_swath_of_the_image_and_our_entry_starts(tmp_path):
    """The shell script of a job, with the pip of a clean environment that holds all but this swath."""
    python = tmp_path / "image/bin/python3"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "image"], check=True)
    shadowing = [python, "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools"]  # that torch needs newer
    subprocess.run(shadowing, check=True)
    site = subprocess.check_output([python, "-c", "import site; print(site.getsitepackages()[0])"], text=True)
    (Path(site.strip()) / "needs.pth").write_text(sysconfig.get_path("purelib"))
    for name, content in code_files().items():
        (tmp_path / name).write_bytes(content)
    config = tmp_path / "ml/input/config"
    config.mkdir(parents=True)
    (config / "resourceconfig.json").write_text('{"current_host": "algo-1", "hosts": ["algo-1"]}')
    (config / "hyperparameters.json").write_text('{"swath_verb": "pretrian"}')
    environment = {
        "PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(tmp_path), "PIP_NO_INDEX": "1",
        "SAGEMAKER_BASE_DIR": str(tmp_path / "ml"),
    }  # fmt: skip
    started = subprocess.run(
        ["/bin/bash", tmp_path / "start.sh"], env=environment, capture_output=True, text=True, check=False
    )
    assert (tmp_path / "ml/output/pip.txt").read_text() == ""
    assert (started.returncode, 'is "pretrian"; expected one of' in started.stdout) == (2, True), started
    where = "import importlib.metadata as m, swath; print(swath.__file__, m.version('swath'))"
    said = subprocess.check_output([python, "-c", where], env=environment, cwd=tmp_path, text=True)
    file, version = said.split()
    assert file.startswith(str(tmp_path / "image"))
    assert f"swath-{version}-" in build_wheel()[0]


def test_versions_are_those_installed_and_torch_stays_the_images():
    pinned = dict(line.split("==") for line in constraints().splitlines())
    import numpy as np

    assert pinned["numpy"] == np.__version__
    assert "pydantic" in pinned
    assert not {"torch", "triton", "sympy", "swath", "pytest"} & set(pinned)
