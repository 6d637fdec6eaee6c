"""Stage: run -> report.html and MODEL_CARD.md, for a colleague who has neither swath nor the data."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from swath import storage
from swath.config import ReportConfig
from swath.copies import files_put
from swath.data.bands import TileFormat
from swath.data.store import TileStore
from swath.errors import DataError, UsageError
from swath.features.backbone import FrozenBackbone, open_backbone
from swath.files import file_aside
from swath.location import Location, location
from swath.pages.page import page
from swath.pages.pictures import Display
from swath.results import Result
from swath.runtime.mirror import run_here
from swath.runtime.run import Run
from swath.transfer.report.facts import read_run_facts, read_tile_facts
from swath.transfer.report.headline import footer, masthead
from swath.transfer.report.leaks import leak_banner, read_leaks
from swath.transfer.report.model_card import model_card
from swath.transfer.report.sections import Inputs, sections

_PAGE, _CARD = "report.html", "MODEL_CARD.md"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReportResult(Result):
    """Where the page lies and how large it is."""

    out: Location
    bytes: int
    model_card: Location


def run(config: ReportConfig) -> ReportResult:
    """Write the page, and the model card beside it.

    Raises:
        UsageError: no run is there, or its tiles are not known.
        DataError: the tiles are missing or damaged, or are not of the kind that the run was trained on.
        MachineError: the disk is full.
    """
    if config.ladder and not storage.is_file(config.ladder):
        raise UsageError(
            f"{config.ladder} is not there; make it with: swath ladder TILES --runs {config.run}"
        )
    with run_here(config.run) as folder, _here(config.out or folder / _PAGE) as local:
        size = _write(_open(config, folder, local.parent), local)
    out = config.out or config.run / _PAGE
    return ReportResult(out=out, bytes=size, model_card=out.with_name(_CARD))


@contextlib.contextmanager
def _here(page: Location) -> Iterator[Path]:
    """The page to write, with what lies beside it; one on S3 is made here, and then put there."""
    if isinstance(page, Path):
        yield page
        return
    with files_put(page.parent, last=page.name) as folder:
        yield folder / page.name


def _write(inputs: Inputs, out: Path) -> int:
    """The page and the card; returns the bytes of the page."""
    text = page(
        f"swath report: {inputs.run.name}",
        masthead=masthead(inputs.run, inputs.tiles, banner=leak_banner(inputs.leaks)),
        sections=sections(inputs),
        footer=footer(inputs.run, inputs.tiles),
    )
    card = out.with_name(_CARD)
    for path, content in ((out, text), (card, model_card(inputs.run, inputs.tiles, inputs.leaks))):
        with file_aside(path) as aside:
            aside.write_text(content, encoding="utf-8")
    return out.stat().st_size


def _open(config: ReportConfig, folder: Path, beside: Path) -> Inputs:
    opened = Run.open(folder)
    stored = opened.config.get("tiles")
    if config.tiles is None and not isinstance(stored, str):
        raise UsageError(f"{config.run} does not say which tiles it was trained on; give them: --tiles TILES")
    store = TileStore(config.tiles or location(str(stored)))
    backbone = _backbone(opened)
    if backbone:
        backbone.check_fits(store.format, where=str(store.path))
    return Inputs(
        run=read_run_facts(opened, backbone.weights if backbone else None),
        tiles=read_tile_facts(store, path=_as_given(config, opened)),
        display=Display.of(store, _seen(backbone, store)),
        leaks=read_leaks(store),
        backbone=backbone,
        features=folder / "features.parquet",
        ladder=config.ladder or store.path.with_name("ladder") / "ladder.json",
        beside=beside,
    )


def _as_given(config: ReportConfig, opened: Run) -> str:
    """The path of the tiles as somebody typed it; the absolute one says little on another machine."""
    asked = opened.config.get("asked")
    typed = asked.get("tiles") if isinstance(asked, dict) else None
    return str(config.tiles or typed or location(str(opened.config["tiles"])).name)


def _backbone(opened: Run) -> FrozenBackbone | None:
    """A run without a whole checkpoint still gets a page: its curves may say why."""
    try:
        return open_backbone(opened)
    except DataError as error:
        log.warning(f"{error} The report goes on without the pictures that need the network.")
        return None


def _seen(backbone: FrozenBackbone | None, store: TileStore) -> TileFormat:
    """How stored pixels are scaled: as in training, where there was one."""
    given = store.format
    return replace(backbone.trained, groups=given.groups, gsd_m=given.gsd_m) if backbone else given
