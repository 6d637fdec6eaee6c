import re

import pytest
import torch

from swath.errors import UsageError
from swath.runtime import device as module
from swath.runtime.device import Precision, autocast, choose_compiling, choose_device, choose_precision

CPU, GPU, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))


@pytest.fixture
def pretend(monkeypatch):
    """Make torch see another machine."""

    def become(*, cuda=False, mps=False, instructions=(), gpu_bfloat16=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(instructions, True))
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: gpu_bfloat16)  # noqa: ARG005 -- the name is torch's

    return become


@pytest.mark.parametrize(
    ("machine", "chosen"),
    [({"cuda": True, "mps": True}, GPU), ({"mps": True}, MPS), ({}, CPU)],
)
def test_the_device_is_cuda_then_mps_then_cpu(pretend, machine, chosen):
    pretend(**machine)
    assert choose_device() == chosen


@pytest.mark.parametrize(
    ("machine", "device", "expected"),
    [
        (
            {"instructions": ["avx2", "avx512_bf16"]},
            CPU,
            "bfloat16: this processor computes in .*(avx512_bf16)",
        ),
        ({"instructions": ["amx_bf16"]}, CPU, "bfloat16: this processor computes in .*(amx_bf16)"),
        ({"instructions": ["neon", "bf16"]}, CPU, "bfloat16: this processor computes in .*(bf16)"),
        ({"instructions": ["avx2", "avx512_f"]}, CPU, "float32: this processor has no bfloat16 instructions"),
        ({"gpu_bfloat16": True}, GPU, "bfloat16: this GPU computes in bfloat16"),
        ({"gpu_bfloat16": False}, GPU, "float32: this GPU does not compute in bfloat16"),
        ({}, MPS, "float32: bfloat16 is not tried on Apple MPS"),
    ],
)
def test_auto_is_bfloat16_where_the_device_computes_in_it(pretend, machine, device, expected):
    pretend(**machine)
    precision = choose_precision("auto", device)
    dtype, reason = expected.split(": ")
    assert precision.dtype == getattr(torch, dtype)
    assert re.match(reason, precision.reason)


def test_what_is_asked_for_is_taken_with_a_warning_where_it_is_slow(pretend, caplog):
    pretend(instructions=["avx512_bf16"])
    assert choose_precision("float32", CPU) == Precision(torch.float32, "asked for")
    assert choose_precision("bfloat16", CPU) == Precision(torch.bfloat16, "asked for")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    pretend()
    assert choose_precision("bfloat16", CPU).dtype == torch.bfloat16
    assert "bfloat16 was asked for, but this processor has no bfloat16 instructions" in caplog.text


def test_float16_is_not_offered():
    with pytest.raises(
        UsageError, match=r'no precision "float16"; choose auto, float32, bfloat16. Did you mean'
    ):
        choose_precision("float16", CPU)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_within_autocast_have_the_chosen_format(dtype):
    with autocast(CPU, Precision(dtype, "test")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_this_machine_gets_a_choice():
    assert choose_precision("auto", choose_device()).dtype in {torch.float32, torch.bfloat16}


@pytest.mark.parametrize(
    ("lacks", "reason"),
    [
        (None, "this GPU and its C compiler can"),
        ("capability", "too old"),
        ("triton", "triton is not installed"),
        ("compiler", "no C compiler"),
    ],
)
def test_a_gpu_compiles_where_it_has_what_that_needs(monkeypatch, lacks, reason):
    capability = (6, 1) if lacks == "capability" else (8, 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    found = {"triton": object(), "compiler": "/usr/bin/gcc"} | ({lacks: None} if lacks else {})
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: found["triton"])
    monkeypatch.setattr(module.shutil, "which", lambda _: found["compiler"])
    chosen = choose_compiling(GPU)
    assert chosen.wanted is (lacks is None)
    assert reason in chosen.reason


@pytest.mark.parametrize("device", [CPU, MPS])
def test_a_processor_does_not_compile(device):
    assert not choose_compiling(device).wanted
