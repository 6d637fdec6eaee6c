"""The real runs of docs/results.md: the whole flow on archives that are not part of this project.

    python benchmarks/real_runs.py --data FOLDER --out WORK [--only eurosat ucmerced sentinel2 naip] [--method
    simclr]

FOLDER holds eurosat_rgb.zip, ucmerced_multilabel_128px.zip, sentinel2_scenes.zip and naip_two_years.zip. Each
run is resumable: the same line again goes on. A table in Markdown is printed at the end and written to
WORK/results.md.
"""

import argparse
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import swath


@dataclass(frozen=True)
class Case:
    """One archive: its zip, where in it the imagery lies, and the settings of each stage."""

    zip: str
    folder: str
    minutes: float
    index: dict[str, Any]
    split: dict[str, Any] | None = None


CASES = {
    "eurosat": Case(
        "eurosat_rgb.zip", ".", 10,
        index={"layout": "folder", "label_column": "class"},
        split={"by": "random", "test_share": 0.2, "val_share": 0.0},
    ),
    "ucmerced": Case(
        "ucmerced_multilabel_128px.zip", ".", 10,
        index={"layout": "folder", "label_columns": "binary"},
        split={"by": "random", "test_share": 0.2, "val_share": 0.0},
    ),
    "sentinel2": Case(
        "sentinel2_scenes.zip", "Major-TOM-Core", 5,
        index={"layout": "scenes", "tile_px": 32, "stride_px": 16},
    ),
    "naip": Case("naip_two_years.zip", ".", 5, index={"layout": "scenes", "tile_px": 32, "stride_px": 16}),
}  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, default=Path("runs"))
    arguments.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    arguments.add_argument("--method", choices=("dino", "simclr"), default="simclr")
    arguments.add_argument("--minutes", type=float, help="instead of the minutes of the case")
    asked = arguments.parse_args()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    lines = [f"commit {commit.stdout.strip()}, method {asked.method}", ""]
    for name in asked.only:
        lines += run_case(name, asked.data, asked.out, method=asked.method, minutes=asked.minutes)
    text = "\n".join(lines) + "\n"
    (asked.out / f"results-{asked.method}.md").write_text(text, encoding="utf-8")
    print(text)


def run_case(name: str, data: Path, out: Path, *, method: str, minutes: float | None) -> list[str]:
    """Index, split, pack, pretrain, probe and report one archive; returns lines of Markdown."""
    case = CASES[name]
    work = out / name
    work.mkdir(parents=True, exist_ok=True)
    source = unpack(data / case.zip, work / "imagery") / case.folder
    tiles = work / "tiles.lance"
    lines = [f"### {name}", ""]
    if not tiles.exists():
        indexed = swath.index(source, out=work / "index.parquet", **case.index)
        lines.append(f"index: {indexed.tiles:,} tiles in {indexed.seconds:.1f} s")
        if case.split:
            swath.split(work / "index.parquet", out=work / "split.parquet", **case.split)
        packed = swath.pack(work / ("split.parquet" if case.split else "index.parquet"), out=tiles)
        lines.append(
            f"pack: {packed.tiles:,} tiles of {packed.size_px} px, {packed.tiles_per_s:,.0f} tiles/s"
        )
    run = swath.pretrain(
        tiles,
        out=work / method,
        preset="demo",
        method=method,
        minutes=minutes or case.minutes,
        batch_size=128,
    )
    lines += ["pretrain: `" + json.dumps(run.to_json()) + "`", ""]
    if case.split:
        lines += probe_table(work / method, tiles)
    swath.report(work / method)
    return [*lines, ""]


def probe_table(run: Path, tiles: Path) -> list[str]:
    """Rows a baseline, columns a score, for both probes."""
    lines = ["| probe | features | accuracy | macro AP | micro AP |", "|---|---|---|---|---|"]
    for task in ("knn", "linear"):
        result = swath.probe(run, tiles, task=task).to_json()
        for features, scores in {**result["baselines"], "pretrained": result}.items():
            cells = [cell(scores.get(key)) for key in ("accuracy", "map_macro", "map_micro")]
            lines.append(f"| {task} | {features} | {' | '.join(cells)} |")
    return lines


def cell(interval: list[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.3f} [{interval[1]:.3f}, {interval[2]:.3f}]"


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a zip once; the archives of this benchmark are the caller's own."""
    if not folder.exists():
        with zipfile.ZipFile(archive) as source:
            source.extractall(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
