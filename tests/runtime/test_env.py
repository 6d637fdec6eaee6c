import json
import os

import torch

from swath.runtime.env import environment


def test_it_says_what_the_run_ran_on():
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert torch.__version__.startswith(found["packages"]["torch"].split("+")[0])
    assert {"numpy", "safetensors", "rasterio"} <= found["packages"].keys()
    assert "pytest" not in found["packages"]
    assert found["cpu_count"] == os.cpu_count()
    assert found["torch_threads"] == torch.get_num_threads()


def test_no_environment_variable_gets_in(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    assert "wJalrXUtnFEMI" not in json.dumps(environment())
