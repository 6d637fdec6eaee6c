"""Weights out: timm and the reference's own loading find every tensor and give equal features."""

import pytest
import timm
import torch

import swath
from swath.errors import UsageError
from swath.models.vit import VisionTransformer, ViTShape, shape_of
from swath.runtime.run import Run


@pytest.fixture(scope="module")
def trained(packed, tmp_path_factory):
    """Two steps of DINO on the small archive."""
    return swath.pretrain(
        packed, out=tmp_path_factory.mktemp("trained") / "run", model="vit_micro", patch_size=8, steps=2,
        method="dino", batch_size=4, local_views=1, local_px=16, out_dim=32, monitor_every=0,
    )  # fmt: skip


def _network(run: Run):
    checkpoint = run.checkpoint()
    network = VisionTransformer(ViTShape.from_json(checkpoint.state["vit"]))
    tensors = checkpoint.tensors["teacher"]
    network.load_state_dict({n.removeprefix("backbone."): t for n, t in tensors.items() if "backbone." in n})
    return network.eval()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_timm_loads_the_file_and_gives_equal_features(trained, tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    result = swath.export(trained.path, out=path, format="timm")
    network = _network(trained)
    shape = network.shape
    model = timm.create_model(
        "vit_tiny_patch16_224", num_classes=0, checkpoint_path=str(path), img_size=shape.image_px,
        patch_size=8, embed_dim=128, depth=4, num_heads=2,
    ).eval()  # fmt: skip
    images = torch.randn(3, 3, shape.image_px, shape.image_px)
    with torch.no_grad():
        assert float((model(images) - network(images)).abs().max()) < 1e-5
    assert (result.compared_with, result.in_chans) == ("timm", 3)
    assert result.largest_difference < 1e-5
    assert f'checkpoint_path="{path}"' in result.network


def _as_the_reference_loads(path, network):
    """facebookresearch/dino utils.load_pretrained_weights: the key, prefixes anywhere, strict=False."""
    tensors = torch.load(path, map_location="cpu")["teacher"]
    tensors = {name.replace("module.", "").replace("backbone.", ""): t for name, t in tensors.items()}
    return network.load_state_dict(tensors, strict=False)


def test_the_reference_loads_a_checkpoint_with_nothing_missing(trained, tmp_path):
    result = swath.export(trained.path, out=tmp_path / "checkpoint.pth", format="dino")
    network = _network(trained)
    fresh = VisionTransformer(network.shape).eval()
    message = _as_the_reference_loads(tmp_path / "checkpoint.pth", fresh)
    assert message.missing_keys == []
    assert all(name.startswith("head.") for name in message.unexpected_keys)
    images = torch.randn(3, 3, network.shape.image_px, network.shape.image_px)
    assert torch.equal(fresh(images), network(images))
    assert result.largest_difference == 0.0


def test_a_checkpoint_has_the_names_of_the_reference(trained, tmp_path):
    swath.export(trained.path, out=tmp_path / "checkpoint.pth", format="dino")
    content = torch.load(tmp_path / "checkpoint.pth", map_location="cpu")
    assert {"student", "teacher", "optimizer", "epoch", "args", "dino_loss"} <= set(content)
    assert "module.backbone.blocks.0.attn.qkv.weight" in content["student"]
    assert content["teacher"]["head.last_layer.weight_g"].shape == (32, 1)
    assert content["dino_loss"]["center"].shape == (1, 32)
    decayed, kept = content["optimizer"]["param_groups"]
    trained_names = [n for n in content["student"] if not n.endswith("weight_g")]
    assert len(decayed["params"]) + len(kept["params"]) == len(trained_names)
    assert kept["weight_decay"] == 0.0


def test_positions_are_resampled_for_scripts_that_build_224_px(trained, tmp_path):
    swath.export(trained.path, out=tmp_path / "w.pth", format="dino", image_px=224)
    fresh = VisionTransformer(shape_of("vit_micro", 8, in_channels=3, image_px=224))
    assert _as_the_reference_loads(tmp_path / "w.pth", fresh).missing_keys == []


def test_an_exported_file_brings_its_preprocessing_back(trained, packed, tmp_path):
    swath.export(trained.path, out=tmp_path / "w.safetensors", format="timm")
    back = swath.import_weights(tmp_path / "w.safetensors", out=tmp_path / "run")
    state = trained.checkpoint().state["tiles"]
    assert Run.open(tmp_path / "run").checkpoint().state["tiles"] == state
    assert list(back.mean) == state["mean"]
    first = swath.embed(trained.path, packed, out=tmp_path / "a.parquet")
    second = swath.embed(tmp_path / "run", packed, out=tmp_path / "b.parquet")
    assert first.tiles == second.tiles


def test_other_than_three_bands_go_out_and_are_said(tmp_path, caplog):
    from swath.models.weights import save_weights

    save_weights(tmp_path / "w.safetensors", VisionTransformer(_four()).state_dict(), {"swath": _contract()})
    swath.import_weights(tmp_path / "w.safetensors", out=tmp_path / "run")
    with caplog.at_level("INFO", logger="swath"):
        result = swath.export(tmp_path / "run", out=tmp_path / "timm.pth", format="timm")
    assert "4 bands: the other program must be told in_chans=4" in caplog.text
    assert (result.in_chans, result.largest_difference < 1e-5) == (4, True)
    again = swath.export(tmp_path / "run", out=tmp_path / "dino.pth", format="dino")
    assert "in_chans=4" in again.network


def _four():
    return shape_of("vit_micro", 8, in_channels=4, image_px=32)


def _contract():
    import json

    bands, four = ["B02", "B03", "B04", "B08"], [0.0] * 4
    return json.dumps(
        {
            "bands": bands, "groups": [{"bands": bands, "size_px": 32, "dtype": "uint16"}], "gsd_m": 10.0,
            "low": four, "high": [10_000.0] * 4, "mean": [0.2] * 4, "std": [0.1] * 4,
        }
    )  # fmt: skip


def test_a_suffix_that_the_other_program_does_not_read_is_refused(trained, tmp_path):
    with pytest.raises(UsageError, match=r"--format dino is read from \.pth"):
        swath.export(trained.path, out=tmp_path / "w.safetensors", format="dino")
