"""Tensors into a safetensors file, hashed on the way and without a second copy of them in memory.

The format (huggingface/safetensors): 8 bytes of header length, little-endian; a JSON header that gives type,
shape and place of each tensor, padded with spaces to a multiple of 8; then the bytes. `safetensors` itself
writes from one string of all bytes, which for a large network is as much memory again as the copy of it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_PIECE_BYTES = 2**22
_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip

Entry = dict[str, Any]


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> Entry:
    """Write tensors on the CPU to `path`; returns the size and sha256 of the file."""
    ordered = sorted(tensors.items(), key=lambda named: (-named[1].element_size(), named[0]))  # aligned
    header, end = {}, 0
    for name, tensor in ordered:
        start, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return write_hashed(path, len(text).to_bytes(8, "little"), text, *(_bytes(t) for _, t in ordered))


def write_hashed(path: Path, *parts: bytes | memoryview) -> Entry:
    """Write the parts one after the other; returns the size and sha256 of the file."""
    sha256, size = hashlib.sha256(), 0
    with path.open("wb") as stream:
        for piece in _pieces(parts):
            sha256.update(piece)
            stream.write(piece)
            size += len(piece)
    return {"size": size, "sha256": sha256.hexdigest()}


def _pieces(parts: tuple[bytes | memoryview, ...]) -> Iterator[memoryview]:
    """So small that what was hashed is still in the cache when it is written."""
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(view), _PIECE_BYTES):
            yield view[start : start + _PIECE_BYTES]


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data
