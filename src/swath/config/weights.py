"""Settings of import and export: weights of other programs -> a run, and back."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from swath.config.settings import Location, Names, Settings


class ImportConfig(Settings):
    """Make a run of weights that another program trained: facebookresearch/dino, or the names of timm."""

    file: Path
    """Weights, .pth or .safetensors. Nothing in them is run."""
    out: Path
    """Folder of the run."""
    tiles: Location | None = None
    """Packed tiles the weights will meet: the run takes their bands, pixel type and ground resolution."""
    bands: Names = ()
    """Names of the bands that the weights see, in their order; red,green,blue where neither these nor tiles
    are given."""
    allow_missing: bool = False
    """Accept weights that lack some tensors of the network; those keep their random start."""


class ExportConfig(Settings):
    """Write the weights of a run as another program reads them."""

    run: Location
    """Folder of a run, here or on S3."""
    out: Path
    """The file to write: .pth for dino, .pth or .safetensors for timm, .onnx, or .pt for torchscript."""
    format: Literal["timm", "dino", "onnx", "torchscript"] = "timm"
    """timm: the teacher's backbone; dino: a checkpoint of facebookresearch/dino, head and optimizer too;
    onnx, torchscript: one graph, batch and image size free."""
    image_px: Annotated[int, Field(ge=1)] | None = None
    """Resample the positions to images of this side: 224 for the scripts of facebookresearch/dino as they
    are."""
