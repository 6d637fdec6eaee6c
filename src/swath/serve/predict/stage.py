"""Stage: bundle + scenes -> maps and tables; see `swath.serve.predict`."""

import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from swath.config import PredictConfig
from swath.config.settings import part_of
from swath.data.bad_inputs import BadInput, write_listing
from swath.data.bands import canonical_band
from swath.data.raster import gdal_ready
from swath.datasets.scene import Scene, scene_of
from swath.errors import DataError, UsageError
from swath.files import folder_aside, write_json
from swath.results import Result
from swath.runtime.progress import duration
from swath.serve.bundle.model import Model, load
from swath.serve.predict import done
from swath.serve.predict.scene import SceneCount, predict_scene
from swath.serve.scene.fetching import Fetched, fetched
from swath.serve.scene.reader import SceneReader
from swath.serve.scene.sources import Source, find_sources

_SHOWN = 20  # scenes
_PARTS = {0.0: 1, 0.5: 2, 0.75: 4}
# GDAL keeps decoded blocks; its own default is a twentieth of the memory. One row of blocks has to fit; of
# 10,980 px, 13 bands of 16 bits and blocks of 512 px it is 143 MB.
_CACHE_BYTES = 160 << 20
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictResult(Result):
    """`scenes`: what was done, by name; `skipped` were done before; `bad` could not be read, and why."""

    out: Path
    task: str | None
    class_names: tuple[str, ...]
    scenes: dict[str, dict[str, Any]]
    skipped: tuple[str, ...]
    bad: dict[str, str]
    windows: int
    seconds: float
    windows_per_s: float

    def lines(self) -> list[str]:
        """What was done in all, and a line a scene."""
        done = [
            f"  {name}: {facts['width_px']:,} x {facts['height_px']:,} px, {facts['windows']:,} windows, "
            f"{facts['tiles']:,} tiles, {duration(facts['seconds'])}"
            for name, facts in self.scenes.items()
        ]
        left_out = [f"  {name} is left out: {reason}" for name, reason in self.bad.items()]
        more = len(done) - _SHOWN
        shown = [*done[:_SHOWN], *([f"  and {more:,} more: --json has all"] if more > 0 else [])]
        return [*Result.lines(replace(self, scenes={}, bad={})), *shown, *left_out]

    @property
    def exit_code(self) -> int:
        """3, as for a DataError, where a scene was bad: the others are done."""
        return DataError.exit_code if self.bad else 0


def run(config: PredictConfig) -> PredictResult:
    """Predict every scene that is not done yet.

    Raises:
        UsageError: no such bundle or scene, two scenes of one name, or an output that is something else.
        DataError: the bundle is damaged. (Of a scene: it is listed in the result and in bad_scenes.csv.)
        MachineError: the disk is full, or S3 cannot be reached.
    """
    model = load(config.bundle)
    if model.head is None and "overlap" in config.model_fields_set:
        raise UsageError("--overlap would change nothing: the bundle has no head, and features are of tiles")
    started = time.perf_counter()
    sources = _part(find_sources(config.scenes), config.part)
    asked = {source.name: _asked(config, model, source) for source in sources}
    waiting = [source for source in sources if not done.is_done(config.out / source.name, asked[source.name])]
    if len(waiting) < len(sources):
        log.info(f"{len(sources) - len(waiting)} of {len(sources)} scenes are done already")
    bad: list[BadInput] = []
    counts: dict[str, dict[str, Any]] = {}
    with gdal_ready(GDAL_CACHEMAX=_CACHE_BYTES):
        for scene in fetched(waiting):
            try:
                counts[scene.source.name] = _predict(config, model, scene, asked[scene.source.name])
            except DataError as error:
                bad.append(BadInput(str(scene.source), scene.in_place(str(error)), scene.source.name))
                log.warning(f"{scene.source.name} is left out: {bad[-1].reason}")
    _list(bad, config.out / "bad_scenes.csv")
    seconds = time.perf_counter() - started
    windows = sum(count["windows"] for count in counts.values())
    return PredictResult(
        out=config.out,
        task=model.task,
        class_names=model.class_names,
        scenes=counts,
        skipped=tuple(source.name for source in sources if source not in waiting),
        bad={one.id: one.reason for one in bad},
        windows=windows,
        seconds=seconds,
        windows_per_s=windows / seconds,
    )


def _part(sources: list[Source], part: str | None) -> list[Source]:
    """Every N-th: of neighbours in the list, which are often of one size, each machine gets some."""
    number, of = part_of(part) if part else (1, 1)
    return sources[number - 1 :: of]


def _asked(config: PredictConfig, model: Model, source: Source) -> dict[str, Any]:
    """What a prediction of a scene depends on: stored with it, and compared before it is taken as done."""
    return {
        "bundle": model.digest,
        "overlap": config.overlap if model.head else None,
        "multiply": config.multiply,
        "bands": list(config.bands),
        "files": source.identity(),
    }


def _predict(config: PredictConfig, model: Model, scene: Fetched, asked: dict[str, Any]) -> dict[str, Any]:
    """Write the folder of one scene."""
    opened = _named(scene_of(scene.source.group, scene.folder, max_pixels=config.max_pixels), config.bands)
    reader = SceneReader(opened, model.about.tiles, multiply=config.multiply, max_pixels=config.max_pixels)
    try:
        if reader.grid.crs is None:
            log.warning(f"{reader.name} has no location: its pixels are taken to be {_gsd(model)}")
        with folder_aside(config.out / scene.source.name) as folder:
            count = predict_scene(model, reader, folder, parts=_PARTS[config.overlap])
            facts = _facts(reader, count)
            write_json(folder / done.NAME, {done.MARK: done.FORMAT, "asked": asked, **facts})
    finally:
        reader.close()
    return facts


def _named(scene: Scene, bands: tuple[str, ...]) -> Scene:
    if not bands:
        return scene
    path = scene.rasters[0].path
    if not scene.names_made_up:
        raise DataError(f"{path} names its bands ({','.join(scene.bands)}); leave out --bands.")
    if len(bands) != len(scene.bands):
        raise DataError(f"{path} has {len(scene.bands)} bands, --bands names {len(bands)}.")
    return replace(scene, bands=tuple(canonical_band(band) for band in bands), names_made_up=False)


def _facts(reader: SceneReader, count: SceneCount) -> dict[str, Any]:
    grid = reader.grid
    return {
        "width_px": grid.width,
        "height_px": grid.height,
        "crs": grid.crs,
        "resampled": reader.resampled is not None,
        **asdict(count),
    }


def _gsd(model: Model) -> str:
    return f"{model.gsd_m:g} m" if model.gsd_m else "as those of training"


def _list(bad: list[BadInput], path: Path) -> None:
    if bad:
        write_listing(path, bad)
    else:
        path.unlink(missing_ok=True)
