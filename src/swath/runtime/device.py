"""The one place that picks the device of a process, its number format and its compiler, and says why."""

import contextlib
import importlib.util
import logging
import os
import shutil
from dataclasses import dataclass

import torch

from swath.errors import UsageError, did_you_mean

_log = logging.getLogger(__name__)

_FORMATS = ("auto", "float32", "bfloat16")
# Instructions that multiply bfloat16, by their names in torch.cpu.get_capabilities(): two on x86, one on ARM.
_MULTIPLIES_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
# CUDA capability that triton, torch.compile's own compiler, asks for.
_OLDEST_COMPILED = (7, 0)


@dataclass(frozen=True)
class Precision:
    """The format that matrix products compute in; parameters and sums stay float32."""

    dtype: torch.dtype
    reason: str


@dataclass(frozen=True)
class Compiling:
    """Whether torch.compile makes the kernels of the networks in training."""

    wanted: bool
    reason: str


def choose_device() -> torch.device:
    """CUDA where there is one, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def choose_precision(asked: str, device: torch.device) -> Precision:
    """float32, or bfloat16 where it is asked for or the device multiplies it; with the reason, in words.

    asked: "auto", "float32" or "bfloat16". float16 is not offered: its range needs a scaled loss.

    Raises:
        UsageError: anything else was asked for.
    """
    if asked not in _FORMATS:
        raise UsageError(
            f'no precision "{asked}"; choose {", ".join(_FORMATS)}.{did_you_mean(asked, _FORMATS)}'
        )
    return _precision(asked, device)


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """Within it matrix products run in the format of `precision`."""
    mixed = precision.dtype != torch.float32
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed)


def choose_compiling(device: torch.device) -> Compiling:
    """Yes on a GPU that has what torch.compile needs. A processor has kernels by `swath.products`, and with
    them compiling gains nothing (docs/results/training_speed.md).
    """
    if device.type != "cuda":
        return Compiling(wanted=False, reason="it is for GPUs")
    if torch.cuda.get_device_capability(device) < _OLDEST_COMPILED:
        return Compiling(wanted=False, reason="this GPU is too old for it")
    if importlib.util.find_spec("triton") is None:
        return Compiling(wanted=False, reason="triton is not installed")
    if not any(shutil.which(name) for name in (os.environ.get("CC", "cc"), "gcc", "clang")):
        return Compiling(wanted=False, reason="there is no C compiler (gcc); with one training is faster")
    return Compiling(wanted=True, reason="this GPU and its C compiler can; the first steps take longer")


def _precision(asked: str, device: torch.device) -> Precision:
    able, why = _multiplies_bfloat16(device)
    if asked == "float32":
        return Precision(torch.float32, "asked for")
    if asked == "auto":
        return Precision(torch.bfloat16 if able else torch.float32, why)
    if not able:
        _log.warning("bfloat16 was asked for, but %s: float32 may be faster", why)
    return Precision(torch.bfloat16, "asked for")


def _multiplies_bfloat16(device: torch.device) -> tuple[bool, str]:
    """Whether the device has instructions for it, and in which words that is said."""
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        return able, f"this GPU {'computes' if able else 'does not compute'} in bfloat16"
    if device.type == "mps":
        return False, "bfloat16 is not tried on Apple MPS"
    found = [name for name in _MULTIPLIES_BFLOAT16 if _cpu_has(name)]
    if found:
        return True, f"this processor computes in bfloat16 ({', '.join(found)})"
    return False, f"this processor has no bfloat16 instructions (none of {', '.join(_MULTIPLIES_BFLOAT16)})"


def _cpu_has(instructions: str) -> bool:
    return bool(torch.cpu.get_capabilities().get(instructions, False))
