"""Three components as colours that an eye finds as different as the components are.

OKLab (Bjorn Ottosson 2020, "A perceptual color space for image processing") has one axis of lightness and two
of hue; three components put straight into red, green and blue give neon colours in which lightness says
nothing. Shapes: (H, W), rgb (H, W, 3) uint8.
"""

import numpy as np
import numpy.typing as npt

from swath.pages.pictures import Rgb

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

_LIGHTNESS = (0.3, 0.6)  # darkest, and range
_CHROMA = 0.12  # at most, on each axis of hue
_TO_CONES = np.asarray(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
_TO_RGB = np.asarray(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def colours_of(components: Floats, covered: Flags, *, like: Rgb) -> Rgb:
    """(3, H, W) -> (H, W, 3): the first as lightness, the others as hue, measured where `covered`.

    A component has no sign of its own: each gets the one in which it goes with the true colours `like`
    (lightness, red against green, yellow against blue).
    """
    red, green, blue = like.astype(np.float32).transpose(2, 0, 1)
    guides = (red + green + blue, red - green, red + green - 2 * blue)
    light, a, b = (_spread(one, covered, guide) for one, guide in zip(components, guides, strict=True))
    lightness = _LIGHTNESS[0] + _LIGHTNESS[1] / (1 + np.exp(-1.5 * light))
    return from_oklab(lightness, _CHROMA * np.tanh(0.8 * a), _CHROMA * np.tanh(0.8 * b))


def from_oklab(lightness: Floats, a: Floats, b: Floats) -> Rgb:
    """SRGB bytes of OKLab values; what no screen can show is clipped."""
    cones = (np.stack([lightness, a, b], axis=-1) @ _TO_CONES.T) ** 3
    linear = np.clip(cones @ _TO_RGB.T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(encoded * 255), dtype=np.uint8)


def _spread(component: Floats, covered: Flags, guide: Floats) -> Floats:
    """Median 0 and spread 1 over the covered ground, signed to rise with the guide."""
    values = component[covered]
    together = float(((values - values.mean()) * (guide[covered] - guide[covered].mean())).sum())
    scaled = (component - np.median(values)) / max(float(values.std()), 1e-12)
    return np.asarray(-scaled if together < 0 else scaled, dtype=np.float32)
