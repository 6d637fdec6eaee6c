"""Independent clients of our entry, installed by `make cloud-test` in environments of their own."""

import json
import sysconfig
from pathlib import Path

import pytest
from client_program import PROGRAM

ROOT = Path(__file__).parents[3]


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.cloud)


@pytest.fixture
def client_python():
    """`client_python("toolkit")` is the folder of that environment's programs."""

    def programs(name):
        folder = ROOT / ".tools" / name / "bin"
        assert folder.exists(), "run these tests by `make cloud-test`, which installs the clients"
        return folder

    return programs


@pytest.fixture
def our_packages():
    """PYTHONPATH by which a client's Python finds swath and what it needs."""
    return f"{ROOT / 'src'}:{sysconfig.get_path('purelib')}"


@pytest.fixture
def told(tiny):
    """Hyperparameters of a short training, beside those given."""
    flags = {flag[2:].replace("-", "_"): value for flag, value in zip(tiny[::2], tiny[1::2], strict=True)}
    basic = {"swath_verb": "pretrain", "tiles": "/opt/ml/input/data/tiles", "steps": "4"}
    return lambda **more: {**basic, "out": "/opt/ml/checkpoints/run", **flags, **more}


@pytest.fixture
def opt_ml(tmp_path, packed):
    """Makes what SageMaker puts under /opt/ml for one host; returns its folder."""

    def make(hyperparameters, *, host="algo-1", hosts=("algo-1",)):
        base = tmp_path / host / "ml"
        for name in ("input/config", "input/data", "code", "model", "output/data"):
            (base / name).mkdir(parents=True)
        (base / "input/data/tiles").symlink_to(packed)
        (base / "code/train.py").write_text(PROGRAM)
        group = {"instance_group_name": "all", "instance_type": "ml.g5.xlarge", "hosts": list(hosts)}
        resources = {
            "current_host": host, "hosts": list(hosts), "network_interface_name": "lo",
            "current_instance_type": "ml.g5.xlarge", "current_group_name": "all", "instance_groups": [group],
        }  # fmt: skip
        channels = {"tiles": {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated"}}
        for name, value in (
            ("hyperparameters", hyperparameters),
            ("inputdataconfig", channels),
            ("resourceconfig", resources),
        ):
            (base / f"input/config/{name}.json").write_text(json.dumps(value))
        return base

    return make
