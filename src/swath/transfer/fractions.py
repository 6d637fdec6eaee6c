"""With fewer labels: which training tiles keep theirs, and what a share of the labels is worth.

Legend: N training tiles, K classes.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from swath.scores.inputs import Labels

Rows = npt.NDArray[np.int64]


def draw_labelled(labels: Labels, fraction: float, *, seed: int) -> Rows:
    """Places of round(fraction x N), at least one, of the tiles of labels (N, K), ascending.

    Classes go one after the other, the rarest first, as in iterative stratification (Sechidis, Tsoumakas and
    Vlahavas 2011): each gets its share of the tiles that are left, and at least one positive while there is
    room. The rest are tiles without a label.
    """
    count = len(labels)
    wanted = max(1, round(fraction * count))
    if wanted >= count:
        return np.arange(count)
    order = np.random.default_rng(seed).permutation(count)
    shuffled = labels[order].astype(bool)
    taken, free = np.zeros(count, dtype=bool), np.ones(count, dtype=bool)
    for k in np.argsort(shuffled.sum(axis=0), kind="stable"):
        mine = np.flatnonzero(shuffled[:, k] & free)
        share = max(1, round(fraction * int(shuffled[:, k].sum()))) - int((shuffled[:, k] & taken).sum())
        chosen = mine[: max(0, min(share, wanted - int(taken.sum())))]
        taken[chosen] = True
        free[mine] = False
    left = np.flatnonzero(~taken)
    bare = np.isin(left, np.flatnonzero(~shuffled.any(axis=1)))
    left = np.concatenate([left[bare], left[~bare]])  # tiles of no class first, then any
    taken[left[: wanted - int(taken.sum())]] = True
    return np.sort(order[taken]).astype(np.int64)


def equal_fraction(fractions: Sequence[float], values: Sequence[float], goal: float) -> float | None:
    """The smallest fraction at which a curve reaches `goal`, straight between points over log(fraction).

    0 where the first point is beyond the goal already, None where no point reaches it.
    """
    if values[0] >= goal:
        return 0.0 if values[0] > goal else fractions[0]
    pairs = list(zip(fractions, values, strict=True))
    for (before, low), (after, high) in pairwise(pairs):
        if high >= goal > low:
            share = (goal - low) / (high - low)
            return math.exp(math.log(before) + share * (math.log(after) - math.log(before)))
    return None


def label_sentence(
    name: str, value: float, at: float, *, rival: str, curve: tuple[Sequence[float], Sequence[float]]
) -> str:
    """'With 10 % of the labels the pretrained ViT equals the untrained ViT with 62 %', or why not.

    `value` is what `name` reaches with the fraction `at`; `curve` are fractions and values of the rival.
    """
    fractions, values = curve
    found = equal_fraction(fractions, values, value)
    begin = f"With {percent(at)} of the labels the {name} ({value:.3f})"
    if found is None:
        return (
            f"{begin} reaches more than the {rival} with any share that was measured "
            f"(up to {percent(fractions[-1])}: {max(values):.3f})."
        )
    if found == 0.0:
        return (
            f"{begin} reaches less than the {rival} with the smallest share that was measured "
            f"({percent(fractions[0])}: {values[0]:.3f})."
        )
    return f"{begin} equals the {rival} with {percent(found)} (interpolated)."


def percent(fraction: float) -> str:
    return f"{100 * fraction:.2g} %" if fraction < 1 else "100 %"
