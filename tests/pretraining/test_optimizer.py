"""Parameter groups and clipping as facts about the reference say."""

import torch
from torch import nn

from swath.models.head import DINOHead
from swath.models.vit import VisionTransformer, shape_of
from swath.pretraining.method import Network
from swath.pretraining.optimizer import build_optimizer, clip_each, set_rates


def test_a_small_vit_has_55_decayed_and_102_other_tensors():
    shape = shape_of("vit_small", 16, in_channels=3, image_px=224)
    with torch.device("meta"):
        student = Network(VisionTransformer(shape), DINOHead(384, 1024))
    decayed, kept = (group["params"] for group in build_optimizer(student).param_groups)
    assert (len(decayed), len(kept)) == (55, 102)
    assert any(p is student.backbone.pos_embed for p in decayed)
    assert any(p is student.backbone.cls_token for p in decayed)


def test_weight_decay_reaches_the_first_group_alone():
    optimizer = build_optimizer(nn.Linear(3, 2))
    set_rates(optimizer, lr=0.5, weight_decay=0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.25, 0.0]


def test_every_tensor_is_clipped_on_its_own():
    generator = torch.Generator().manual_seed(0)
    parameters = [nn.Parameter(torch.zeros(4, 4)) for _ in range(3)]
    for scale, parameter in zip((0.1, 10.0, 100.0), parameters, strict=True):
        parameter.grad = torch.randn(4, 4, generator=generator) * scale
    before = [p.grad.clone() for p in parameters]
    norm = clip_each(parameters, 3.0)
    for old, parameter in zip(before, parameters, strict=True):
        length = old.norm().item()
        factor = min(1.0, 3.0 / (length + 1e-6))
        torch.testing.assert_close(parameter.grad, old * factor)
    torch.testing.assert_close(norm, torch.cat([g.flatten() for g in before]).norm())


def test_no_limit_leaves_gradients_alone():
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([300.0, 400.0])
    assert clip_each([parameter], 0.0).item() == 500.0
    assert parameter.grad.tolist() == [300.0, 400.0]
