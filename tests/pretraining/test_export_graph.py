"""ONNX and TorchScript: the runtimes give equal tokens at sizes and batches they were not traced with."""

import importlib
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import swath
from swath.errors import DataError, MachineError, UsageError
from swath.models.vit import VisionTransformer, ViTShape
from swath.pretraining import export_graph

SHAPE = ViTShape(width=16, depth=1, heads=2, patch_size=4, in_channels=3, image_px=20)


@pytest.fixture(scope="module")
def trained(packed, tmp_path_factory):
    return swath.pretrain(
        packed, out=tmp_path_factory.mktemp("trained") / "run", model="vit_micro", patch_size=8, steps=1,
        method="dino", batch_size=4, local_views=1, local_px=16, out_dim=32, monitor_every=0,
    )  # fmt: skip


def network_of(mode):
    return VisionTransformer(replace(SHAPE, position=mode), torch.Generator().manual_seed(3)).eval()


def test_onnxruntime_resamples_positions_for_images_of_any_size(tmp_path):
    import onnx
    import onnxruntime

    network, path = network_of("dino"), tmp_path / "n.onnx"
    export_graph.write_onnx(path, network, '{"bands": ["B04"]}')
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for shape in ((1, 3, 20, 20), (5, 3, 12, 44), (2, 3, 64, 20)):
        images = torch.randn(*shape)
        class_token, patch_tokens = session.run(None, {"images": images.numpy()})
        with torch.no_grad():
            expected = network.tokens(images)
        np.testing.assert_allclose(class_token, expected[:, 0], atol=1e-5)
        np.testing.assert_allclose(patch_tokens, expected[:, 1:], atol=1e-5)
    assert {p.key: p.value for p in onnx.load(path).metadata_props}["swath"] == '{"bands": ["B04"]}'
    with pytest.raises(DataError, match="tokens that differ by"):
        export_graph.difference_onnx(path, VisionTransformer(SHAPE, torch.Generator().manual_seed(4)))


def test_torchscript_of_a_run_brings_its_contract(trained, tmp_path):
    result = swath.export(trained.path, out=tmp_path / "n.pt", format="torchscript")
    assert result.largest_difference < 1e-5
    extra = {"swath": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = torch.jit.load(tmp_path / "n.pt", _extra_files=extra)
    assert json.loads(extra["swath"]) == trained.checkpoint().state["tiles"]
    class_token, patch_tokens = graph(torch.randn(2, 3, 48, 16))
    assert (class_token.shape, patch_tokens.shape) == ((2, 128), (2, 12, 128))


def test_onnx_without_its_extra_names_it_before_anything_is_written(trained, tmp_path, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MachineError, match=r'pip install "swath\[onnx\]"'):
        export_graph.check_onnx_is_there()
    monkeypatch.undo()
    with pytest.raises(UsageError, match=r"--format onnx is read from \.onnx"):
        swath.export(trained.path, out=tmp_path / "n.pt", format="onnx")
