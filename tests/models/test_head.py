import pytest
import torch
import torch.nn.functional as F
from torch import nn

from swath.models.head import DINOHead, ProjectionHead

# Made with DINOHead(12, 20, hidden_dim=16) of facebookresearch/dino at 7c446df (torch 2.15, CPU), parameters
# and features filled with the waves of conftest.py: first six logits of the third row.
_DINO_LOGITS = [0.224201, -0.12268, 0.019134, 0.084711, -0.187129, 0.286417]


def test_logits_equal_the_recorded_ones_of_facebookresearch_dino(fill, wave):
    logits = fill(DINOHead(12, 20, hidden=16))(wave((3, 12), 0.5))
    assert logits[2, :6].tolist() == pytest.approx(_DINO_LOGITS, abs=1e-6)


def test_logits_and_gradients_equal_torch_weight_normalisation_with_free_lengths():
    head = DINOHead(6, 10, hidden=8, norm_last_layer=False, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        head.last_layer.weight_g.uniform_(0.5, 2.0)
    oracle = nn.utils.parametrizations.weight_norm(nn.Linear(256, 10, bias=False))
    oracle.load_state_dict(
        {"weight_g": head.last_layer.weight_g.detach(), "weight_v": head.last_layer.weight_v.detach()}
    )
    features = torch.randn(4, 6)
    logits = head(features)
    expected = oracle(F.normalize(head.mlp(features), dim=-1))
    torch.testing.assert_close(logits, expected)
    logits.square().sum().backward()
    expected.square().sum().backward()
    lengths, directions = oracle.parametrizations.weight.original0, oracle.parametrizations.weight.original1
    torch.testing.assert_close(head.last_layer.weight_g.grad, lengths.grad)
    torch.testing.assert_close(head.last_layer.weight_v.grad, directions.grad)


def test_parameters_have_the_names_of_facebookresearch_dino_and_lengths_are_frozen_by_default():
    trained = {
        name: parameter.requires_grad for name, parameter in DINOHead(6, 10, hidden=8).named_parameters()
    }
    layers = [f"mlp.{index}.{kind}" for index in (0, 2, 4) for kind in ("weight", "bias")]
    assert trained == dict.fromkeys(layers, True) | {
        "last_layer.weight_g": False,
        "last_layer.weight_v": True,
    }
    assert DINOHead(6, 10, hidden=8, norm_last_layer=False).last_layer.weight_g.requires_grad


def test_logits_of_unit_prototypes_are_cosines_whatever_the_scale_of_the_directions():
    head = DINOHead(6, 10, hidden=8)
    features = torch.randn(50, 6) * 100
    logits = head(features)
    assert logits.abs().max() <= 1 + 1e-6
    with torch.no_grad():
        head.last_layer.weight_v.mul_(7)
    torch.testing.assert_close(head(features), logits)


def test_projections_have_length_1_in_float32_also_under_autocast():
    head = ProjectionHead(6, 5, hidden=8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        projected = head(torch.randn(4, 6))
    assert projected.shape == (4, 5)
    assert projected.dtype == torch.float32
    torch.testing.assert_close(projected.norm(dim=1), torch.ones(4))


@pytest.mark.parametrize("kind", [DINOHead, ProjectionHead])
def test_heads_start_from_the_seed_alone(kind):
    first, again = (kind(6, 10, hidden=8, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert first.mlp[2].weight.std().item() == pytest.approx(0.02, rel=0.3)
    assert (first.mlp[4].bias == 0).all()
