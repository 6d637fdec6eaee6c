"""Stage: run -> weights for another program, compared with the run's own network after they are read back."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swath.config import ExportConfig
from swath.errors import DataError, MachineError, UsageError
from swath.models.foreign import chosen_network
from swath.models.pickled import CONTRACT, read_weights, save_pickled
from swath.models.position import resample_positions
from swath.models.vit import VisionTransformer, ViTShape
from swath.models.weights import load_backbone, save_weights
from swath.pretraining.dino_checkpoint import from_training
from swath.pretraining.export_graph import (
    check_onnx_is_there,
    difference_onnx,
    difference_torchscript,
    write_onnx,
    write_torchscript,
)
from swath.pretraining.recipe import Recipe
from swath.pretraining.state import TensorFiles
from swath.results import Result
from swath.runtime.checkpoint import Checkpoint
from swath.runtime.mirror import run_here
from swath.runtime.run import Run

_POSITIONS = "pos_embed"
_SUFFIXES = {
    "timm": (".pth", ".safetensors"),
    "dino": (".pth",),
    "onnx": (".onnx",),
    "torchscript": (".pt", ".ts"),
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportResult(Result):
    """The file, how the other program makes its network, and how far its features are from the run's."""

    out: Path
    format: str
    tensors: int
    in_chans: int
    network: str
    compared_with: str
    largest_difference: float


def run(config: ExportConfig) -> ExportResult:
    """Write `config.out`.

    Raises:
        UsageError: a suffix that the other program does not read, or an image side that is no whole patches.
        DataError: no whole checkpoint, or what was written does not give the same features.
    """
    _check_suffix(config)
    if config.format == "onnx":
        check_onnx_is_there()
    with run_here(config.run) as folder:
        found = Run.open(folder)
        checkpoint = found.checkpoint()
    shape = ViTShape.from_json(checkpoint.state["vit"])
    asked = replace(shape, image_px=config.image_px or shape.image_px)
    if asked.in_channels != 3:
        log.info(f"{asked.in_channels} bands: the other program must be told in_chans={asked.in_channels}")
    tensors = {
        name: _on_grid(file, shape, asked) if name in {"student", "teacher"} else file
        for name, file in checkpoint.tensors.items()
    }
    contract = json.dumps(checkpoint.state["tiles"])
    expected = VisionTransformer(asked)
    load_backbone(expected, _backbone(tensors))
    if config.format == "timm":
        _write_timm(config.out, _backbone(tensors), contract)
        network, other, difference = _timm_line(asked, config.out), "timm", _difference_to_timm
    elif config.format == "dino":
        save_pickled(config.out, _dino_content(found, checkpoint, tensors) | {CONTRACT: contract})
        network, other, difference = _dino_line(asked), "the file, read back", _difference_read_back
    elif config.format == "onnx":
        write_onnx(config.out, expected.eval(), contract)
        network = f'onnxruntime.InferenceSession("{config.out}")'
        other, difference = "onnxruntime, at two sizes", difference_onnx
    else:
        write_torchscript(config.out, expected.eval(), contract)
        network, other = f'torch.jit.load("{config.out}")', "torch.jit, at two sizes"
        difference = difference_torchscript
    largest = difference(config.out, expected)
    return ExportResult(
        config.out, config.format, len(_backbone(tensors)), asked.in_channels, network, other, largest
    )


def _check_suffix(config: ExportConfig) -> None:
    readable = _SUFFIXES[config.format]
    if config.out.suffix.lower() not in readable:
        raise UsageError(f"--out {config.out}: --format {config.format} is read from {' or '.join(readable)}")


def _on_grid(file: Mapping[str, Tensor], shape: ViTShape, asked: ViTShape) -> dict[str, Tensor]:
    """The same with positions resampled to the grid asked for, as facebookresearch/dino would."""
    name = f"backbone.{_POSITIONS}"
    if shape.image_px == asked.image_px:
        return dict(file)
    log.info(f"positions resampled from {shape.image_px} to {asked.image_px} px: features are not the run's")
    return dict(file) | {name: resample_positions(file[name], (asked.side, asked.side), shape.position)}


def _backbone(tensors: TensorFiles) -> dict[str, Tensor]:
    whole = "backbone."
    return {
        name.removeprefix(whole): value
        for name, value in tensors["teacher"].items()
        if name.startswith(whole)
    }


def _dino_content(found: Run, checkpoint: Checkpoint, tensors: TensorFiles) -> dict[str, Any]:
    recipe = found.config.get("recipe")
    if recipe is None:  # imported weights: there is a teacher alone
        return {"teacher": dict(tensors["teacher"])}
    return from_training(Recipe.model_validate(recipe), tensors, step=checkpoint.step)


def _write_timm(path: Path, backbone: dict[str, Tensor], contract: str) -> None:
    if path.suffix.lower() == ".pth":
        save_pickled(path, {"state_dict": backbone, CONTRACT: contract})
    else:
        save_weights(path, backbone, {CONTRACT: contract})


def _timm_settings(shape: ViTShape) -> dict[str, Any]:
    return {
        "num_classes": 0, "img_size": shape.image_px, "patch_size": shape.patch_size,
        "in_chans": shape.in_channels, "embed_dim": shape.width, "depth": shape.depth,
        "num_heads": shape.heads, "mlp_ratio": shape.mlp_ratio,
    }  # fmt: skip


def _timm_line(shape: ViTShape, path: Path) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in _timm_settings(shape).items())
    return f'timm.create_model("vit_small_patch16_224", {settings}, checkpoint_path="{path}")'


def _dino_line(shape: ViTShape) -> str:
    return (
        f"vision_transformer.VisionTransformer(img_size=[{shape.image_px}], patch_size={shape.patch_size}, "
        f"in_chans={shape.in_channels}, embed_dim={shape.width}, depth={shape.depth}, "
        f"num_heads={shape.heads}, mlp_ratio={shape.mlp_ratio:g}, qkv_bias=True, "
        "norm_layer=functools.partial(nn.LayerNorm, eps=1e-6))"
    )


def _difference_to_timm(path: Path, expected: VisionTransformer) -> float:
    try:
        import timm  # noqa: PLC0415 -- an extra, for this one comparison
    except ImportError as error:
        raise MachineError(
            f'{path} is written, but not compared: timm is not installed. pip install "swath[timm]"'
        ) from error
    model = timm.create_model(
        "vit_small_patch16_224", checkpoint_path=str(path), **_timm_settings(expected.shape)
    )
    return _largest_difference(model.eval(), expected)


def _difference_read_back(path: Path, expected: VisionTransformer) -> float:
    network = VisionTransformer(expected.shape)
    load_backbone(network, chosen_network(read_weights(path), where=path))
    return _largest_difference(network, expected)


@torch.inference_mode()
def _largest_difference(other: torch.nn.Module, expected: VisionTransformer) -> float:
    """Of the class tokens of four images of noise; 1e-4 would be another network.

    Raises:
        DataError: it is above 1e-4.
    """
    shape = expected.shape
    images = torch.randn(
        4, shape.in_channels, shape.image_px, shape.image_px, generator=torch.Generator().manual_seed(0)
    )
    largest = float((other(images) - expected.eval()(images)).abs().max())
    if largest > 1e-4:
        raise DataError(f"what was written gives features that differ by {largest:.2g}; please report it")
    return largest
