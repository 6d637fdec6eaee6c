"""Files of torch.save: what is read, what is refused, and that nothing in them runs."""

import argparse
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from swath.errors import DataError
from swath.models.pickled import read_weights
from swath.models.weights import save_weights


class Touches:
    """Unpickling it makes a file."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return (open, (self.marker, "w"))


class Shell(Touches):
    def __reduce__(self):
        return (os.system, (f"touch {self.marker}",))


def test_tensors_a_namespace_and_the_numbers_of_a_schedule_are_read(tmp_path):
    content = {"w": torch.ones(2), "args": argparse.Namespace(lr=1e-3), "lr": np.float64(0.5)}
    torch.save(content, tmp_path / "w.pth")
    read = read_weights(tmp_path / "w.pth")
    assert torch.equal(read["w"], torch.ones(2))
    assert (read["args"].lr, float(read["lr"])) == (1e-3, 0.5)


def test_the_content_decides_not_the_name(tmp_path):
    save_weights(tmp_path / "w.pth", {"w": torch.ones(2)})
    torch.save({"w": torch.ones(2)}, tmp_path / "w.SAFETENSORS")
    for name in ("w.pth", "w.SAFETENSORS"):
        assert torch.equal(read_weights(tmp_path / name)["w"], torch.ones(2))


@pytest.mark.parametrize("start", [b"\x80", b"PK"], ids=["of a pickle", "of a zip"])
def test_a_header_whose_length_looks_like_the_start_of_another_file_is_read(tmp_path, start):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.ones(3)})
    written = path.read_bytes()
    length = int.from_bytes(written[:8], "little")
    wanted = int.from_bytes(start, "little") + (0 if len(start) > 1 else 256)
    padded = written[8 : 8 + length].ljust(wanted) + written[8 + length :]
    path.write_bytes(wanted.to_bytes(8, "little") + padded)
    assert path.read_bytes().startswith(start)
    assert torch.equal(read_weights(path)["a"], torch.ones(3))


@pytest.mark.parametrize("kind", [Touches, Shell])
@pytest.mark.parametrize("how", ["zip", "old", "plain"])
def test_code_is_refused_by_name_and_does_not_run(tmp_path, kind, how):
    path, marker = tmp_path / "w.pth", tmp_path / "marker"
    content = {"w": torch.ones(2), "x": kind(marker)}
    if how == "plain":
        path.write_bytes(pickle.dumps(content["x"]))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(DataError, match=r"contains code \((io\.open|posix\.system)\)\. Refused") as caught:
        read_weights(path)
    assert not marker.exists()
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_of_distributed_checkpoints_is_refused_and_its_metadata_does_not_run(tmp_path):
    folder, marker = tmp_path / "dcp", tmp_path / "marker"
    folder.mkdir()
    (folder / ".metadata").write_bytes(pickle.dumps(Touches(marker)))
    with pytest.raises(
        DataError, match=r"torch\.distributed\.checkpoint, .* it is not read\. Save .* \.safe"
    ):
        read_weights(folder)
    assert not marker.exists()
    (folder / ".metadata").unlink()
    with pytest.raises(DataError, match="is a folder; expected one file"):
        read_weights(folder)


def _cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_cut_short_is_incomplete(tmp_path, zipped, share):
    path = tmp_path / "w.pth"
    torch.save({"w": torch.randn(50, 50)}, path, _use_new_zipfile_serialization=zipped)
    _cut(path, share)
    with pytest.raises(DataError, match=r"w\.pth is (incomplete|not a whole pickle)") as caught:
        read_weights(path)
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)


STRANGE = {
    "empty": (b"", r"is empty \(0 bytes\)"),
    "web page": (b"<!DOCTYPE html><html>not found</html>", "is a web page, not weights"),
    "words": (b"hello there, these are weights", r"neither .safetensors nor .pth; expected .*dino, timm"),
    "onnx": (b"\x08\x08\x12\x07pytorch\x1a\x051.0", r"graphs \(ONNX, TorchScript\) are not read"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_weights_at_all_is_said(tmp_path, kind):
    content, message = STRANGE[kind]
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_weights(tmp_path / "w.pth")


def test_a_graph_is_no_file_cut_short(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:  # what tells torch of TorchScript
        archive.writestr("w/constants.pkl", b"")
        archive.writestr("w/version", b"3")
    with pytest.raises(DataError, match="is a graph of TorchScript; expected weights"):
        read_weights(tmp_path / "w.pt")


def test_a_tensor_alone_is_no_network(tmp_path):
    torch.save(torch.ones(3), tmp_path / "w.pth")
    with pytest.raises(DataError, match="holds a Tensor; expected a dictionary of tensors"):
        read_weights(tmp_path / "w.pth")
