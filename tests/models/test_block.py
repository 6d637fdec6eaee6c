import math

import pytest
import torch

from swath.models.block import Block, attend, attention_maps


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


@pytest.mark.parametrize("dropped", [[], [1], [0, 2], [0, 1, 2]])
def test_a_branch_left_out_is_not_worked_out_and_its_gradient_is_that_of_a_factor_of_0(dropped):
    generator = torch.Generator().manual_seed(0)
    block, tokens = Block(16, 2, hidden=32).double(), torch.randn(3, 5, 16, generator=generator).double()
    factors = torch.full((2, 3), 1.25, dtype=torch.float64)
    factors[:, dropped] = 0
    worked_out = []
    block.attn.register_forward_hook(lambda _m, inputs, _o: worked_out.append(len(inputs[0])))
    skipping = block(tokens, factors)
    assert worked_out == [3 - len(dropped) or 3]
    plain = tokens + factors[0, :, None, None] * block.attn(block.norm1(tokens))
    plain = plain + factors[1, :, None, None] * block.mlp(block.norm2(plain))
    torch.testing.assert_close(skipping, plain)
    direction = torch.randn(3, 5, 16, generator=generator).double()
    ours, theirs = (
        torch.autograd.grad(out, list(block.parameters()), direction) for out in (skipping, plain)
    )
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)
