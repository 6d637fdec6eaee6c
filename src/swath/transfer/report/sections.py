"""The parts of the page, in the order a colleague asks: what does it see, what is it worth, what made it."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from swath.errors import DataError
from swath.features.backbone import FrozenBackbone
from swath.features.table import Origin, origin_of, read_features
from swath.geography.leaks import Leaks
from swath.location import Location
from swath.pages.maps import atlas, scene_map
from swath.pages.markup import Markup
from swath.pages.mosaic import Boxes, Canvas, ground_boxes, lay_out, paint, sheet
from swath.pages.page import Section
from swath.pages.pictures import BARE, Display, Rgb, Rows
from swath.transfer.report.attention import TILES, attention_section, look
from swath.transfer.report.curves import learning_section
from swath.transfer.report.facts import RunFacts, TileFacts
from swath.transfer.report.galleries import Likeness, gallery_section, more_like_this
from swath.transfer.report.ground import ground_section, sample_rows
from swath.transfer.report.leaks import leaks_section
from swath.transfer.report.mistakes import mistakes_section
from swath.transfer.report.provenance import provenance_section
from swath.transfer.report.rungs import efficiency_section, read_ladder, report_ladder
from swath.transfer.report.scene import scene_section
from swath.transfer.report.tables import probe_section
from swath.transfer.report.tokens import token_picture
from swath.transfer.report.views import TILES as VIEWED
from swath.transfer.report.views import views_section

_SHEET_TILES, _SHEET_COLUMNS = 72, 12
_PLACED_SHARE = 0.95  # with fewer of the tiles on the map of the scene, there is a map of all tiles too

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Inputs:
    """All that the sections are made from; no backbone where the run has no checkpoint, no leaks
    where there is nothing to compare.
    """

    run: RunFacts
    tiles: TileFacts
    display: Display
    leaks: Leaks | None
    backbone: FrozenBackbone | None
    features: Path
    ladder: Location
    beside: Path


def sections(inputs: Inputs) -> list[Section]:
    """Compute every part that can be, and say for the others what would fill them."""
    run, tiles, display = inputs.run, inputs.tiles, inputs.display
    boxes = ground_boxes(display.store)
    embed = f"swath embed {run.path} {tiles.path} --out {run.path}/features.parquet"
    samples = sample_rows(display.store, _SHEET_TILES)
    canvas = paint(display, lay_out(display.store) or sheet(display.store, samples, columns=_SHEET_COLUMNS))
    rgb = display.rgb(canvas.unit[None])[0]
    rgb[~canvas.covered] = BARE
    return [
        _scene(inputs, canvas, rgb),
        probe_section(run, tiles, masks=_read(inputs.features.with_name("probe-segmentation.png"))),
        *(_by_labels(inputs) if tiles.labelled or not run.probes else []),
        gallery_section(display, _likenesses(inputs, boxes), command=embed),
        _attention(inputs, samples[:TILES]),
        ground_section(tiles, display, maps=_maps(inputs, canvas, rgb, boxes)),
        *([leaks_section(inputs.leaks, display.store)] if inputs.leaks else []),
        views_section(run, display, _trained(display, samples)[:VIEWED]),
        learning_section(run),
        provenance_section(run, tiles),
    ]


def _by_labels(inputs: Inputs) -> list[Section]:
    """What needs a label a tile, not masks."""
    run, tiles, beside = inputs.run, inputs.tiles, inputs.beside
    probe = f"swath probe {run.path} {tiles.path}"
    ladder = read_ladder(inputs.ladder, pack=inputs.display.store.digest)
    fewer = f"{probe} --label-fraction 0.01 0.1 1.0"
    return [
        efficiency_section(run.probes, ladder, beside=beside, command=fewer),
        report_ladder(ladder, beside=beside, command=f"swath ladder {tiles.path} --runs {run.path}"),
        mistakes_section(inputs.features.parent, inputs.display, inputs.backbone, probe=probe),
    ]


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _trained(display: Display, rows: Rows) -> Rows:
    """Those of the rows that pretraining draws from; the first of the pack where none of them is."""
    splits = display.store.splits()
    trained = np.flatnonzero(np.isin(splits, ["train", ""])).astype(np.int64)
    return found if len(found := rows[np.isin(rows, trained)]) else trained[:VIEWED]


def _scene(inputs: Inputs, canvas: Canvas, rgb: Rgb) -> Section:
    log.info("colouring the patch tokens of %d tiles", len(canvas.layout.rows))
    tokens = token_picture(inputs.backbone, canvas, like=rgb) if inputs.backbone else None
    return scene_section(rgb, tokens, layout=canvas.layout, run=inputs.run.path, words=inputs.display.words)


def _attention(inputs: Inputs, rows: Rows) -> Section:
    display = inputs.display
    looks = look(inputs.backbone, display.unit(rows), display) if inputs.backbone else None
    return attention_section(looks, run=inputs.run.path)


def _likenesses(inputs: Inputs, boxes: Boxes) -> list[Likeness] | None:
    """None where there are no features of this checkpoint and these tiles."""
    store = inputs.display.store
    if inputs.backbone is None or not inputs.features.exists():
        return None
    wanted, every = Origin.of(inputs.backbone, store), np.arange(len(store), dtype=np.int64)
    try:
        if origin_of(inputs.features) != wanted:
            log.warning(f"{inputs.features} is of another checkpoint or pack; the gallery is left out")
            return None
    except DataError as error:
        log.warning(f"{error} The gallery is left out.")
        return None
    features = read_features(inputs.features, every, origin=wanted)
    unseen = np.flatnonzero(store.splits() == "test").astype(np.int64)
    return more_like_this(features, boxes, unseen if len(unseen) else every)


def _maps(inputs: Inputs, canvas: Canvas, rgb: Rgb, boxes: Boxes) -> list[Markup]:
    splits = inputs.display.store.splits()
    layout, maps = canvas.layout, []
    if layout.joined:
        maps.append(scene_map(rgb, canvas, splits[layout.rows]))
    if not layout.joined or len(layout.rows) < _PLACED_SHARE * len(splits):
        maps += [found for found in [atlas(boxes, splits)] if found]
    return maps
