"""Leaks: tiles that are scored (test, validation) on ground that training tiles show, or right beside it.

What leaks into a score is counted by tile, what is computed by place: dates of one place share their
neighbours. Shapes: N tiles, U places.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from swath.errors import UsageError
from swath.geography.distance import Pairs, neighbours
from swath.geography.places import Floats, Numbers, Places, find_places

COLUMNS = ("split", "geometry", "crs", "acquired")  # what an audit needs of a table
AUDITED = ("test", "val")
QUANTILES = {"min": 0.0, "p10": 0.1, "p25": 0.25, "median": 0.5, "p75": 0.75, "p90": 0.9, "max": 1.0}
_MOST_TOLERANCE_M = 2.0  # what two projections of one border differ by, with room to spare
_TOLERANCE_SHARE = 0.01  # of a side, for tiles of a few metres

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SplitLeaks:
    """Tiles of one split against those of train. Each count holds the one before it: touching ones too.

    `overlapping_in_zone` and `overlapping_across_zones` tell where the training tile is: in the projection of
    the tile, or in another; a tile can be in both. `same_place`: a training tile has the same footprint.
    `gap_m`: quantiles of metres to the nearest training tile, 0 where they overlap or touch.
    """

    tiles: int
    located: int
    overlapping: int
    overlapping_in_zone: int
    overlapping_across_zones: int
    touching: int
    within: int
    same_place: int
    same_place_another_date: int
    gap_m: dict[str, float]

    @property
    def share_touching(self) -> float:
        return self.touching / max(self.located, 1)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Leaks:
    """`splits` has what was audited: those of which a tile has a location. `apart_m` (U,) is from each
    place of test or val to its nearest training place, below zero by how deep they overlap, NaN elsewhere.
    """

    places: Places
    apart_m: Floats
    tolerance_m: float
    within_m: float
    splits: dict[str, SplitLeaks]

    @property
    def overlap(self) -> bool:
        return any(found.overlapping for found in self.splits.values())


def find_leaks(tiles: pa.Table, *, within_m: float | None = None) -> Leaks:
    """Audit a table with `COLUMNS`; `within_m` is the side of a tile where not given.

    Raises:
        UsageError: no tile trains, none is tested or validated on, or those of one side have no location.
    """
    split = _splits(tiles)
    places = find_places(tiles["geometry"], tiles["crs"])
    train = places.of(split == "train")
    asked = {name: rows for name in AUDITED if len(rows := places.of(split == name))}
    if not len(train) or not asked:
        raise UsageError("no training tile, or no test or validation tile, has a location; nothing to audit.")
    tolerance_m = tolerance_of(places)
    within_m = places.side_m() if within_m is None else within_m
    apart = _Apart(places, tolerance_m, np.full(len(places), np.nan))
    found = {}
    for name, rows in asked.items():
        apart.measure(rows, train)
        dates = _other_dates(tiles["acquired"], places, split == "train", split == name, apart.twins)
        found[name] = _count(apart, split == name, dates, within_m)
    return Leaks(places, apart.any_plane, tolerance_m, within_m, found)


def tolerance_of(places: Places) -> float:
    """How deep two places may overlap and still only touch, in metres."""
    return min(_MOST_TOLERANCE_M, _TOLERANCE_SHARE * places.side_m())


def _splits(tiles: pa.Table) -> npt.NDArray[np.str_]:
    """(N,), '' where a tile has none.

    Raises:
        UsageError: there is nothing to compare.
    """
    split = np.asarray(pc.fill_null(tiles["split"], "").to_pylist(), dtype=np.str_)
    if not (split == "train").any() or not np.isin(split, AUDITED).any():
        names = sorted({name or "none" for name in np.unique(split).tolist()})
        raise UsageError(
            f"an audit compares the split test (or val) with train; splits here: {', '.join(names)}. "
            "Type: swath split INDEX --out SPLIT"
        )
    return split


class _Apart:
    """(U,) metres from each asked place to the nearest training place: of any plane, its own, and others.

    `twins`: pairs (P, 2) of places with one footprint, to within the tolerance.
    """

    def __init__(self, places: Places, tolerance_m: float, empty: Floats) -> None:
        self.places, self.tolerance_m = places, tolerance_m
        self.any_plane, self.own, self.foreign = empty, empty.copy(), empty.copy()
        self.twins = np.empty((0, 2), dtype=np.int64)

    def measure(self, asked: Numbers, train: Numbers) -> None:
        for values in (self.any_plane, self.own, self.foreign):
            values[asked] = np.inf
        twins = []
        for pairs in neighbours(self.places, asked, train):
            for values, chosen in (
                (self.any_plane, slice(None)),
                (self.own, pairs.same_plane),
                (self.foreign, ~pairs.same_plane),
            ):
                np.minimum.at(values, pairs.one[chosen], pairs.apart_m[chosen])
            twins.append(self._twins(pairs))
        self.twins = np.concatenate(twins)

    def _twins(self, pairs: Pairs) -> Numbers:
        """Two of one footprint overlap by a whole side: neither reaches beyond the other."""
        places, near = self.places, pairs.apart_m < 0
        one, other = pairs.one[near], pairs.other[near]
        middle = np.linalg.norm(places.globe_m[one] - places.globe_m[other], axis=1)
        alike = np.abs(places.radius_m[one] - places.radius_m[other])
        same = middle + alike <= self.tolerance_m
        return np.stack([one[same], other[same]], axis=1)


def _other_dates(
    acquired: pa.ChunkedArray, places: Places, train: Flags, asked: Flags, twins: Numbers
) -> tuple[Flags, Flags]:
    """(N,) whether a training tile has the footprint of an asked tile; and whether one of another date."""
    days = np.asarray(acquired.cast(pa.int32()).fill_null(-1).to_numpy(), dtype=np.int64)
    first, last = np.full(len(places), np.inf), np.full(len(places), -np.inf)
    dated = train & (days >= 0) & (places.of_tile >= 0)
    np.minimum.at(first, places.of_tile[dated], days[dated])
    np.maximum.at(last, places.of_tile[dated], days[dated])
    is_twin = np.zeros(len(places), dtype=np.bool_)
    is_twin[twins[:, 0]] = True
    first_twin, last_twin = np.full(len(places), np.inf), np.full(len(places), -np.inf)
    np.minimum.at(first_twin, twins[:, 0], first[twins[:, 1]])
    np.maximum.at(last_twin, twins[:, 0], last[twins[:, 1]])
    same = asked & (places.of_tile >= 0) & is_twin[places.of_tile]
    differs = (first_twin[places.of_tile] < days) | (last_twin[places.of_tile] > days)
    return same, same & (days >= 0) & differs


def _count(apart: _Apart, asked: Flags, dates: tuple[Flags, Flags], within_m: float) -> SplitLeaks:
    rows = apart.places.of_tile[asked]
    rows = rows[rows >= 0]
    metres, tolerance = apart.any_plane[rows], apart.tolerance_m
    gaps = np.where(metres <= tolerance, 0.0, metres)
    return SplitLeaks(
        tiles=int(asked.sum()),
        located=len(rows),
        overlapping=int((metres < -tolerance).sum()),
        overlapping_in_zone=int((apart.own[rows] < -tolerance).sum()),
        overlapping_across_zones=int((apart.foreign[rows] < -tolerance).sum()),
        touching=int((metres <= tolerance).sum()),
        within=int(((metres < within_m) | (metres <= tolerance)).sum()),
        same_place=int(dates[0].sum()),
        same_place_another_date=int(dates[1].sum()),
        gap_m={name: float(np.quantile(gaps, at)) if len(gaps) else 0.0 for name, at in QUANTILES.items()},
    )
