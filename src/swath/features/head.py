"""A fitted linear probe on disk, with the contract of the input that it takes.

A head is a safetensors file: weights (D, K), bias (K,), mean (D,), std (D,), float32; what one must know to
use it stands in its metadata, as text.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from swath.data.bands import TileFormat
from swath.errors import DataError
from swath.features.backbone import FrozenBackbone
from swath.models.weights import load_weights, read_metadata, save_weights
from swath.scores.logistic import LogisticProbe

_ARRAYS = ("weights", "bias", "mean", "std")
_KEY = "contract"


@dataclass(frozen=True)
class Contract:
    """What a head was fitted on: class names in order, the network, the feature, and how pixels are read.

    `tiles` is the format whose range and statistics scale the pixels: that of the run, or of the tiles that
    the head was fitted on where those are other data.
    """

    class_names: tuple[str, ...]
    checkpoint: str
    features: str
    scale: str
    image_px: int
    tiles: dict[str, Any]
    split: str

    @classmethod
    def of(
        cls,
        backbone: FrozenBackbone,
        vocabulary: tuple[str, ...],
        *,
        split: str,
        given: TileFormat | None = None,
    ) -> "Contract":
        """`given`: the format of the tiles; needed only where they are other data than the run's."""
        scaled_by = given if given is not None and backbone.scale == "tiles" else backbone.trained
        return cls(
            class_names=vocabulary,
            checkpoint=backbone.weights.checkpoint,
            features=str(backbone.content),
            scale=backbone.scale,
            image_px=backbone.image_px,
            tiles=scaled_by.to_json(),
            split=split,
        )


def head_path(probe_json: Path) -> Path:
    """probe-linear.json -> probe-linear-head.safetensors: a name for every probe of a folder."""
    return probe_json.with_name(f"{probe_json.stem}-head.safetensors")


def save_head(path: Path, probe: LogisticProbe, contract: Contract) -> None:
    """Write a head, whole or not at all."""
    tensors = {name: torch.from_numpy(getattr(probe, name)).float() for name in _ARRAYS}
    metadata = {
        "task": probe.task,
        "strength": repr(probe.strength),
        "class_names": json.dumps(contract.class_names),
        _KEY: json.dumps(contract.__dict__),
    }
    save_weights(path, tensors, metadata)


def load_head(path: Path, *, wanted: Contract) -> LogisticProbe:
    """The probe of a head that fits: same classes in the same order, same network, feature and input.

    Raises:
        DataError: not a head, or one for something else; both sides are named.
    """
    stored = read_contract(path)
    _check_classes(path, stored.class_names, wanted.class_names)
    _check_bands(path, stored.tiles, wanted.tiles)
    for name in ("checkpoint", "features", "scale", "image_px"):
        if getattr(stored, name) != getattr(wanted, name):
            found, expected = str(getattr(stored, name))[:60], str(getattr(wanted, name))[:60]
            raise DataError(
                f"{path} was fitted on features of {name} {found}; these are of {name} {expected}. "
                "Fit a head for this run: swath probe RUN TILES"
            )
    return read_probe(path)


def read_contract(path: Path) -> Contract:
    """What the head in a file was fitted on.

    Raises:
        DataError: it is no head.
    """
    metadata = read_metadata(path)
    if _KEY not in metadata or "task" not in metadata:
        raise DataError(f"{path} is no head; expected a file that swath probe wrote (...-head.safetensors)")
    stored = json.loads(metadata[_KEY])
    return Contract(**{**stored, "class_names": tuple(stored["class_names"])})


def read_probe(path: Path) -> LogisticProbe:
    """The probe of a head, whatever it was fitted on; raises DataError as `read_contract`."""
    read_contract(path)
    metadata = read_metadata(path)
    arrays = {name: tensor.numpy().astype(np.float64) for name, tensor in load_weights(path).items()}
    task: Any = metadata["task"]
    return LogisticProbe(**arrays, strength=float(metadata["strength"]), task=task)


def _check_classes(path: Path, found: tuple[str, ...], expected: tuple[str, ...]) -> None:
    if found != expected:
        raise DataError(
            f"{path} tells {len(found)} classes apart ({', '.join(found[:4])}, ...); the tiles have "
            f"{len(expected)} ({', '.join(expected[:4])}, ...), and order counts. Fit a head for them: "
            "swath probe RUN TILES"
        )


def _check_bands(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    stored, given = TileFormat.from_json(found), TileFormat.from_json(expected)
    for name in ("bands", "low", "high", "mean", "std"):
        if getattr(stored, name) != getattr(given, name):
            raise DataError(
                f"{path} was fitted on {name} {_few(getattr(stored, name))}; the network reads "
                f"{_few(getattr(given, name))}. Fit a head for this run: swath probe RUN TILES"
            )


def _few(values: tuple[object, ...]) -> str:
    return ",".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values)
