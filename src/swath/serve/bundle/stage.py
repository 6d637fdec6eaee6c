"""Stage: run -> bundle, one folder that others use without the training rooms."""

import importlib.metadata
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from swath.config import BundleConfig
from swath.data.store import TileStore
from swath.errors import SwathError, UsageError
from swath.features.backbone import open_backbone
from swath.features.content import Content
from swath.files import check_is_free
from swath.location import Location, absolute, location
from swath.models.weights import described
from swath.results import Result
from swath.runtime.checkpoint import Checkpoint
from swath.runtime.mirror import run_here
from swath.runtime.run import Run
from swath.serve.bundle import folder
from swath.serve.bundle.card import licence_text, model_card
from swath.serve.bundle.description import Description
from swath.serve.bundle.head_file import FoundHead, probed_head, tuned_head

_LARGEST_LICENCE = 1 << 20
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BundleResult(Result):
    """The folder, what it holds, and the digest that stands for all its bytes."""

    out: Location
    network: str
    bands: tuple[str, ...]
    gsd_m: float | None
    tile_px: int
    dim: int
    task: str | None
    class_names: tuple[str, ...]
    bytes: int
    digest: str


def run(config: BundleConfig) -> BundleResult:
    """Write the bundle `config.out`.

    Raises:
        UsageError: `run` is no run, `head` is no probe with a head, or `out` exists.
        DataError: no whole checkpoint, or a head that was fitted on another one.
        MachineError: the disk is full.
    """
    check_is_free(config.out)
    with run_here(config.run) as here:
        return _bundled(config, Run.open(here))


def _bundled(config: BundleConfig, found: Run) -> BundleResult:
    checkpoint = found.checkpoint()
    head = _head(config, found, checkpoint)
    whose, content = (head.whose, head.content) if head else ("teacher", Content())
    backbone = open_backbone(found, whose=whose, content=content)
    tensors = dict(backbone.network.state_dict())
    attribution, licence = _credits(found)
    about = Description(
        name=location(absolute(found.address)).name,
        network=backbone.network.shape,
        tiles=head.tiles if head else backbone.trained,
        content=content,
        weights=backbone.weights,
        head=head.facts if head else None,
        attribution=attribution,
        licence=licence,
        made_by=f"swath {importlib.metadata.version('swath')}",
    )
    return _written(config, about, tensors, head, command=_command(found.path))


def _head(config: BundleConfig, found: Run, checkpoint: Checkpoint) -> FoundHead | None:
    if config.head is None:
        head = tuned_head(checkpoint, found.path)
        if head is None:
            log.info("no --head: the bundle gives features, no classes")
        return head
    inside = found.path / config.head
    return probed_head(inside if inside.is_file() and not config.head.is_file() else config.head, checkpoint)


def _written(
    config: BundleConfig,
    about: Description,
    tensors: dict[str, Tensor],
    head: FoundHead | None,
    *,
    command: str,
) -> BundleResult:
    texts = {
        folder.DESCRIPTION: json.dumps(about.to_json(), indent=1, allow_nan=False) + "\n",
        folder.CARD: model_card(about, tensors, command),
        folder.LICENCE: licence_text(about) if config.licence is None else _licence(config.licence),
    }
    files = {folder.BACKBONE: tensors} | ({folder.HEAD: head.tensors} if head else {})
    written = folder.write_bundle(config.out, texts, files)
    return BundleResult(
        out=config.out,
        network=described(tensors),
        bands=about.tiles.bands,
        gsd_m=about.tiles.gsd_m,
        tile_px=about.tiles.size_px,
        dim=about.dim,
        task=about.head.task if about.head else None,
        class_names=about.head.class_names if about.head else (),
        bytes=written.bytes,
        digest=written.digest,
    )


def _licence(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_LICENCE:
            raise UsageError(f"--licence {path} is {path.stat().st_size:,} bytes; expected a text")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--licence {path} cannot be read as a text ({error})") from error


def _command(run: Path) -> str:
    path = run / "command.txt"
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def _credits(found: Run) -> tuple[str, str]:
    """Attribution and licence of the imagery, as the packed tiles say, where they can still be opened."""
    tiles = found.config.get("tiles")
    if not isinstance(tiles, str):
        return "", ""
    try:
        info = TileStore(location(tiles)).info
    except SwathError as error:
        log.warning(f"the bundle does not say whose imagery it learned from: {error}")
        return "", ""
    return str(info.get("attribution") or ""), str(info.get("licence") or "")
