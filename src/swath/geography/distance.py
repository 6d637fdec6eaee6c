"""How far places lie apart: metres between their edges, below zero by how deep they overlap.

In one plane two upright rectangles are compared exactly; else both are convex quadrilaterals in the plane of
the first, so that neighbours across the border of two zones meet. Shapes: P pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import shapely
from scipy.spatial import cKDTree

from swath.geography.places import EARTH_M, Floats, Numbers, Places, to_plane

FAR_M = 50_000.0  # farther apart, places count as circles: nobody asks for metres there
_SLACK = 0.01  # projections keep lengths to 1 %
_NEIGHBOURS = 12  # enough where a grid of equal tiles touches
_AT_ONCE = 50_000


@dataclass(frozen=True, eq=False)
class Pairs:
    """Places `one` (P,) and `other` (P,), `apart_m` (P,) between their edges; whether they share a plane."""

    one: Numbers
    other: Numbers
    apart_m: Floats
    same_plane: npt.NDArray[np.bool_]

    def where(self, chosen: npt.NDArray[np.bool_]) -> Self:
        return type(self)(self.one[chosen], self.other[chosen], self.apart_m[chosen], self.same_plane[chosen])


def neighbours(
    places: Places, asked: Numbers, others: Numbers, *, reach_m: float = np.inf
) -> Iterator[Pairs]:
    """For each of `asked` its nearest of `others`, and all that it overlaps; in parts that bound the memory.

    More pairs than these may come. With `reach_m`, those asked that have none nearer may have no pair.
    """
    if not len(asked) or not len(others):
        return
    tree = cKDTree(places.globe_m[others])
    widest = float(places.radius_m[others].max())
    for start in range(0, len(asked), _AT_ONCE):
        part, count = asked[start : start + _AT_ONCE], _NEIGHBOURS
        while len(part):
            count = min(count, len(others))
            pairs, complete = _nearest(places, part, others, (tree, widest, reach_m, count))
            yield pairs.where(np.isin(pairs.one, part[complete]))
            part, count = part[~complete], count * 4


def _nearest(
    places: Places, asked: Numbers, others: Numbers, how: tuple[cKDTree, float, float, int]
) -> tuple[Pairs, npt.NDArray[np.bool_]]:
    """Pairs of each asked place with its `count` others of nearest middles, and for which that is enough."""
    tree, widest, reach_m, count = how
    most = (reach_m + places.radius_m[asked] + widest) * (1 + _SLACK)
    chord, found = tree.query(
        places.globe_m[asked], k=np.arange(1, count + 1), distance_upper_bound=most.max()
    )
    here = np.isfinite(chord)
    one = np.repeat(asked, here.sum(axis=1))
    other = others[found[here]]
    apart = separation(places, one, other)
    best = np.full(here.shape, np.inf)
    best[here] = apart
    nearest = np.clip(best.min(axis=1), 0.0, reach_m)
    beyond = chord[:, -1] * (1 - _SLACK) - places.radius_m[asked] - widest  # no other is nearer than that
    complete = (beyond >= nearest) | (nearest >= FAR_M) | (count >= len(others))
    return Pairs(one, other, apart, places.plane[one] == places.plane[other]), complete


def separation(places: Places, one: Numbers, other: Numbers) -> Floats:
    """(P,) metres between the edges of two places; below zero, how deep they overlap."""
    chord = np.linalg.norm(places.globe_m[one] - places.globe_m[other], axis=1)
    arc = 2 * EARTH_M * np.arcsin(np.minimum(chord / (2 * EARTH_M), 1.0))
    apart: Floats = arc - places.radius_m[one] - places.radius_m[other]
    near = apart < FAR_M
    same = places.plane[one] == places.plane[other]
    exact = near & same & places.upright[one] & places.upright[other]
    apart[exact] = _of_rectangles(places.corners[one[exact]], places.corners[other[exact]])
    rest = near & ~exact
    apart[rest] = _of_quadrilaterals(places.corners[one[rest]], _in_plane_of(places, one[rest], other[rest]))
    return apart


def _in_plane_of(places: Places, one: Numbers, other: Numbers) -> Floats:
    """(P, 4, 2) corners of the others in the planes of the ones."""
    corners = places.corners[other].copy()
    for plane in np.unique(places.plane[one]).tolist():
        foreign = (places.plane[one] == plane) & (places.plane[other] != plane)
        if foreign.any():
            moved, back = np.unique(other[foreign], return_inverse=True)
            corners[foreign] = to_plane(places.lonlat[moved], places.planes[plane])[back.reshape(-1)]
    return corners


def _of_rectangles(one: Floats, other: Floats) -> Floats:
    gap = np.maximum(one.min(axis=1) - other.max(axis=1), other.min(axis=1) - one.max(axis=1))
    deepest: Floats = gap.max(axis=1)
    return np.where(deepest > 0, np.linalg.norm(np.maximum(gap, 0), axis=1), deepest)


def _of_quadrilaterals(one: Floats, other: Floats) -> Floats:
    """By separating axes: convex shapes are apart where they are so along a normal of one of their sides."""
    sides = np.concatenate([np.roll(shape, 1, axis=1) - shape for shape in (one, other)], axis=1)  # (P, 8, 2)
    normals = np.stack([-sides[..., 1], sides[..., 0]], axis=2)
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-9)
    mine, theirs = (normals @ shape.transpose(0, 2, 1) for shape in (one, other))  # (P, 8, 4)
    gap = np.maximum(mine.min(axis=2) - theirs.max(axis=2), theirs.min(axis=2) - mine.max(axis=2))
    deepest: Floats = gap.max(axis=1)
    apart = deepest > 0
    if apart.any():
        deepest[apart] = shapely.distance(shapely.polygons(one[apart]), shapely.polygons(other[apart]))
    return deepest
