"""Weights as users download them: facebookresearch/dino's and timm's layout, red, green and blue."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from swath.config import LadderConfig
from swath.data.bands import BandGroup, TileFormat
from swath.data.writer import TileWriter
from swath.errors import DataError, UsageError
from swath.features.content import Content
from swath.models.vit import VisionTransformer, ViTShape
from swath.transfer.ladder import run
from swath.transfer.photographs import photographic

SHAPE = ViTShape(width=192, depth=2, heads=3, patch_size=8, in_channels=3, image_px=32)


@pytest.fixture
def weights(tmp_path):
    """A training checkpoint as main_dino.py writes it, of a network that was never trained."""
    network = VisionTransformer(SHAPE, generator=torch.Generator().manual_seed(0))
    teacher = {f"backbone.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save(
        {"teacher": teacher | {"head.mlp.0.weight": torch.ones(2, 2)}, "epoch": 3}, tmp_path / "dino.pth"
    )
    return tmp_path / "dino.pth", network


def pack(path, bands, *, count=60):
    rng = np.random.default_rng(0)
    group = BandGroup(bands, 16, "uint8")
    n = len(bands)
    tiles = TileFormat(bands, (group,), 10.0, (0.0,) * n, (255.0,) * n, mean=(0.4,) * n, std=(0.2,) * n)
    columns = pa.table(
        {
            "id": [str(i) for i in range(count)],
            "split": ["test" if i % 3 == 0 else "train" for i in range(count)],
            "labels": [["a"] if i % 2 else ["b"] for i in range(count)],
        }
    )
    pixels = rng.integers(0, 255, (count, n, 16, 16)).astype(np.uint8)
    with TileWriter(path, groups=(group,), info={}) as writer:
        writer.append(columns, [pixels])
        writer.finish(tiles, vocabulary=("a", "b"), task="class", index_digest="feed")
    return path, pixels


def test_red_green_and_blue_are_found_by_name_and_standardised_as_photographs(weights, tmp_path):
    path, network = weights
    _, pixels = pack(tmp_path / "tiles.lance", ("B02", "B08", "B03", "B04"))
    maker = photographic(path, content=Content("cls", 1))
    given = TileFormat(
        ("B02", "B08", "B03", "B04"), (BandGroup(("B02", "B08", "B03", "B04"), 16, "uint8"),), 10.0,
        (0.0,) * 4, (255.0,) * 4, (0.4,) * 4, (0.2,) * 4,
    )  # fmt: skip
    found = maker.features([torch.from_numpy(pixels[:3])], given)
    rgb = torch.from_numpy(pixels[:3][:, [3, 2, 0]]).float() / 255
    large = torch.nn.functional.interpolate(rgb, size=(32, 32), mode="bicubic", antialias=True).clamp(0, 1)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    network.eval()
    maker_mode = VisionTransformer(maker.network.shape)
    maker_mode.load_state_dict(network.state_dict())
    with torch.no_grad():
        expected = maker_mode((large - mean) / std)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_given_weights_are_a_rung_with_an_untrained_network_of_their_shape(weights, tmp_path):
    tiles, _ = pack(tmp_path / "tiles.lance", ("red", "green", "blue"))
    found = run(
        LadderConfig(tiles=tiles, weights=(weights[0],), probes=("knn",), label_fraction=(1.0,), rounds=100)
    )
    assert [rung["name"] for rung in found.rungs][2:] == ["untrained ViT", "dino"]
    assert {rung["scale"] for rung in found.rungs[2:]} == {"photo"}
    assert found.rungs[-1]["bands"] == ["red", "green", "blue"]


def test_the_network_alone_under_the_names_of_timm_is_the_same_network(weights, tmp_path):
    """As dino_deitsmall16_pretrain.pth holds it, and as timm does with a classifier beside it."""
    path, network = weights
    named = network.state_dict()
    torch.save(named, tmp_path / "bare.pth")
    torch.save(named | {"head.weight": torch.ones(9, 192), "head.bias": torch.ones(9)}, tmp_path / "timm.pth")
    expected = photographic(path, content=Content()).network.state_dict()
    for name in ("bare.pth", "timm.pth"):
        found = photographic(tmp_path / name, content=Content()).network.state_dict()
        assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_tiles_without_colours_and_weights_of_many_bands_are_refused(weights, tmp_path):
    tiles, _ = pack(tmp_path / "tiles.lance", ("VV", "VH", "ratio"))
    with pytest.raises(
        DataError, match=r"bands VV,VH,ratio; weights of photographs need red, green and blue"
    ):
        run(LadderConfig(tiles=tiles, weights=(weights[0],), rounds=100))
    wide = VisionTransformer(ViTShape(192, 1, 3, 8, in_channels=12, image_px=16))
    torch.save(wide.state_dict(), tmp_path / "wide.pth")
    with pytest.raises(UsageError, match=r"sees 12 bands; --weights takes those of photographs"):
        photographic(tmp_path / "wide.pth", content=Content())
