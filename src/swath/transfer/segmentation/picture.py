"""A picture of what a segmentation probe says: some test tiles, their masks, and what was predicted."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from swath.data.bands import true_colour
from swath.data.masks import IGNORE
from swath.files import file_aside
from swath.scores.segmentation import Classes
from swath.transfer.segmentation.examples import MaskedTiles

SHOWN = 6
_IGNORED_GREY = (0.85, 0.85, 0.85, 1.0)

Predict = Callable[[Tensor], Tensor]


def save_picture(path: Path, tiles: MaskedTiles, predict: Predict) -> None:
    """Write a PNG: a column a test tile (spread over the split), rows tile, mask and prediction; a legend."""
    places = np.unique(np.linspace(0, len(tiles.test) - 1, SHOWN).round().astype(int))
    bands = list(true_colour(tiles.store.format.bands))
    palette = np.vstack([mpl.colormaps["tab20"](np.arange(20)), _IGNORED_GREY])
    figure = Figure(figsize=(2.2 * len(places), 7.2), layout="constrained")
    axes = np.asarray(figure.subplots(3, len(places), squeeze=False))
    columns = [
        (image[bands], mask, found)
        for _, images, masks in tiles.batches(tiles.test[places])
        for image, mask, found in zip(images.numpy(), masks.numpy(), predict(images).numpy(), strict=True)
    ]
    for column, (image, mask, found) in enumerate(columns):
        axes[0, column].imshow(_stretched(image).transpose(1, 2, 0))
        axes[1, column].imshow(_coloured(mask, palette))
        axes[2, column].imshow(_coloured(found, palette))
    for row, name in zip(axes, ("tile", "mask", "predicted"), strict=True):
        row[0].set_ylabel(name)
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
    handles = [Patch(color=palette[k % 20], label=name) for k, name in enumerate(tiles.vocabulary)]
    handles.append(Patch(color=_IGNORED_GREY, label="(not labelled)"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)), frameon=False)
    with file_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=110)


def _coloured(mask: Classes, palette: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(H, W) classes to (H, W, 4); what is to be ignored is grey."""
    coloured: npt.NDArray[np.float64] = palette[np.where(mask == IGNORE, 20, mask % 20)]
    return coloured


def _stretched(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(3, H, W) with its 2 % to 98 % range spread over [0, 1]."""
    low, high = np.percentile(image, [2, 98], axis=(1, 2), keepdims=True)
    spread = (image - low) / np.maximum(high - low, 1e-6)
    return np.asarray(spread.clip(0, 1), dtype=np.float32)
