"""Weights of other programs: which network of a file is meant, and what shape it has.

Known are the checkpoints of facebookresearch/dino (student and teacher in one file), its released backbones,
and the names of timm, bare or under "state_dict" or "model".
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from swath.errors import DataError
from swath.models.position import PositionMode
from swath.models.vit import SIZES, ViTShape
from swath.models.weights import without_prefixes

# Heads of attention cannot be read off the tensors: these are the widths whose number everybody agrees on.
_HEADS = {width: heads for width, _, heads in SIZES.values()} | {1024: 16}
_NETWORKS = ("teacher", "state_dict", "model")


def chosen_network(content: Mapping[str, Any], *, where: Path) -> dict[str, Tensor]:
    """Tensors by name of the one network that is meant: the teacher where there is one.

    Raises:
        DataError: there are no tensors.
    """
    for key in _NETWORKS:
        if isinstance(content.get(key), Mapping):
            content = content[key]
            break
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        found = ", ".join(map(str, list(content)[:5])) or "nothing"
        raise DataError(f"{where} holds {found}; expected tensors by name, or one of {', '.join(_NETWORKS)}.")
    return without_prefixes(tensors)


def shape_of_weights(tensors: Mapping[str, Tensor], *, position: PositionMode, where: Path) -> ViTShape:
    """The shape of a vision transformer, read off its tensors (names without prefixes).

    Raises:
        DataError: it is none, or one whose number of heads is not known.
    """
    kernel, positions = tensors.get("patch_embed.proj.weight"), tensors.get("pos_embed")
    hidden = tensors.get("blocks.0.mlp.fc1.weight")
    if kernel is None or positions is None or hidden is None or kernel.ndim != 4 or positions.ndim != 3:
        raise DataError(
            f"{where} holds no vision transformer that swath knows; expected patch_embed.proj.weight, "
            f"pos_embed and blocks.0.mlp.fc1.weight, found {', '.join(list(tensors)[:5])}."
        )
    width, bands, patch, _ = kernel.shape
    side = math.isqrt(max(0, positions.shape[1] - 1))
    if side < 1 or side**2 + 1 != positions.shape[1]:
        raise DataError(
            f"{where} has {positions.shape[1]} positions; expected one for the class token and a square grid."
        )
    if width not in _HEADS:
        raise DataError(
            f"{where} is {width} wide, and the number of attention heads is not in the file; known are the "
            f"widths {', '.join(map(str, sorted(_HEADS)))}."
        )
    depth = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    return ViTShape(
        width, depth, _HEADS[width], patch, bands, side * patch,
        mlp_ratio=hidden.shape[0] / width, position=position,
    )  # fmt: skip


def position_mode(content: Mapping[str, Any]) -> PositionMode:
    """How the network resamples positions: as timm where the file holds a classifier or timm's wrapping."""
    wrapped = any(key in content for key in ("state_dict", "model"))
    classifier = any(name in content for name in ("head.weight", "head.bias"))
    return "timm" if wrapped or classifier else "dino"


def size_name(shape: ViTShape) -> str | None:
    """The name of a size in swath: 'vit_small', or None."""
    sizes = {size: name for name, size in SIZES.items()}
    return sizes.get((shape.width, shape.depth, shape.heads))
