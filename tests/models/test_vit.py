import dataclasses
import json

import pytest
import timm
import torch

from swath.errors import DataError, UsageError
from swath.models.vit import (
    SIZES,
    VisionTransformer,
    ViTShape,
    drop_path_keep,
    drop_path_rates,
    shape_of,
)

SMALL = ViTShape(width=24, depth=3, heads=3, patch_size=4, in_channels=5, image_px=16)


def _random(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def _network(shape=SMALL, seed=0):
    """With positions as large as the rest, so that a wrong position shows."""
    network = VisionTransformer(shape, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        network.pos_embed.copy_(_random(*network.pos_embed.shape, seed=seed + 1))
    return network.eval()


@pytest.mark.parametrize("name", ["vit_tiny", "vit_small", "vit_base"])
@pytest.mark.parametrize("patch", [8, 16])
def test_features_equal_timm_with_the_same_weights_at_its_own_and_at_other_sizes(name, patch):
    depth = 12 if (name, patch) == ("vit_tiny", 16) else 2  # the blocks are alike
    oracle = timm.create_model(
        f"{name}_patch16_224", patch_size=patch, depth=depth, num_classes=0, dynamic_img_size=True
    ).eval()
    with torch.no_grad():
        oracle.pos_embed.copy_(_random(*oracle.pos_embed.shape))
    shape = dataclasses.replace(shape_of(name, patch, in_channels=3, image_px=224), depth=depth)
    network = VisionTransformer(shape)
    network.load_state_dict(oracle.state_dict())
    for height, width in ((224, 224), (96, 96), (64, 240), (256, 32)):
        images = _random(1, 3, height, width)
        with torch.no_grad():
            assert (network(images) - oracle(images)).abs().max() < 1e-5
            assert (network.tokens(images) - oracle.forward_features(images)).abs().max() < 1e-5


# Made with vision_transformer.py of facebookresearch/dino at 7c446df (torch 2.15, CPU), parameters and images
# filled with the waves of conftest.py: first six features of the second image for (height, width).
_DINO_FEATURES = {
    (32, 32): [-1.753708, 0.121941, 1.684061, 0.999415, 1.44268, 0.628192],
    (48, 48): [-1.675775, -0.194383, 1.919166, 0.980458, 1.18518, 0.809338],
    (24, 56): [-1.684138, -0.12061, 1.850057, 1.036081, 1.264249, 0.752953],
}
# Its get_last_selfattention for (24, 56): second image, third head, class token to the first six tokens.
_DINO_ATTENTION = [0.069955, 0.049712, 0.045299, 0.035497, 0.036594, 0.045736]
_DINO_SHAPE = ViTShape(width=12, depth=2, heads=3, patch_size=8, in_channels=2, image_px=32, position="dino")


@pytest.mark.parametrize("size", _DINO_FEATURES)
def test_features_equal_the_recorded_ones_of_facebookresearch_dino(fill, wave, size):
    network = fill(VisionTransformer(_DINO_SHAPE))
    features = network(wave((2, 2, *size), 0.3))
    assert features[1, :6].tolist() == pytest.approx(_DINO_FEATURES[size], abs=1e-5)
    other = fill(VisionTransformer(dataclasses.replace(_DINO_SHAPE, position="timm")))
    differs = (other(wave((2, 2, *size), 0.3)) - features).abs().max()
    assert differs > 1e-3 if size != (32, 32) else differs == 0


def test_attention_maps_equal_the_recorded_ones_of_facebookresearch_dino(fill, wave):
    maps = fill(VisionTransformer(_DINO_SHAPE)).attention(wave((2, 2, 24, 56), 0.3))
    assert maps.shape == (2, 3, 22, 22)
    assert maps[1, 2, 0, :6].tolist() == pytest.approx(_DINO_ATTENTION, abs=1e-5)
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(2, 3, 22))


def test_parameters_have_the_names_and_sizes_of_timm():
    oracle = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    network = VisionTransformer(shape_of("vit_tiny", 16, in_channels=3, image_px=224))
    assert {n: p.shape for n, p in network.named_parameters()} == {
        n: p.shape for n, p in oracle.named_parameters()
    }


@pytest.mark.parametrize("with_keep", [False, True])
def test_the_class_token_alone_gives_the_same_features_and_gradients_as_all_tokens(with_keep):
    keep = drop_path_keep(dataclasses.replace(SMALL, drop_path=0.5), torch.rand(4, 6)) if with_keep else None
    images, weights = _random(4, 5, 16, 24), _random(4, 24, seed=9)
    gradients = []
    for features_of in (lambda n: n(images, keep), lambda n: n.tokens(images, keep)[:, 0]):
        network = _network()
        (features_of(network) * weights).sum().backward()
        gradients.append({name: parameter.grad for name, parameter in network.named_parameters()})
    with torch.no_grad():
        torch.testing.assert_close(_network()(images, keep), _network().tokens(images, keep)[:, 0])
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-5, msg=name)


