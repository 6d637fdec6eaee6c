"""From decisions to what maps hold: probabilities, in whole numbers of 0.5 %, and the likeliest class.

Legend: K classes, h x W pixels of a strip.
"""

from typing import Any

import numpy as np

from swath.compiled import compiled

NONE = 254
LEVELS = 200
_ONE, _MANY = np.float32(1), np.float32(LEVELS)
_MOST = np.float32(87)  # e to more than this, or to less than minus this, is no number of 32 bits
_LOG2_E, _LN_2 = np.float32(1.44269504), np.float32(0.693147181)
_A, _B, _C, _D, _E, _F, _G = (np.float32(1 / term) for term in (1, 1, 2, 6, 24, 120, 720))


@compiled
def speak(decisions: Any, classes: Any, levels: Any, several: Any) -> None:
    """Decisions (K, h, W) become probabilities, in place; levels (K, h, W) uint8 are these times LEVELS, and
    classes (h, W) uint8 the likeliest, or NONE where `several` are possible and none is above 0.5.
    """
    num_classes, height, width = decisions.shape
    for r in range(height):
        best = _choose(decisions, r, classes, several)
        if several:
            for k in range(num_classes):
                for i in range(width):
                    decisions[k, r, i] = _ONE / (_ONE + _exp(-decisions[k, r, i]))
        else:
            _softmax(decisions, r, best)
        for k in range(num_classes):
            for i in range(width):
                levels[k, r, i] = np.int32(np.rint(decisions[k, r, i] * _MANY))


@compiled
def _choose(decisions: Any, r: Any, classes: Any, several: Any) -> Any:
    """The greatest decisions of a row (W,), after saying in `classes` whose they are."""
    width = decisions.shape[2]
    best, which = decisions[0, r].copy(), np.zeros(width, np.int32)
    for k in range(1, len(decisions)):
        for i in range(width):
            which[i] = k if decisions[k, r, i] > best[i] else which[i]
            best[i] = max(decisions[k, r, i], best[i])
    for i in range(width):
        classes[r, i] = NONE if several and best[i] <= 0 else which[i]
    return best


@compiled
def _softmax(decisions: Any, r: Any, best: Any) -> None:
    total = np.zeros(len(best), np.float32)
    for k in range(len(decisions)):
        for i in range(len(total)):
            decisions[k, r, i] = _exp(decisions[k, r, i] - best[i])
            total[i] += decisions[k, r, i]
    for k in range(len(decisions)):
        for i in range(len(total)):
            decisions[k, r, i] /= total[i]


@compiled
def _exp(x: Any) -> Any:
    """Exponential of x, to some 3e-7 of it: 2 to a whole power, put together of bits, times a series."""
    x = min(max(x, -_MOST), _MOST)
    whole = np.rint(x * _LOG2_E)
    rest = x - whole * _LN_2  # at most 0.35 from 0
    series = _A + rest * (_B + rest * (_C + rest * (_D + rest * (_E + rest * (_F + rest * _G)))))
    return series * np.int32((np.int32(whole) + 127) << 23).view(np.float32)
