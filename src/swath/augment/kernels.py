"""The loops over pixels that make views on a processor, compiled when they are first called.

They are for float32 in one pass where torch takes a pass through memory for each operation; elsewhere torch
does the same in batches (`blur`, `photo`), and the tests hold the two against each other. Compiling
takes some 10 s, once for each machine: it is kept beside this file, or in the user's cache.

Legend: views (N, C, P, Q), a plane (P, Q) is one band of one view; L pixels of a line, T taps.
"""

from typing import Any

import numpy as np

from swath.compiled import compiled

_ZERO, _ONE = np.float32(0), np.float32(1)
_RED, _GREEN, _BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)  # ITU-R 601, Pillow's mode L


@compiled
def blur_views(views: Any, at: Any, sigma_px: Any, reach: Any) -> None:
    """Blur views[at[n]], in place, by a Gaussian of sigma_px[n] that ends after `reach` sigmas; edges are
    repeated, and values clamped to [0, 1].
    """
    for n in range(len(at)):
        half = int(np.ceil(reach * sigma_px[n]))
        kernel = np.empty(2 * half + 1, dtype=np.float32)
        for tap in range(len(kernel)):
            kernel[tap] = np.exp(np.float32(-0.5) * ((tap - half) / sigma_px[n]) ** 2)
        kernel /= kernel.sum()
        for band in range(views.shape[1]):
            plane = views[at[n], band]
            _blur_along_lines(plane, _blur_across_lines(plane, kernel), kernel)


@compiled
def _blur_across_lines(plane: Any, kernel: Any) -> Any:
    last, half = len(plane) - 1, len(kernel) // 2
    out = np.zeros(plane.shape, dtype=np.float32)
    for y in range(len(plane)):
        line = out[y]
        for tap in range(len(kernel)):
            weight, source = kernel[tap], plane[min(max(y + tap - half, 0), last)]
            for i in range(len(line)):
                line[i] += weight * source[i]
    return out


@compiled
def _blur_along_lines(out: Any, plane: Any, kernel: Any) -> None:
    width, half = plane.shape[1], len(kernel) // 2
    longer = np.empty(width + 2 * half, dtype=np.float32)
    for y in range(len(plane)):
        longer[:half] = plane[y, 0]
        longer[half : half + width] = plane[y]
        longer[half + width :] = plane[y, width - 1]
        line = out[y]
        line[:] = _ZERO
        for tap in range(len(kernel)):
            weight, source = kernel[tap], longer[tap : tap + width]
            for i in range(width):
                line[i] += weight * source[i]
        _clamp(line)


@compiled
def jitter_views(views: Any, orders: Any, amounts: Any, jittered: Any, greyed: Any) -> None:
    """Brightness, contrast, saturation, hue by the amounts (N, 4) of each view (N, 3, pixels), in its order
    (N, 4), where `jittered`; then grey where `greyed`. In place.
    """
    for n in range(len(views)):
        red, green, blue = views[n, 0], views[n, 1], views[n, 2]
        if jittered[n]:
            for change in orders[n]:
                if change == 0:
                    _brighten(red, green, blue, amounts[n, 0])
                elif change == 1:
                    _contrast(red, green, blue, amounts[n, 1])
                elif change == 2:
                    _saturate(red, green, blue, amounts[n, 2])
                else:
                    _turn_hue(red, green, blue, amounts[n, 3])
        if greyed[n]:
            _saturate(red, green, blue, _ZERO)


@compiled
def _brighten(red: Any, green: Any, blue: Any, factor: Any) -> None:
    _mix(red, factor, _ZERO)
    _mix(green, factor, _ZERO)
    _mix(blue, factor, _ZERO)


@compiled
def _contrast(red: Any, green: Any, blue: Any, factor: Any) -> None:
    mean = _RED * _mean(red) + _GREEN * _mean(green) + _BLUE * _mean(blue)
    _mix(red, factor, mean)
    _mix(green, factor, mean)
    _mix(blue, factor, mean)


@compiled
def _mix(line: Any, factor: Any, other: Any) -> None:
    """A share `factor` of the line and 1 - factor of the other value."""
    for i in range(len(line)):
        line[i] = min(max(other + factor * (line[i] - other), _ZERO), _ONE)


@compiled
def _saturate(red: Any, green: Any, blue: Any, factor: Any) -> None:
    for i in range(len(red)):
        grey = _RED * red[i] + _GREEN * green[i] + _BLUE * blue[i]
        red[i] = grey + factor * (red[i] - grey)
        green[i] = grey + factor * (green[i] - grey)
        blue[i] = grey + factor * (blue[i] - grey)
    _clamp(red)
    _clamp(green)
    _clamp(blue)


@compiled
def _turn_hue(red: Any, green: Any, blue: Any, turns: Any) -> None:
    """By a share of the circle of six sixths; value and chroma stay."""
    sixths = abs(turns) * np.float32(6)
    while sixths > 0:
        if turns > 0:
            _turn_a_sixth(red, green, blue, min(sixths, _ONE))
        else:  # the circle the other way round
            _turn_a_sixth(red, blue, green, min(sixths, _ONE))
        sixths -= _ONE


@compiled
def _turn_a_sixth(red: Any, green: Any, blue: Any, share: Any) -> None:
    """Forward by at most one sixth.

    On the way round every band waits at the least of the three, rises to the greatest, waits, and falls. So
    it goes toward the band before it (red: blue, green: red, blue: green): up by what the band after it is
    short of least + share x chroma, down by what that is over greatest - share x chroma.
    """
    for i in range(len(red)):
        r, g, b = red[i], green[i], blue[i]
        least, greatest = min(r, g, b), max(r, g, b)
        low = least + share * (greatest - least)
        high = greatest - share * (greatest - least)
        red[i] = max(min(b, r + max(low - g, _ZERO)), r - max(g - high, _ZERO))
        green[i] = max(min(r, g + max(low - b, _ZERO)), g - max(b - high, _ZERO))
        blue[i] = max(min(g, b + max(low - r, _ZERO)), b - max(r - high, _ZERO))


@compiled
def _mean(line: Any) -> Any:
    total = _ZERO
    for i in range(len(line)):
        total += line[i]
    return total / np.float32(len(line))


@compiled
def _clamp(line: Any) -> None:
    for i in range(len(line)):
        line[i] = min(max(line[i], _ZERO), _ONE)
