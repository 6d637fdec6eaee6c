"""Many views of each tile: made in batches, on the tiles' device, for any number of bands.

Shapes: tiles (B, C, H, W) in [0, 1]; views (n*B, C, P, P) in [0, 1], view-major: all B of view 1, then 2, ...
Everything random is a pure function of (seed, epoch, sample id), drawn on the host in numpy, so that
nothing waits for the device. The order is the paper's: crop and resize, flips, turns, colour, blur, solarize.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from swath.augment.blur import blur
from swath.augment.colour import BandJitter
from swath.augment.crop import CROP_DRAWS, CropPolicy, Floats, Integers, between, random_crops
from swath.augment.limits import check_pixels, check_range, check_share
from swath.augment.photo import PhotoJitter, solarize
from swath.augment.resize import cut
from swath.draws import uniforms
from swath.errors import UsageError

GLOBAL_VIEWS = 2
GENTLE_JITTER = BandJitter(gain=0.05, offset=0.01, brightness=0.1, contrast=0.1, grey_probability=0.0)


@dataclass(frozen=True, kw_only=True)
class ViewPolicy:
    """What may happen to a tile on its way to a view; `overhead()` and `paper()` make the two usual ones.

    A scale is the range of the share of the tile's area that a view covers: a view of P px from a tile of T
    px zooms by P / (T sqrt(scale)), so 16 px of a 32 px tile keep the ground resolution at 0.25. Blur has
    its sigma from a range in pixels of the view, and the probabilities of the first global, second global
    and each local view. Solarize is for the second global view alone.
    """

    global_px: int
    local_px: int
    local_views: int
    global_scale: tuple[float, float] = (0.4, 1.0)
    local_scale: tuple[float, float] = (0.05, 0.4)
    vertical_flip: bool = True
    quarter_turns: bool = True
    colour: BandJitter | PhotoJitter
    blur_probability: tuple[float, float, float] = (1.0, 0.1, 0.5)
    global_blur_px: tuple[float, float] = (0.1, 2.0)
    local_blur_px: tuple[float, float] = (0.1, 2.0)
    solarize_probability: float = 0.0

    def __post_init__(self) -> None:
        check_pixels("global_px", self.global_px)
        check_pixels("local_px", self.local_px)
        if self.local_views < 0:
            raise UsageError(f"local_views is {self.local_views}; it must be 0 or more")
        check_range("global_scale", self.global_scale, most=1.0)
        check_range("local_scale", self.local_scale, most=1.0)
        check_range("global_blur_px", self.global_blur_px)
        check_range("local_blur_px", self.local_blur_px)
        for probability in self.blur_probability:
            check_share("blur_probability", probability)
        check_share("solarize_probability", self.solarize_probability)

    def to_json(self) -> dict[str, Any]:
        """Every number of the policy, for the record of a run."""
        return asdict(self) | {"colour": {"kind": self.colour.kind} | asdict(self.colour)}


@dataclass(frozen=True)
class Views:
    """globals_ (2B, C, G, G) and locals_ (n*B, C, L, L), view-major."""

    globals_: Tensor
    locals_: Tensor


def overhead(*, global_px: int, local_px: int, local_views: int, gentle: bool = False) -> ViewPolicy:
    """Views for imagery from above: no direction is up, any number of bands, no hue, no solarize.

    The paper's blur (sigma up to 2 px) is for views of 224 px and would wipe out one of 32 px: here the
    largest sigma goes with the square root of the side: 2.0 px at 224, 1.1 at 64, 0.8 at 32, 0.5 at 16.
    `gentle` halves the jitter and leaves out the mixing toward grey, which short trainings gain by.
    """
    return ViewPolicy(
        global_px=global_px,
        local_px=local_px,
        local_views=local_views,
        colour=GENTLE_JITTER if gentle else BandJitter(),
        blur_probability=(0.5, 0.1, 0.3),
        global_blur_px=(0.1, _largest_blur_px(global_px)),
        local_blur_px=(0.1, _largest_blur_px(local_px)),
    )


def paper(*, global_px: int = 224, local_px: int = 96, local_views: int = 8) -> ViewPolicy:
    """The views of the DINO paper (facebookresearch/dino, main_dino.py), for bands red, green, blue."""
    return ViewPolicy(
        global_px=global_px,
        local_px=local_px,
        local_views=local_views,
        colour=PhotoJitter(),
        vertical_flip=False,
        quarter_turns=False,
        solarize_probability=0.2,
    )


def policy_of(recipe: Mapping[str, Any]) -> ViewPolicy:
    """The views of a training, from the values that its run keeps."""
    sizes = {name: int(recipe[name]) for name in ("global_px", "local_px", "local_views")}
    gentle = bool(recipe["gentle_jitter"])
    policy = paper(**sizes) if recipe["preset"] == "paper" else overhead(**sizes, gentle=gentle)
    global_scale, local_scale = tuple(recipe["global_scale"]), tuple(recipe["local_scale"])
    return replace(policy, global_scale=global_scale, local_scale=local_scale)


def make_views(
    tiles: Tensor, policy: ViewPolicy, *, seed: int, epochs: Integers, sample_ids: Integers
) -> Views:
    """The views of float32 tiles: those of a tile depend on (seed, its epoch, its sample id, the policy)
    alone.

    Raises:
        UsageError: the policy's colours do not fit the number of bands.
    """
    policy.colour.check_bands(tiles.shape[1])
    keys = _Keys(seed=seed, epochs=epochs, sample_ids=sample_ids)
    return Views(
        globals_=_make(tiles, policy, _global_group(policy), keys),
        locals_=_make(tiles, policy, _local_group(policy), keys),
    )


@dataclass(frozen=True)
class _Group:
    """Views of one resolution, made together; probabilities are one a view."""

    name: str
    px: int
    scale: tuple[float, float]
    blur_px: tuple[float, float]
    blur_probability: tuple[float, ...]
    solarize_probability: tuple[float, ...]


@dataclass(frozen=True)
class _Keys:
    seed: int
    epochs: Integers
    sample_ids: Integers

    def draws(self, group: _Group, purpose: str, count: int) -> Floats:
        """(N, count) numbers in [0, 1), view-major."""
        num_views = len(group.blur_probability)
        flat = uniforms(
            num_views * count,
            seed=self.seed,
            epochs=self.epochs,
            sample_ids=self.sample_ids,
            stream=f"{group.name} {purpose}",
        )
        return np.ascontiguousarray(flat.reshape(-1, num_views, count).swapaxes(0, 1)).reshape(-1, count)


def _make(tiles: Tensor, policy: ViewPolicy, group: _Group, keys: _Keys) -> Tensor:
    B, C, H, W = tiles.shape
    if not group.blur_probability:
        return tiles.new_empty(0, C, group.px, group.px)
    crop_policy = CropPolicy(
        group.scale, vertical_flip=policy.vertical_flip, quarter_turns=policy.quarter_turns
    )
    crops = random_crops(keys.draws(group, "crop", CROP_DRAWS), crop_policy, height_px=H, width_px=W)
    views = cut(tiles, crops, out_px=group.px)
    policy.colour.apply(views, keys.draws(group, "colour", policy.colour.num_draws(C)))
    finish = keys.draws(group, "finish", 3)
    blurred = finish[:, 0] < np.repeat(group.blur_probability, B)
    blur(views, between(finish[:, 1], *group.blur_px), where=blurred)
    return solarize(views, where=finish[:, 2] < np.repeat(group.solarize_probability, B))


def _global_group(policy: ViewPolicy) -> _Group:
    return _Group(
        name="global",
        px=policy.global_px,
        scale=policy.global_scale,
        blur_px=policy.global_blur_px,
        blur_probability=policy.blur_probability[:GLOBAL_VIEWS],
        solarize_probability=(0.0, policy.solarize_probability),
    )


def _local_group(policy: ViewPolicy) -> _Group:
    return _Group(
        name="local",
        px=policy.local_px,
        scale=policy.local_scale,
        blur_px=policy.local_blur_px,
        blur_probability=(policy.blur_probability[GLOBAL_VIEWS],) * policy.local_views,
        solarize_probability=(0.0,) * policy.local_views,
    )


def _largest_blur_px(view_px: int) -> float:
    return round(2.0 * math.sqrt(view_px / 224), 2)
