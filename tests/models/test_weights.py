import dataclasses
import json
import logging
import pickle
import struct

import pytest
import torch

from swath.errors import DataError
from swath.models.position import resample_positions
from swath.models.vit import VisionTransformer, ViTShape
from swath.models.weights import load_backbone, load_weights, read_metadata, save_weights

SHAPE = ViTShape(width=16, depth=2, heads=2, patch_size=4, in_channels=3, image_px=16)


def _network(shape=SHAPE, seed=0):
    return VisionTransformer(shape, torch.Generator().manual_seed(seed))


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(path, _network().state_dict(), {"vit": json.dumps(SHAPE.to_json())})
    return path


def test_weights_and_metadata_come_back_equal(saved):
    tensors = load_weights(saved)
    expected = _network().state_dict()
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    assert ViTShape.from_json(json.loads(read_metadata(saved)["vit"])) == SHAPE


def test_views_of_other_tensors_are_saved_as_they_look(tmp_path):
    table = torch.arange(6.0).reshape(2, 3)
    save_weights(tmp_path / "w.SAFETENSORS", {"turned": table.T})
    assert torch.equal(load_weights(tmp_path / "w.SAFETENSORS")["turned"], table.T)
    assert read_metadata(tmp_path / "w.SAFETENSORS") == {}


def _header(text, data=b""):
    return struct.pack("<Q", len(text)) + text + data


_ONE = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
DAMAGED = {
    "empty": (b"", r"is empty \(0 bytes\)"),
    "half a length": (b"\x08\x00\x00", "not a whole safetensors file"),
    "header of 2^40 bytes": (struct.pack("<Q", 2**40) + b"{}", "not a whole safetensors file"),
    "bad JSON": (_header(b"{nonsense"), "not a whole safetensors file"),
    "truncated": (_header(_ONE, b"\0" * 5), "not a whole safetensors file"),
    "trailing bytes": (_header(_ONE, b"\0" * 9), "not a whole safetensors file"),
    "negative offset": (
        _header(_ONE.replace(b"[0,8]", b"[-8,0]"), b"\0" * 8),
        "not a whole safetensors file",
    ),
    "offsets past the end": (
        _header(_ONE.replace(b"[0,8]", b"[8,16]"), b"\0" * 8),
        "not a whole safetensors file",
    ),
    "overlapping offsets": (
        _header(_ONE[:-1] + b"," + _ONE[1:].replace(b"a", b"b", 1).replace(b"[0,8]", b"[4,12]"), b"\0" * 12),
        "not a whole safetensors file",
    ),
    "2^62 numbers": (
        _header(_ONE.replace(b"[2]", b"[4611686018427387904,4]"), b"\0" * 8),
        "not a whole safetensors file",
    ),
    "other shape": (_header(_ONE.replace(b"[2]", b"[3]"), b"\0" * 8), "not a whole safetensors file"),
    "pickle": (pickle.dumps({"a": 1}), "is not safetensors but a pickle; .* swath import "),
    "zip of torch.save": (b"PK\x03\x04rest", "is not safetensors but a pickle"),
    "web page": (b"\n<!DOCTYPE html><html>", "is a web page"),
}


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("read", [load_weights, read_metadata])
def test_a_damaged_file_gets_one_line_with_the_reason(tmp_path, kind, read):
    content, message = DAMAGED[kind]
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_cut_file_of_real_weights_is_refused(saved):
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(DataError, match="not a whole safetensors file"):
        load_weights(saved)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"w\.safetensors: no such file"):
        load_weights(tmp_path / "w.safetensors")


def test_values_that_are_not_finite_are_refused_and_counted(tmp_path):
    tensors = _network().state_dict()
    tensors["blocks.1.attn.qkv.weight"][:2, :3] = float("nan")
    tensors["norm.bias"][0] = float("inf")
    save_weights(tmp_path / "w.safetensors", tensors)
    expected = r"holds 6 values that are not finite in blocks.1.attn.qkv.weight and 1 more tensors; refused"
    with pytest.raises(DataError, match=expected):
        load_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.backbone.", "student.module.backbone."])
