"""The contrastive loss against plain loops."""

import math

import pytest
import torch
import torch.nn.functional as F

from swath.pretraining.simclr import contrastive_loss


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


def test_autocast_does_not_round_the_loss():
    rows = F.normalize(torch.randn(32, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    exact, _ = contrastive_loss(rows, temperature=0.2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, _ = contrastive_loss(rows, temperature=0.2)
    assert ours.item() == exact.item()
