"""Our safetensors writer against the library's reader."""

import hashlib

import pytest
import safetensors.torch
import torch

from swath.runtime import tensor_file
from swath.runtime.tensor_file import write_tensors

TYPES = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
)  # fmt: skip


def test_the_library_reads_what_was_written_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_file, "_PIECE_BYTES", 7)  # so that tensors are cut
    draw = torch.Generator().manual_seed(0)
    tensors = {str(kind): (torch.rand(3, 5, generator=draw) * 9).to(kind) for kind in TYPES}
    tensors |= {"scalar": torch.tensor(7), "none": torch.empty(0, 4), "turned": torch.rand(3, 2).T}
    tensors |= {"a row": tensors["torch.float32"][1], 'quoted "name"': torch.ones(1)}
    entry = write_tensors(tmp_path / "t.safetensors", tensors)
    content = (tmp_path / "t.safetensors").read_bytes()
    assert entry == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    found = safetensors.torch.load(content)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_the_bytes_are_those_that_the_library_writes(tmp_path):
    tensors = {"b": torch.rand(3, 3), "a": torch.ones(2, dtype=torch.int64), "c": torch.ones(5)}
    write_tensors(tmp_path / "t.safetensors", tensors)
    assert (tmp_path / "t.safetensors").read_bytes() == safetensors.torch.save(tensors)


def test_no_second_copy_of_the_tensors_is_made(tmp_path):
    resource = pytest.importorskip("resource")
    tensor = torch.ones(64, 2**20)  # 256 MiB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_tensors(tmp_path / "t.safetensors", {"w": tensor})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
