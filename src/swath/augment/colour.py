"""Radiometric jitter for any number of bands: one affine map of the bands a view.

Shapes: views (N, C, P, P). Gain, offset, brightness, contrast and mixing toward grey are all affine in the
pixel and in the mean pixel of the view, so together they are one matrix (C, C) and one offset (C,) a view,
applied in one pass; values are clamped once, at the end.
"""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from swath.augment.crop import Flags, Floats, between
from swath.augment.limits import check_share

_SHARED_DRAWS = 5


@dataclass(frozen=True)
class BandJitter:
    """How much the bands change: factors within 1 - x .. 1 + x, offsets within -x .. x (1 is the range of a
    band).

    Gain and offset are drawn for each band, as sun, haze and sensor move bands apart. Brightness and
    contrast are shared by the bands; contrast is about each band's own mean, so that bands of different
    level keep it. Mixing toward grey, the mean of the bands, takes away up to `grey_share` of the
    differences between bands.
    """

    probability: float = 0.8
    gain: float = 0.1
    offset: float = 0.02
    brightness: float = 0.2
    contrast: float = 0.2
    grey_probability: float = 0.1
    grey_share: float = 1.0
    kind: ClassVar = "bands"

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            check_share(f"{self.kind} jitter {name}", value)

    def check_bands(self, num_bands: int) -> None:
        """Every number of bands will do."""

    def num_draws(self, num_bands: int) -> int:
        return _SHARED_DRAWS + 2 * num_bands

    def apply(self, views: Tensor, draws: Floats) -> Tensor:
        """Jittered views in [0, 1], in place, from (N, num_draws) numbers in [0, 1)."""
        N, C, _, _ = views.shape
        weight, pull, shift = (torch.from_numpy(a).to(views.device) for a in self._affine(draws, num_bands=C))
        offset = torch.baddbmm(shift, pull, views.mean(dim=(2, 3))[:, :, None])
        jittered = torch.baddbmm(offset, weight, views.view(N, C, -1)).view_as(views)
        return torch.clamp(jittered, 0.0, 1.0, out=views)

    def _affine(self, draws: Floats, *, num_bands: int) -> tuple[Floats, Floats, Floats]:
        """weight, pull (N, C, C), shift (N, C, 1) of: weight @ pixel + pull @ mean pixel + shift."""
        jittered, greyed = draws[:, 0] < self.probability, draws[:, 1] < self.grey_probability
        share = (greyed * draws[:, 2] * np.float32(self.grey_share))[:, None, None]
        brightness = _factor(draws[:, 3:4], self.brightness, where=jittered)
        contrast = _factor(draws[:, 4:5], self.contrast, where=jittered)
        gain = brightness * _factor(draws[:, 5 : 5 + num_bands], self.gain, where=jittered)
        offset = brightness * (_factor(draws[:, 5 + num_bands :], self.offset, where=jittered) - 1)
        # y = gain x + offset; z = contrast y + (1 - contrast) mean(y); result = mix @ z
        mix = (1 - share) * np.eye(num_bands, dtype=np.float32) + share / np.float32(num_bands)
        weight = mix * (contrast * gain)[:, None, :]
        pull = mix * ((1 - contrast) * gain)[:, None, :]
        return weight, pull, mix @ offset[:, :, None]


def _factor(draws: Floats, x: float, *, where: Flags) -> Floats:
    """1 - x to 1 + x where chosen, 1 elsewhere."""
    return np.where(where[:, None], between(draws, 1 - x, 1 + x), np.float32(1))