def test_last_tokens_are_those_of_networks_cut_short():
    network, images = _network(), _random(2, 5, 16, 16)
    taken = network.last_tokens(images, 2)
    torch.testing.assert_close(taken[1], network.tokens(images))
    shorter = VisionTransformer(dataclasses.replace(SMALL, depth=2))
    shorter.load_state_dict(network.state_dict(), strict=False)
    torch.testing.assert_close(taken[0], shorter.tokens(images))
    for n in (0, 4):
        with pytest.raises(UsageError, match=f"the last {n} blocks .* the network has 3"):
            network.last_tokens(images, n)


def test_keep_leaves_out_and_scales_single_branches_of_single_images():
    network, images = _network(), _random(2, 5, 16, 16)
    keep = torch.ones(3, 2, 2)
    keep[1, 0, 1] = 0.0  # attention of block 1 for image 1
    keep[2, 1, 1] = 2.0  # perceptron of block 2 for image 1
    features = network(images, keep)
    torch.testing.assert_close(features[0], network(images)[0])
    altered = _network()
    with torch.no_grad():
        for parameter in altered.blocks[1].attn.proj.parameters():
            parameter.zero_()
        for parameter in altered.blocks[2].mlp.fc2.parameters():
            parameter.mul_(2)
    torch.testing.assert_close(features[1], altered(images)[1])


def test_drop_path_rises_linearly_and_keeps_the_mean():
    shape = dataclasses.replace(SMALL, drop_path=0.4)
    torch.testing.assert_close(drop_path_rates(shape), torch.tensor([0.0, 0.2, 0.4]))
    draws = torch.rand(20_000, 6, generator=torch.Generator().manual_seed(0))
    keep = drop_path_keep(shape, draws)
    assert keep.shape == (3, 2, 20_000)
    assert [sorted(set(block.unique().tolist())) for block in keep] == [
        [1.0], [0.0, 1.25], pytest.approx([0.0, 1 / 0.6])
    ]  # fmt: skip
    torch.testing.assert_close(keep.mean(dim=2), torch.ones(3, 2), atol=0.03, rtol=0)
    assert keep[2, 1, 7] == (draws[7, 5] >= 0.4) / 0.6  # a branch has its own column, a row is one image


def test_a_network_starts_as_dino_does_and_from_the_seed_alone():
    shape = shape_of("vit_tiny", 16, in_channels=12, image_px=64)
    first, again, other = (VisionTransformer(shape, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(first.patch_embed.proj.weight, other.patch_embed.proj.weight)
    for name, parameter in first.named_parameters():
        if "patch_embed" in name:
            bound = (12 * 16 * 16) ** -0.5
            assert bound * 0.9 < parameter.abs().max() <= bound
        elif "norm" in name:
            assert (parameter == float(name.endswith("weight"))).all()
        elif name.endswith("bias"):
            assert (parameter == 0).all()
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.2)


def test_autocast_computes_in_bfloat16_and_gives_float32_features_near_the_exact_ones():
    network, images = _network(), _random(2, 5, 16, 24)
    with torch.no_grad():
        exact = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            features = network(images)
    assert features.dtype == torch.float32
    assert 1e-5 < (features - exact).abs().max() < 0.1


def test_images_that_do_not_fit_are_refused_with_both_sizes():
    network = _network()
    with pytest.raises(UsageError, match="images have 3 bands; the network takes 5"):
        network(_random(1, 3, 16, 16))
    with pytest.raises(UsageError, match=r"16 px high, 18 px wide; .* multiples of the patch \(4\)"):
        network(_random(1, 5, 16, 18))


def test_a_shape_survives_json():
    shape = dataclasses.replace(SMALL, position="dino", drop_path=0.1, mlp_ratio=3.0)
    assert ViTShape.from_json(json.loads(json.dumps(shape.to_json()))) == shape
    with pytest.raises(DataError, match=r"not the shape of a network .*registers"):
        ViTShape.from_json(shape.to_json() | {"registers": 4})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 5}, "width 24 does not divide into 5 heads"),
        ({"image_px": 18}, "image_px 18 is not a multiple of patch_size 4"),
        ({"depth": 0}, "depth is 0"),
        ({"position": "rope"}, 'position is "rope"; choose timm or dino'),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
        ({"mlp_ratio": 0.0}, "mlp_ratio 0.0"),
    ],
)
def test_an_impossible_shape_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(SMALL, **change)


def test_named_sizes_are_those_of_the_field_and_a_wrong_name_gets_the_nearest():
    shape = shape_of("vit_micro", 4, in_channels=13, image_px=32, drop_path=0.1)
    assert (shape.width, shape.depth, shape.heads, shape.side, shape.drop_path) == (128, 4, 2, 8, 0.1)
    assert all(width // heads == 64 for width, _, heads in SIZES.values())
    with pytest.raises(UsageError, match=r'no model "vit_smal".* Did you mean "vit_small"'):
        shape_of("vit_smal", 16, in_channels=3, image_px=224)
