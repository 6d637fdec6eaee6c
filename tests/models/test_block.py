import math

import pytest
import torch

from swath.models.block import attend, attention_maps


def _heads(tokens, dtype=torch.float32, seed=0):
    """Queries, keys and values (2, 3, tokens, 8)."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, tokens, 8, generator=generator).to(dtype) for _ in range(3)]


def test_attention_equals_plain_loops():
    queries, keys, values = _heads(4)
    gathered, maps = attend(queries, keys, values), attention_maps(queries, keys)
    for image in range(2):
        for head in range(3):
            for token in range(4):
                scores = [
                    math.exp(float(queries[image, head, token] @ keys[image, head, other]) / math.sqrt(8))
                    for other in range(4)
                ]
                shares = torch.tensor(scores) / sum(scores)
                torch.testing.assert_close(maps[image, head, token], shares)
                expected = sum(shares[other] * values[image, head, other] for other in range(4))
                torch.testing.assert_close(gathered[image, head, token], expected)


@pytest.mark.parametrize("tokens", [17, 256, 257])
def test_bfloat16_attention_and_its_gradients_stay_near_float32_in_plain_steps_and_in_the_kernel(tokens):
    gradients = {}
    for dtype in (torch.float32, torch.bfloat16):
        heads = [part.requires_grad_() for part in _heads(tokens, dtype)]
        gathered = attend(*heads)
        gathered.float().square().sum().backward()
        gradients[dtype] = [gathered.detach().float(), *(part.grad.float() for part in heads)]
    for exact, rounded in zip(gradients[torch.float32], gradients[torch.bfloat16], strict=True):
        assert (exact - rounded).norm() / exact.norm() < 0.03