def test_wrapped_names_and_heads_do_not_matter(prefix):
    source, target = _network(seed=1), _network(seed=2)
    tensors = {prefix + name: tensor for name, tensor in source.state_dict().items()}
    report = load_backbone(target, tensors | {"head.mlp.0.weight": torch.zeros(2)})
    assert (len(report.matched), report.missing) == (len(tensors), ())
    assert report.unexpected == ("head.mlp.0.weight",)
    images = torch.randn(1, 3, 16, 16)
    assert torch.equal(source(images), target(images))


@pytest.mark.parametrize("mode", ["timm", "dino"])
def test_positions_of_another_grid_are_resampled_and_it_is_said(caplog, mode):
    source = _network(dataclasses.replace(SHAPE, image_px=32))
    target = _network(dataclasses.replace(SHAPE, position=mode))
    with caplog.at_level(logging.INFO):
        load_backbone(target, source.state_dict())
    assert f"positions resampled from 8 x 8 to 4 x 4 tokens, mode {mode}" in caplog.text
    assert torch.equal(target.pos_embed, resample_positions(source.pos_embed, (4, 4), mode))


def test_weights_of_another_network_are_refused_with_both_sides_and_nothing_is_copied():
    target = _network(ViTShape(width=24, depth=3, heads=3, patch_size=8, in_channels=12, image_px=16))
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(DataError) as caught:
        load_backbone(target, _network().state_dict())
    assert str(caught.value).startswith(
        "weights are a ViT/4 16 wide and 2 deep in 3 bands; "
        "the network is a ViT/8 24 wide and 3 deep in 12 bands. "
        "cls_token is 1x1x16, not 1x1x24; pos_embed is 1x17x16, not 1x5x24; "
    )
    assert "and 25 more." in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in target.state_dict().items())


def test_a_deeper_network_is_refused_though_every_tensor_fits():
    deeper = _network(dataclasses.replace(SHAPE, depth=3))
    with pytest.raises(DataError, match=r"3 deep in 3 bands; the network is a ViT/4 16 wide and 2 deep"):
        load_backbone(_network(), deeper.state_dict())


def test_one_tensor_of_another_size_is_named():
    tensors = _network().state_dict() | {"norm.weight": torch.ones(17), "pos_embed": torch.ones(1, 16, 16)}
    with pytest.raises(DataError, match=r"pos_embed is 1x16x16, not 1x17x16; norm.weight is 17, not 16"):
        load_backbone(_network(), tensors)


def test_missing_tensors_are_refused_unless_allowed():
    tensors = _network(seed=1).state_dict()
    del tensors["norm.weight"], tensors["norm.bias"]
    with pytest.raises(DataError, match=r"lack 2 of the 30 tensors of the network: norm.weight, norm.bias"):
        load_backbone(_network(), tensors)
    report = load_backbone(_network(), tensors, allow_missing=True)
    assert report.missing == ("norm.weight", "norm.bias")


@pytest.mark.parametrize("allow_missing", [False, True])
def test_weights_with_nothing_in_common_are_always_refused(allow_missing):
    with pytest.raises(DataError, match=r"lack 30 of the 30 tensors .* they hold head.weight\."):
        load_backbone(_network(), {"head.weight": torch.ones(3)}, allow_missing=allow_missing)


def test_parts_that_would_change_the_result_are_refused():
    tensors = _network().state_dict() | {"blocks.0.ls1.gamma": torch.ones(16)}
    with pytest.raises(DataError, match=r"hold blocks.0.ls1.gamma, which this network lacks"):
        load_backbone(_network(), tensors, allow_missing=True)


def test_weights_of_two_networks_in_one_file_are_refused():
    tensors = {f"{who}.norm.bias": torch.zeros(16) for who in ("student", "teacher")}
    with pytest.raises(DataError, match=r"norm.bias twice, as teacher.norm.bias too"):
        load_backbone(_network(), tensors)
