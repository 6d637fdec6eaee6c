"""The network as one graph says what the network says, at every size, in both modes of positions."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from swath.models.portable import PortableViT, cubic_weights
from swath.models.position import resample_positions
from swath.models.vit import VisionTransformer, ViTShape

SHAPE = ViTShape(width=16, depth=2, heads=2, patch_size=4, in_channels=3, image_px=28)


@pytest.mark.parametrize("mode", ["timm", "dino"])
@pytest.mark.parametrize("grid", [(7, 7), (7, 5), (3, 14), (1, 20), (9, 7)])
def test_the_graph_equals_the_network_at_any_grid(mode, grid):
    network = VisionTransformer(replace(SHAPE, position=mode), torch.Generator().manual_seed(0)).eval()
    images = torch.randn(2, 3, grid[0] * 4, grid[1] * 4)
    with torch.no_grad():
        class_token, patch_tokens = PortableViT(network)(images)
        expected = network.tokens(images)
    np.testing.assert_allclose(class_token, expected[:, 0], atol=1e-5)
    np.testing.assert_allclose(patch_tokens, expected[:, 1:], atol=1e-5)


@pytest.mark.parametrize("mode", ["timm", "dino"])
def test_weights_written_out_are_those_of_torch(mode):
    positions = torch.randn(1, 1 + 5 * 5, 8)
    beyond = torch.arange(-2, 7).clamp(0, 4)
    edges = torch.nn.functional.one_hot(beyond, 5).float()
    for rows, columns in ((3, 11), (6, 4), (1, 2)):
        expected = resample_positions(positions, (rows, columns), mode)[0, 1:]
        by_rows, by_columns = (cubic_weights(n, torch.arange(5.0), edges, mode) for n in (rows, columns))
        found = torch.einsum("rs,std,lt->rld", by_rows, positions[0, 1:].view(5, 5, 8), by_columns)
        np.testing.assert_allclose(found.flatten(0, 1), expected, atol=1e-5)
