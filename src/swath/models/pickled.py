"""Weights that come as a .pth: read without running anything that is in them.

`torch.save` writes pickles, and a pickle is a program. Torch's own reader for weights runs none of it but
tensors, plain containers and what is allowed by name: here the Namespace of settings that training scripts
save beside their weights, and the numbers of numpy that their schedules leave in an optimizer.
"""

import argparse
import pickle
import pickletools
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from swath.errors import DataError
from swath.files import file_aside
from swath.models.weights import EXPECTED, load_weights, read_metadata

# Under this name an exported file says, as JSON, what its weights see: a TileFormat.
CONTRACT = "swath"
_NOT_ALLOWED = re.compile(r"GLOBAL (\w+(?:\.\w+)+)")
# numpy's float64 as numpy 1 and numpy 2 write it.
_scalar = np.float64(0).__reduce__()[0]
_ALLOWED: list[Any] = [
    argparse.Namespace,
    np.dtype,
    np.dtypes.Float64DType,
    (_scalar, "numpy._core.multiarray.scalar"),
    (_scalar, "numpy.core.multiarray.scalar"),
]
_DCP_MARK = ".metadata"


def read_weights(path: Path) -> dict[str, Any]:
    """What a .safetensors or .pth file holds, on the CPU: tensors by name, or a training script's dictionary.

    The content decides, not the name.

    Raises:
        DataError: no such file, a folder, empty, damaged, a web page, or a pickle with code in it.
    """
    if path.is_dir():
        raise DataError(_folder(path))
    start = _first_bytes(path)
    # A safetensors file begins with the length of its header, eight bytes that can look like anything.
    if start[8:9] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
        return load_pickled(path)
    contract = read_metadata(path).get(CONTRACT)
    return {**load_weights(path), **({CONTRACT: contract} if contract else {})}


def load_pickled(path: Path) -> dict[str, Any]:
    """The dictionary in a file of `torch.save`; nothing in it is run.

    Raises:
        DataError: code in the pickle (it is named), a file cut short, or something else than a dictionary.
    """
    try:
        with torch.serialization.safe_globals(_ALLOWED), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about versions of pickle: what is read is checked, or refused
            with path.open("rb") as stream:  # by its name torch would take a .safetensors for one
                content = torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(_refusal(path, str(error))) from None  # torch's text advises to switch safety off
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        if "TorchScript" in str(error):
            raise DataError(f"{path} is a graph of TorchScript; {EXPECTED}") from None
        raise DataError(f"{path} is incomplete ({_first_sentence(error)}); copy it again.") from None
    if not isinstance(content, dict):
        raise DataError(
            f"{path} holds a {type(content).__name__}; expected a dictionary of tensors (a state_dict)."
        )
    return content


def save_pickled(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary of tensors and plain values as `torch.save` does, whole or not at all.

    Raises:
        MachineError: the disk is full or cannot be written.
    """
    with file_aside(path) as aside:
        torch.save(content, aside)


def _first_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected weights, .pth or .safetensors.")
    with path.open("rb") as stream:
        return stream.read(16)


def _folder(path: Path) -> str:
    if (path / _DCP_MARK).exists():
        return (
            f"{path} is a folder of torch.distributed.checkpoint, whose {_DCP_MARK} is a pickle that runs; "
            "it is not read. Save the weights as one .safetensors file where they were made."
        )
    return f"{path} is a folder; expected one file, .pth or .safetensors."


def _refusal(path: Path, reason: str) -> str:
    named = _NOT_ALLOWED.search(reason)
    code = named[1] if named else _first_call(path)
    if code:
        return f"{path} contains code ({code}). Refused; ask for the weights as .safetensors."
    return f"{path} is not a whole pickle of tensors; copy it again, or ask for .safetensors."


def _first_call(path: Path) -> str:
    """The first function that a plain pickle would call, read from its opcodes without running any; or ''."""
    words: list[str] = []
    with path.open("rb") as stream:
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "GLOBAL":
                    return str(argument).replace(" ", ".")
                if opcode.name == "STACK_GLOBAL":
                    return ".".join(words[-2:])
                if isinstance(argument, str):
                    words.append(argument)
        except ValueError:  # it is cut, or no pickle at all
            return ""
    return ""


def _first_sentence(error: Exception) -> str:
    lines = str(error).split("\n", 1)[0].split(". ", 1)[0].strip().rstrip(".")
    return lines or "it ends early"
