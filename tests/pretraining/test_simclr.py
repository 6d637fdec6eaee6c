"""The contrastive loss against plain loops."""

import math

import pytest
import torch
import torch.nn.functional as F

from swath.pretraining.simclr import contrastive_loss, local_loss


def looped_loss(rows, temperature):
    count, total = len(rows), 0.0
    for i in range(count):
        partner = (i + count // 2) % count
        others = [j for j in range(count) if j != i]
        weights = [math.exp(float(rows[i] @ rows[j]) / temperature) for j in others]
        total -= math.log(math.exp(float(rows[i] @ rows[partner]) / temperature) / sum(weights))
    return total / count


def test_the_loss_equals_plain_loops():
    rows = F.normalize(
        torch.randn(12, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64), dim=1
    )
    loss, _ = contrastive_loss(rows, temperature=0.2)
    assert loss.item() == pytest.approx(looped_loss(rows, 0.2), rel=1e-12)


def test_partners_that_agree_are_found():
    views = F.normalize(torch.eye(6).repeat(2, 1), dim=1)
    loss, hit_rate = contrastive_loss(views, temperature=0.05)
    assert hit_rate.item() == 1.0
    assert loss.item() < 1e-6


def test_strangers_are_found_no_more_often_than_by_chance():
    rows = F.normalize(torch.randn(400, 32, generator=torch.Generator().manual_seed(1)), dim=1)
    loss, hit_rate = contrastive_loss(rows, temperature=0.2)
    assert hit_rate.item() < 0.02
    assert loss.item() > math.log(399) - 0.5


def test_the_loss_of_local_views_is_that_of_a_plain_loop():
    generator = torch.Generator().manual_seed(2)
    locals_ = F.normalize(torch.randn(3, 5, 8, generator=generator), dim=-1)
    globals_ = F.normalize(torch.randn(2, 5, 8, generator=generator), dim=-1)
    losses = []
    for view in locals_:
        for keys in globals_:
            for tile, row in enumerate(view):
                odds = [math.exp(float(row @ key) / 0.2) for key in keys]
                losses.append(-math.log(odds[tile] / sum(odds)))
    found = local_loss(locals_, globals_, temperature=0.2)
    assert float(found) == pytest.approx(sum(losses) / len(losses), rel=1e-5)
