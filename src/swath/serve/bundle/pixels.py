"""Tiles as people hold them, numpy or torch, checked against the contract of a network.

Legend: N tiles, C bands, Cg bands of a group, H x W pixels of a tile, h x w of a coarser group.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from swath.data.bands import BandGroup, TileFormat
from swath.errors import DataError, did_you_mean
from swath.serve.unit import check_unit

_SAMPLED = 16  # tiles whose values tell the unit
Array = npt.NDArray[Any] | Tensor
Tiles = Array | Mapping[str, Array]


def grouped(tiles: Tiles, contract: TileFormat) -> tuple[list[Tensor], TileFormat]:
    """(N, Cg, h, w) a group, and the format that says so; `tiles` as `Model` explains.

    Raises:
        DataError: bands, shape, type or unit do not fit; both sides are named.
    """
    if isinstance(tiles, Mapping):
        groups, given = _by_band(tiles, contract)
    else:
        pixels = _tensor(tiles, ndim=4)
        expected = (len(contract.bands), contract.size_px, contract.size_px)
        if tuple(pixels.shape[1:]) != expected:
            raise DataError(
                f"tiles of shape {tuple(pixels.shape)}; expected (N, {', '.join(map(str, expected))}): bands "
                f"{','.join(contract.bands)} of {contract.size_px} px. Larger images: swath predict"
            )
        group = BandGroup(contract.bands, contract.size_px, _type_of(pixels))
        groups, given = [pixels], replace(contract, groups=(group,))
    for pixels, group in zip(groups, given.groups, strict=True):
        _check_values(pixels, group, contract)
    if len(groups[0]):
        _check_unit(groups, given)
    return groups, given


def _by_band(tiles: Mapping[str, Array], contract: TileFormat) -> tuple[list[Tensor], TileFormat]:
    """Bands that were packed together are put together, each at its own resolution or at the finest."""
    missing = [band for band in contract.bands if band not in tiles]
    if missing:
        raise DataError(
            f"tiles lack band {missing[0]}; expected {','.join(contract.bands)}, found {','.join(tiles)}."
            f"{did_you_mean(missing[0], tiles)}"
        )
    groups, shapes = [], []
    for group in contract.groups:
        parts = [_tensor(tiles[band], ndim=3) for band in group.bands]
        sizes = {tuple(part.shape) for part in parts}
        side = parts[0].shape[-1]
        if len(sizes) > 1 or parts[0].shape[-2] != side or side not in {group.size_px, contract.size_px}:
            raise DataError(
                f"bands {','.join(group.bands)} have shapes {', '.join(map(str, sorted(sizes)))}; expected "
                f"(N, {group.size_px}, {group.size_px}) or (N, {contract.size_px}, {contract.size_px})"
            )
        groups.append(torch.stack(parts, dim=1))
        shapes.append(BandGroup(group.bands, side, _type_of(parts[0])))
    if len({len(group) for group in groups}) > 1:
        raise DataError(
            f"bands hold {', '.join(str(len(group)) for group in groups)} tiles; expected as many"
        )
    return groups, replace(contract, groups=tuple(shapes))


def _tensor(values: Array, *, ndim: int) -> Tensor:
    """With a first axis of tiles, where one tile was given without it; floats as float32."""
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    tensor = tensor[None] if tensor.ndim == ndim - 1 else tensor
    if tensor.ndim != ndim:
        raise DataError(f"tiles of shape {tuple(tensor.shape)}; expected {ndim} axes, or {ndim - 1} for one")
    return tensor.float() if tensor.is_floating_point() else tensor


def _check_values(pixels: Tensor, group: BandGroup, contract: TileFormat) -> None:
    kinds = {band: packed.dtype for packed in contract.groups for band in packed.bands}
    known = {kinds[band] for band in group.bands} | {"float32"}
    if group.dtype not in known:
        raise DataError(f"tiles hold {group.dtype}; expected {' or '.join(sorted(known))}, as stored")
    if pixels.is_floating_point() and not pixels.isfinite().all():
        raise DataError("tiles hold values that are not finite; fill pixels without data first")


def _check_unit(groups: list[Tensor], given: TileFormat) -> None:
    samples: dict[str, npt.NDArray[np.float32]] = {}
    for pixels, group in zip(groups, given.groups, strict=True):
        few = pixels[:: max(1, len(pixels) // _SAMPLED)].float().transpose(0, 1).flatten(1).numpy()
        samples |= dict(zip(group.bands, few, strict=True))
    check_unit([samples[band] for band in given.bands], given, where="tiles")


def _type_of(pixels: Tensor) -> str:
    """By name; one that imagery does not have is refused by `BandGroup`."""
    return str(pixels.dtype).removeprefix("torch.")
