"""A run's network as one graph, ONNX or TorchScript, compared with the run's own at two sizes of image.

Input `images`: (B, C, H, W) float32, standardised as the contract says; B is free, H and W are any multiples
of the patch. Outputs: `class_token` (B, D) and `patch_tokens` (B, N, D). The contract stands in the metadata.
"""

import importlib
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swath.errors import DataError, MachineError
from swath.files import file_aside
from swath.models.pickled import CONTRACT
from swath.models.portable import PortableViT
from swath.models.vit import VisionTransformer

_TOLERANCE = 1e-4
_OUTPUTS = ["class_token", "patch_tokens"]
_OPSET = 18

Tokens = tuple[Tensor, Tensor]
log = logging.getLogger(__name__)


def check_onnx_is_there() -> None:
    """Raise MachineError, before anything is computed, where the extra is missing."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MachineError(f'--format onnx needs {name}: pip install "swath[onnx]"') from error


def write_onnx(path: Path, network: VisionTransformer, contract: str) -> None:
    """Write an ONNX file whose batch and image size are free."""
    import onnx  # noqa: PLC0415 -- an extra

    patch = network.shape.patch_size
    rows, columns = torch.export.Dim("rows", min=1, max=4096), torch.export.Dim("columns", min=1, max=4096)
    free = {"images": {0: torch.export.Dim("batch"), 2: patch * rows, 3: patch * columns}}
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        program = torch.onnx.export(
            PortableViT(network).eval(), (_noise(network, 2, (3, 5)),), dynamo=True, opset_version=_OPSET,
            input_names=["images"], output_names=_OUTPUTS, dynamic_shapes=free, verbose=False,
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, {CONTRACT: contract})
    with file_aside(path) as aside:
        aside.write_bytes(model.SerializeToString())


def write_torchscript(path: Path, network: VisionTransformer, contract: str) -> None:
    """Write a TorchScript file; torch.jit.load gives the contract back as an extra file named `swath`."""
    with warnings.catch_warnings(), torch.inference_mode(), file_aside(path) as aside:
        warnings.simplefilter("ignore")  # torch.jit is no longer developed
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]  # of torch
            PortableViT(network).eval(), _noise(network, 2, (3, 5)), check_trace=False
        )
        torch.jit.save(traced, str(aside), _extra_files={CONTRACT: contract})


def difference_onnx(path: Path, expected: VisionTransformer) -> float:
    """The largest, as `_largest` finds it in onnxruntime."""
    import onnxruntime  # noqa: PLC0415 -- an extra

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tokens:
        class_token, patch_tokens = session.run(_OUTPUTS, {"images": images.numpy()})
        return torch.from_numpy(class_token), torch.from_numpy(patch_tokens)

    return _largest(run, expected, "onnxruntime")


def difference_torchscript(path: Path, expected: VisionTransformer) -> float:
    """The same of the file read back by torch.jit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph: Any = torch.jit.load(str(path))  # type: ignore[no-untyped-call]  # of torch
    return _largest(graph, expected, "torch.jit")


@torch.inference_mode()
def _largest(graph: Callable[[Tensor], Tokens], expected: VisionTransformer, where: str) -> float:
    """Of all tokens of noise: one image of the learned size, and three of another, not square.

    Raises:
        DataError: it is above 1e-4.
    """
    side = expected.shape.side
    found = 0.0
    for count, grid in ((1, (side, side)), (3, (side + 2, max(1, side - 1)))):
        images = _noise(expected, count, grid)
        class_token, patch_tokens = graph(images)
        tokens = torch.cat([class_token[:, None], patch_tokens], dim=1)
        largest = float((tokens - expected.eval().tokens(images)).abs().max())
        size = "x".join(map(str, images.shape))
        log.info(f"{where}: the largest difference of the tokens of {size} is {largest:.2g}")
        found = max(found, largest)
    if found > _TOLERANCE:
        raise DataError(f"what was written gives tokens that differ by {found:.2g}; please report it")
    return found


def _noise(network: VisionTransformer, count: int, grid: tuple[int, int]) -> Tensor:
    patch, generator = network.shape.patch_size, torch.Generator().manual_seed(0)
    height, width = grid[0] * patch, grid[1] * patch
    return torch.randn(count, network.shape.in_channels, height, width, generator=generator)
