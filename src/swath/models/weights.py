"""Weights to disk and back: safetensors only, never pickle, and nothing loads half without being said."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from swath.errors import DataError
from swath.files import file_aside
from swath.models.position import resample_positions
from swath.models.vit import SIZES, VisionTransformer

_log = logging.getLogger(__name__)

_PREFIXES = ("module.", "student.", "teacher.", "backbone.")
# Parts that training or classification puts beside a backbone; a network works the same without them.
_BESIDE = ("head.", "head_dist.", "dino_head.", "ibot_head.", "pre_logits.", "mask_token")
_SHOWN = 5
EXPECTED = (
    "expected weights as facebookresearch/dino, timm or swath export --format timm|dino write them; "
    "graphs (ONNX, TorchScript) are not read."
)


@dataclass(frozen=True)
class LoadReport:
    """Names of the tensors that were loaded, that the weights lack, and that the network has no place for."""

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def save_weights(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, whole or not at all; `metadata` is readable without loading a tensor.

    Raises:
        MachineError: the disk is full or cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with file_aside(path) as aside:
        save_file(plain, aside, metadata=dict(metadata) if metadata is not None else None)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, on the CPU.

    Raises:
        DataError: no such file, not safetensors, damaged, or values that are not finite.
    """
    check_is_safetensors(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, ValueError) as error:
        raise DataError(_damaged(path, error)) from error
    check_finite(tensors, where=str(path))
    return tensors


def read_metadata(path: Path) -> dict[str, str]:
    """What `save_weights` was given as `metadata`; raises DataError as `load_weights` does."""
    check_is_safetensors(path)
    try:
        with safe_open(path, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except (SafetensorError, ValueError) as error:
        raise DataError(_damaged(path, error)) from error


def load_backbone(
    network: VisionTransformer, tensors: Mapping[str, Tensor], *, allow_missing: bool = False
) -> LoadReport:
    """Copy weights into `network`, whatever training wrapped around their names.

    Prefixes such as "module." and "backbone." are dropped; heads are left out and reported as unexpected;
    positions of another grid are resampled in the network's own mode. Nothing is copied unless all fits.

    Raises:
        DataError: tensors of another shape, missing (unless allowed), or for parts that this network lacks.
    """
    wanted = network.state_dict()
    given = _resampled(without_prefixes(tensors), network)
    report = LoadReport(
        matched=tuple(name for name in wanted if name in given),
        missing=tuple(name for name in wanted if name not in given),
        unexpected=tuple(name for name in given if name not in wanted),
    )
    _check_fit(report, given, wanted, allow_missing=allow_missing)
    network.load_state_dict({name: given[name] for name in report.matched}, strict=False)
    _log.debug(
        f"weights: {len(report.matched)} tensors loaded, {len(report.missing)} missing, "
        f"{len(report.unexpected)} left out"
    )
    return report


def check_finite(tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Refuse NaN and infinity: a network with one of them gives nothing else.

    Raises:
        DataError: names the first such tensor and counts the others.
    """
    bad = {
        name: int(tensor.numel() - tensor.isfinite().sum())
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not tensor.isfinite().all()
    }
    if bad:
        first, count = next(iter(bad.items()))
        others = f" and {len(bad) - 1} more tensors" if len(bad) > 1 else ""
        raise DataError(f"{where} holds {count} values that are not finite in {first}{others}; refused.")


def check_is_safetensors(path: Path) -> None:
    """Look at the first bytes only.

    Raises:
        DataError: no such file, empty, a pickle, a web page, or anything else.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected weights in a .safetensors file.")
    with path.open("rb") as stream:
        start = stream.read(16)
    if not start:
        raise DataError(f"{path} is empty (0 bytes); copy it again.")
    if start[8:9] == b"{":
        return  # eight bytes of length, then JSON; the length may begin like any other format
    if start[:2] == b"PK" or start[:1] == b"\x80":
        raise DataError(
            f"{path} is not safetensors but a pickle; make a run of it first: swath import {path} --out RUN"
        )
    if start.lstrip()[:1] == b"<":
        raise DataError(f"{path} is a web page, not weights; download the file itself.")
    if len(start) > 8:
        raise DataError(f"{path} is neither .safetensors nor .pth; {EXPECTED}")


def _damaged(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())
    return f"{path} is not a whole safetensors file ({reason}); copy it again."


def without_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """module.backbone.norm.weight -> norm.weight."""
    plain: dict[str, Tensor] = {}
    for full_name, tensor in tensors.items():
        name = full_name
        while name.startswith(_PREFIXES):
            name = name.split(".", 1)[1]
        if name in plain:
            raise DataError(
                f"the weights hold {name} twice, as {full_name} too; give the weights of one network."
            )
        plain[name] = tensor
    return plain


def _resampled(tensors: dict[str, Tensor], network: VisionTransformer) -> dict[str, Tensor]:
    """The same with positions on the grid of `network`, where they are of its width on another grid."""
    positions = tensors.get("pos_embed")
    side, shape = network.shape.side, network.shape
    if positions is None or positions.ndim != 3 or positions.shape[::2] != (1, shape.width):
        return tensors
    learned = math.isqrt(max(0, positions.shape[1] - 1))
    if learned in {0, side} or learned**2 + 1 != positions.shape[1]:
        return tensors
    _log.info(
        f"positions resampled from {learned} x {learned} to {side} x {side} tokens, mode {shape.position}"
    )
    return tensors | {"pos_embed": resample_positions(positions, (side, side), shape.position)}


def _check_fit(
    report: LoadReport, given: dict[str, Tensor], wanted: dict[str, Tensor], *, allow_missing: bool
) -> None:
    differing = [name for name in report.matched if given[name].shape != wanted[name].shape]
    strange = [name for name in report.unexpected if not name.startswith(_BESIDE)]
    missing = () if allow_missing and report.matched else report.missing
    differences = _differences(differing, given, wanted)
    found, expected = described(given), described(wanted)
    if found and found != expected:
        raise DataError(f"weights are {found}; the network is {expected}. {differences}".rstrip())
    if differing:
        raise DataError(f"weights do not fit the network: {differences}")
    if missing:
        raise DataError(
            f"weights lack {len(missing)} of the {len(wanted)} tensors of the network: {_some(missing)}; "
            f"they hold {_some(list(given)) or 'none'}."
        )
    if strange:
        raise DataError(
            f"weights hold {_some(strange)}, which this network lacks; it would compute something else."
        )


def described(tensors: Mapping[str, Tensor]) -> str:
    """'vit_small/16 in 3 bands', or '' where it cannot be read off."""
    kernel = tensors.get("patch_embed.proj.weight")
    if kernel is None or kernel.ndim != 4:
        return ""
    width, bands, patch, _ = kernel.shape
    depth = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    known = [name for name, (w, d, _) in SIZES.items() if (w, d) == (width, depth)]
    size = f"{known[0]}/{patch}" if known else f"a ViT/{patch} {width} wide and {depth} deep"
    return f"{size} in {bands} band{'s' if bands > 1 else ''}"


def _differences(names: list[str], given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """The first few tensors whose shapes differ: 'norm.weight 384, not 768; ...'."""
    lines = [f"{name} is {_size(given[name])}, not {_size(wanted[name])}" for name in names[:_SHOWN]]
    more = f"; and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return "; ".join(lines) + more + ("." if lines else "")


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
