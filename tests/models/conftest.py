import math

import pytest
import torch


@pytest.fixture
def wave():
    """Numbers that look random and need no generator: scale * sin(0.7 i + phase) in `shape`."""

    def make(shape, phase=0.0, scale=1.0):
        steps = torch.arange(math.prod(shape), dtype=torch.float64)
        return (torch.sin(0.7 * steps + phase) * scale).float().reshape(shape)

    return make


@pytest.fixture
def fill(wave):
    """Give every parameter of a module waves of 0.2, by the order of its name; norms around 1, lengths 1."""

    def run(module):
        with torch.no_grad():
            for phase, (name, parameter) in enumerate(sorted(module.named_parameters())):
                if not name.endswith("weight_g"):
                    around = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                    parameter.copy_(wave(parameter.shape, phase, 0.2) + around)
        return module

    return run
