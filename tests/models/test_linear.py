"""The linear map by oneDNN against torch's own, forward and backward."""

import pytest
import torch
import torch.nn.functional as F

from swath.models.linear import GeluLinear, Linear, linear

FORMATS = [torch.float32, torch.bfloat16, torch.float64]


def _random(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype).requires_grad_()


def _gradients(y, *inputs):
    direction = torch.randn(y.shape, generator=torch.Generator().manual_seed(9)).to(y.dtype)
    return torch.autograd.grad(y, inputs, direction)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("shape", [(5, 12), (2, 3, 5, 12)])
def test_the_product_and_its_gradients_are_those_of_torch(dtype, shape):
    x, weight, bias = _random(*shape, dtype=dtype), _random(7, 12, dtype=dtype), _random(7, dtype=dtype)
    ours, theirs = linear(x, weight, bias), F.linear(x, weight, bias)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(
        _gradients(ours, x, weight, bias), _gradients(theirs, x, weight, bias), strict=True
    ):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("dtype", FORMATS)
def test_gelu_and_product_in_one_are_those_in_turn(dtype):
    layer = GeluLinear(12, 7).to(dtype)
    x = _random(2, 5, 12, dtype=dtype)
    inputs = (x, layer.weight, layer.bias)
    ours, theirs = layer(x), F.linear(F.gelu(x), layer.weight, layer.bias)
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(_gradients(ours, *inputs), _gradients(theirs, *inputs), strict=True):
        torch.testing.assert_close(mine, other)


def test_inputs_take_the_format_of_the_weights_and_their_gradient_keeps_its_own():
    x, weight = _random(5, 12), _random(7, 12, dtype=torch.bfloat16)
    y = linear(x, weight)
    assert y.dtype == torch.bfloat16
    assert _gradients(y, x)[0].dtype == torch.float32


def test_an_exported_graph_holds_torchs_own_product():
    network = torch.nn.Sequential(Linear(12, 7), GeluLinear(7, 3))
    exported = torch.export.export(network, (torch.zeros(2, 12),))
    called = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert {"aten.linear.default", "aten.gelu.default"} <= called
    assert not any("mkldnn" in name for name in called)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # torch says so whenever the flags are set
def test_products_are_torchs_own_where_onednn_is_switched_off():
    x, weight = _random(5, 12), _random(7, 12)
    with torch.backends.mkldnn.flags(enabled=False), torch.profiler.profile() as profiled:
        linear(x, weight)
    assert not any("mkldnn" in event.key for event in profiled.key_averages())
