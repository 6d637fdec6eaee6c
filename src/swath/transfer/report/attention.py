"""Where the network looks: attention of the class token to the patches, one map a head, for a few tiles.

Shapes: B tiles, h heads, n tokens a side, N = n * n.
"""

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from swath.data.normalize import standardize
from swath.features.backbone import FrozenBackbone
from swath.pages.markup import Markup, element, join
from swath.pages.page import Section, missing
from swath.pages.pictures import Display, Rgb, tile_figure

TILES = 6
_FEWEST_TOKENS = 16  # a side: smaller grids are too coarse to see where the network looks
_MAP_PX = 112
_MOST_HEADS = 6


@dataclass(frozen=True)
class Looks:
    """A tile in true colours, and its maps: the mean of the heads first."""

    tile: Rgb
    maps: list[Rgb]


@torch.inference_mode()
def look(backbone: FrozenBackbone, unit: Tensor, display: Display) -> list[Looks]:
    """Maps of tiles (B, C, H, W) in [0, 1]; small tiles are enlarged, positions with them, for finer maps."""
    network = backbone.network
    side = max(network.shape.side, _FEWEST_TOKENS)
    size = (side * network.shape.patch_size, side * network.shape.patch_size)
    images = F.interpolate(unit, size=size, mode="bicubic", align_corners=False).clamp_(0.0, 1.0)
    attention = network.attention(standardize(images, backbone.trained).to(backbone.device))
    heads = attention[:, :, 0, 1:].float().cpu()  # (B, h, N)
    maps = torch.cat([heads.mean(dim=1, keepdim=True), heads], dim=1)[:, : 1 + _MOST_HEADS]
    grids = maps.reshape(len(unit), -1, side, side)
    large = F.interpolate(grids, size=(_MAP_PX, _MAP_PX), mode="bicubic", align_corners=False).numpy()
    tiles = display.rgb(unit)
    return [Looks(tile, [_heat(one) for one in several]) for tile, several in zip(tiles, large, strict=True)]


def attention_section(looks: list[Looks] | None, *, run: str) -> Section:
    """A strip a tile."""
    title, anchor = "Where it looks", "attention"
    lede = (
        "Attention of the class token in the last block: the patches it takes most from are bright. "
        "Each map has its own scale."
    )
    if looks is None:
        return Section(
            anchor, title, lede, missing("No checkpoint yet.", f"swath pretrain TILES --out {run}")
        )
    strips = (element("div", *_figures(one), class_="strip heads") for one in looks)
    return Section(anchor, title, lede, element("div", join(strips), class_="card looks"))


def _figures(one: Looks) -> list[Markup]:
    names = ["tile", "mean of heads", *(f"head {number}" for number in range(1, len(one.maps)))]
    return [
        tile_figure(picture, alt=name, caption=element("span", name))
        for name, picture in zip(names, [one.tile, *one.maps], strict=True)
    ]


def _heat(values: npt.NDArray[np.float32]) -> Rgb:
    """(P, P) -> (P, P, 3), from the 2nd to the 98.5th percentile."""
    low, high = np.percentile(values, (2, 98.5))
    scaled = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    return np.asarray(np.rint(mpl.colormaps["magma"](scaled)[..., :3] * 255), dtype=np.uint8)
