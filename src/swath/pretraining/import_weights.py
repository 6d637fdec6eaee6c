"""Stage: weights of another program -> run. What they are, what they see, and whether training can go on."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from swath.arguments import command_line
from swath.config import ImportConfig, PretrainConfig
from swath.data.bands import BandGroup, TileFormat, check_same_input, true_colour
from swath.data.store import TileStore
from swath.errors import DataError, UsageError
from swath.files import sha256_of
from swath.location import absolute
from swath.models.foreign import chosen_network, position_mode, shape_of_weights
from swath.models.pickled import CONTRACT, read_weights
from swath.models.vit import VisionTransformer, ViTShape
from swath.models.weights import check_finite, described, load_backbone
from swath.pretraining.dino_checkpoint import Training, is_training, to_training
from swath.results import Result
from swath.runtime.checkpoint import save_checkpoint
from swath.runtime.run import Run, claim

# What torchvision's transforms, and so nearly every network trained on photographs, subtract and divide by.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RGB = ("red", "green", "blue")
_LISTED = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImportResult(Result):
    """The run, its network, which tensors found their place, and the step where training goes on."""

    out: Path
    network: str
    matched: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    positions: str
    bands: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    goes_on_at_step: int | None
    of_steps: int | None


def run(config: ImportConfig) -> ImportResult:
    """Write the run folder `config.out`, which embed, probe, export and --init take like any other.

    Raises:
        UsageError: the folder holds something, or the bands do not fit the weights.
        DataError: the file is damaged, holds code, or is no network that swath knows.
    """
    content = read_weights(config.file)
    tensors = chosen_network(content, where=config.file)
    check_finite(tensors, where=str(config.file))
    shape = shape_of_weights(tensors, position=position_mode(content), where=config.file)
    network = VisionTransformer(shape, torch.Generator().manual_seed(0))
    report = load_backbone(network, tensors, allow_missing=config.allow_missing)
    store = TileStore(config.tiles) if config.tiles else None
    contract = _contract(config, content, shape, store)
    training = _training(content, shape, store)
    with claim(config.out) as exists:
        if exists:
            raise UsageError(f"{config.out} holds a run already; choose another --out")
        _write(config, network, contract, training, store)
    return ImportResult(
        out=config.out,
        network=described(network.state_dict()),
        matched=len(report.matched), missing=_listed(report.missing), unexpected=_listed(report.unexpected),
        positions=shape.position, bands=contract.bands, mean=contract.mean, std=contract.std,
        goes_on_at_step=training.step if training else None,
        of_steps=training.recipe.steps if training else None,
    )  # fmt: skip


def _contract(
    config: ImportConfig, content: Mapping[str, Any], shape: ViTShape, store: TileStore | None
) -> TileFormat:
    """What the weights see: as written in a file that swath exported, else photographs as torchvision's."""
    if config.bands and store:
        raise UsageError("--bands would change nothing beside --tiles, whose bands are taken; leave it out")
    if CONTRACT in content:
        return _stored(content[CONTRACT], config, store)
    if store:
        return _of_pack(store, shape)
    bands = config.bands or RGB
    if len(bands) != shape.in_channels:
        raise UsageError(
            f"the weights see {shape.in_channels} bands, {','.join(bands)} are {len(bands)}; name them with "
            "--bands A,B,..., or give the --tiles they will meet"
        )
    if len(bands) != len(RGB):
        raise UsageError(
            f"the weights see {len(bands)} bands, and no file says how these were scaled; give the --tiles "
            "they were trained on, whose statistics are taken"
        )
    return TileFormat(
        bands=bands, groups=(BandGroup(bands, shape.image_px, "uint8"),), gsd_m=None,
        low=(0.0,) * 3, high=(255.0,) * 3, mean=IMAGENET_MEAN, std=IMAGENET_STD,
    )  # fmt: skip


def _stored(described: str, config: ImportConfig, store: TileStore | None) -> TileFormat:
    contract = TileFormat.from_json(json.loads(described))
    if config.bands:
        raise UsageError(
            f"--bands {','.join(config.bands)} would change nothing: {config.file} says itself that it sees "
            f"{','.join(contract.bands)}; leave it out"
        )
    if store:
        check_same_input(contract, store.format, where="the pack")
    return contract


def _of_pack(store: TileStore, shape: ViTShape) -> TileFormat:
    bands = store.format.bands
    if len(bands) != shape.in_channels:
        raise UsageError(
            f"the weights see {shape.in_channels} bands, the tiles have {','.join(bands)}; pack "
            f"{shape.in_channels} of them with --bands"
        )
    if len(bands) != len(RGB):
        log.info("the weights see other than 3 bands: mean and std are those of the tiles")
        return store.format
    if true_colour(bands) != (0, 1, 2):
        red, green, blue = (bands[place] for place in true_colour(bands))
        raise UsageError(
            f"the weights see red, green, blue in this order, the tiles have {','.join(bands)}; pack with "
            f"--bands {red},{green},{blue}"
        )
    return replace(store.format, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def _training(content: Mapping[str, Any], shape: ViTShape, store: TileStore | None) -> Training | None:
    if not is_training(content):
        return None
    if store is None:
        log.info("the checkpoint holds a training; to go on with it, import it with --tiles TILES")
        return None
    try:
        return to_training(content, shape)
    except DataError as error:
        log.warning(f"training cannot go on: {error}. The run holds the backbone alone; use it with --init")
        return None


def _write(
    config: ImportConfig,
    network: VisionTransformer,
    contract: TileFormat,
    training: Training | None,
    store: TileStore | None,
) -> None:
    source = {"file": str(config.file.resolve()), "sha256": sha256_of(config.file)}
    resolved: dict[str, object] = {"imported": source}
    tensors = {"teacher": {f"backbone.{name}": value for name, value in network.state_dict().items()}}
    state: dict[str, Any] = {
        "method": "imported", "vit": network.shape.to_json(), "tiles": contract.to_json(), "vocabulary": [],
        "step": 0, "samples": 0,
    }  # fmt: skip
    if training and store and config.tiles:
        asked = PretrainConfig(tiles=config.tiles, out=config.out).model_dump(mode="json")
        asked |= {"bands": ",".join(store.format.bands), "pack": store.digest}
        resolved |= {
            "tiles": absolute(config.tiles), "recipe": training.recipe.model_dump(), "asked": asked,
        }  # fmt: skip
        tensors = training.tensors
        state |= {
            "method": training.recipe.method, "step": training.step,
            "samples": training.step * training.recipe.batch_size,
        }  # fmt: skip
    made = Run.create(config.out, resolved, command=command_line("import", config))
    save_checkpoint(made.checkpoints, step=int(state["step"]), tensors=tensors, state=state)


def _listed(names: tuple[str, ...]) -> tuple[str, ...]:
    more = (f"and {len(names) - _LISTED} more",) if len(names) > _LISTED else ()
    return names[:_LISTED] + more
