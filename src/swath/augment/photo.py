"""The colour changes of the DINO paper, for red, green and blue: ColorJitter, Grayscale and Solarize.

Source: facebookresearch/dino main_dino.py, DataAugmentationDINO, which calls torchvision and Pillow on
uint8. The same formulas here on float32, for a batch. Shapes: views (N, 3, P, P).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from swath.augment.crop import Flags, Floats, Integers, between
from swath.augment.kernels import jitter_views
from swath.augment.limits import check_share
from swath.errors import UsageError

_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow's mode L


@dataclass(frozen=True)
class PhotoJitter:
    """Brightness, contrast, saturation: factors in 1 - x .. 1 + x, hue: -x .. x turns; in random order."""

    probability: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    grey_probability: float = 0.2
    kind: ClassVar = "photo"

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            check_share(f"{self.kind} jitter {name}", value)

    def check_bands(self, num_bands: int) -> None:
        """Refuse what is not red, green and blue."""
        if num_bands != 3:
            raise UsageError(
                f"the paper's views need the 3 bands red, green, blue; the tiles have {num_bands}. "
                "Use --preset overhead, or pack 3 bands with --bands."
            )

    def num_draws(self, num_bands: int) -> int:
        """Two choices, four amounts and four keys of the order; the same for every view."""
        assert num_bands == 3
        return 10

    def apply(self, views: Tensor, draws: Floats) -> Tensor:
        """Jittered views in [0, 1], in place, from (N, num_draws) numbers in [0, 1)."""
        changes = PhotoChanges(
            order=draws[:, 6:].argsort(axis=1),
            amounts=np.stack(
                [
                    between(draws[:, 2], 1 - self.brightness, 1 + self.brightness),
                    between(draws[:, 3], 1 - self.contrast, 1 + self.contrast),
                    between(draws[:, 4], 1 - self.saturation, 1 + self.saturation),
                    between(draws[:, 5], -self.hue, self.hue),
                ],
                axis=1,
            ),
            jittered=draws[:, 0] < self.probability,
            greyed=draws[:, 1] < self.grey_probability,
        )
        return changes.pixel_by_pixel(views) if views.device.type == "cpu" else changes.in_batches(views)


@dataclass(frozen=True)
class PhotoChanges:
    """What happens to N views: brightness, contrast, saturation and hue by their amounts (N, 4), in their
    order (N, 4), where jittered (N,); then all colour goes where greyed (N,).
    """

    order: Integers
    amounts: Floats
    jittered: Flags
    greyed: Flags

    def pixel_by_pixel(self, views: Tensor) -> Tensor:
        """In place, on a processor."""
        pixels = views.numpy().reshape(*views.shape[:2], -1)
        jitter_views(pixels, self.order, self.amounts, self.jittered, self.greyed)
        return views

    def in_batches(self, views: Tensor) -> Tensor:
        """In place, by operations of torch."""
        changes = (_brightness, _contrast, _saturation, _hue)
        turn_of_change = self.order.argsort(axis=1)
        for turn in range(len(changes)):
            for column, change in enumerate(changes):
                chosen = self.jittered & (turn_of_change[:, column] == turn)
                _change_where(views, chosen, change, self.amounts[:, column])
        return _change_where(views, self.greyed, _saturation, np.zeros(len(views), dtype=np.float32))


def solarize(views: Tensor, *, where: Flags) -> Tensor:
    """Views, of which those chosen have their bright half inverted, in place.

    Pillow inverts from 128 of 255 on: for whole numbers of 255 that is the smaller of x and 1 - x.
    """
    nothing = np.zeros(len(where), dtype=np.float32)
    return _change_where(views, where, lambda x, _: torch.minimum(x, 1 - x), nothing)


def _change_where(
    views: Tensor, where: Flags, change: Callable[[Tensor, Tensor], Tensor], amounts: Floats
) -> Tensor:
    """Write change(views[where], amounts[where]) back into the views; amounts become (n, 1, 1, 1)."""
    chosen = np.flatnonzero(where)
    if not len(chosen):
        return views
    index = torch.from_numpy(chosen).to(views.device)
    amount = torch.from_numpy(amounts[chosen]).to(views.device)[:, None, None, None]
    return views.index_copy_(0, index, change(views.index_select(0, index), amount))


def _brightness(x: Tensor, factor: Tensor) -> Tensor:
    return (x * factor).clamp_(0.0, 1.0)


def _contrast(x: Tensor, factor: Tensor) -> Tensor:
    return _away_from(_grey(x).mean(dim=(2, 3), keepdim=True), x, factor)


def _saturation(x: Tensor, factor: Tensor) -> Tensor:
    return _away_from(_grey(x), x, factor)


def _hue(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of (n, 3, P, P) by a share of the circle; value and chroma stay."""
    red, green, blue = x.unbind(dim=1)
    value = x.amax(dim=1)
    chroma = value - x.amin(dim=1)
    scale = 1 / chroma.clamp(min=1e-12)  # a grey pixel has no hue, and chroma 0 keeps it grey below
    not_red = torch.where(green == value, 2 + (blue - red) * scale, 4 + (red - green) * scale)
    sixths = torch.where(red == value, (green - blue) * scale, not_red)[:, None]
    corners = torch.tensor([5.0, 3.0, 1.0], device=x.device)[:, None, None]
    k = (corners + sixths + 6 * turns).remainder(6)
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp_(0.0, 1.0)


def _grey(x: Tensor) -> Tensor:
    red, green, blue = x.unbind(dim=1)
    return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue)[:, None]


def _away_from(reference: Tensor, x: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(reference, x, factor).clamp_(0.0, 1.0)
