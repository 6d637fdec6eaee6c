import torch

from swath.models.precision import computing_in
from swath.models.vit import VisionTransformer, shape_of


def _network():
    shape = shape_of("vit_micro", 8, in_channels=3, image_px=16)
    return VisionTransformer(shape, generator=torch.Generator().manual_seed(0))


def _images():
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_float32_is_the_network_itself():
    network = _network()
    assert computing_in(torch.float32, network) is network


def test_products_are_in_bfloat16_and_tokens_norms_and_gradients_in_float32():
    network, seen = _network(), {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda _m, _i, output, name=name: seen.update({name: output.dtype}))
    features = computing_in(torch.bfloat16, network)(_images())
    features.square().sum().backward()
    assert seen["blocks.1.attn.qkv"] == seen["blocks.1.mlp.fc2"] == torch.bfloat16
    assert seen["blocks.1"] == seen["blocks.1.norm1"] == features.dtype == torch.float32
    assert {parameter.grad.dtype for parameter in network.parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_the_gradient_of_every_tensor_stays_near_that_of_float32():
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        network = _network()
        direction = torch.randn(4, 128, generator=torch.Generator().manual_seed(2))
        (computing_in(dtype, network)(_images()) * direction).sum().backward()
        gradients.append({name: p.grad for name, p in network.named_parameters()})
    exact, rounded = gradients
    for name, gradient in exact.items():
        if name.endswith(
            "qkv.bias"
        ):  # that of the keys is rounding noise: a constant does not move a softmax
            continue
        assert (rounded[name] - gradient).norm() < 0.03 * gradient.norm(), name
