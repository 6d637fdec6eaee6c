"""How time and memory grow with the archive: catalogue, audit and block split at 59 k, 590 k and 5.9 M rows.

    python benchmarks/scaling.py --work FOLDER [--rows 59000 590326] [--metadata metadata.parquet]
    python benchmarks/scaling.py --work FOLDER --figure docs/pictures/bigearthnet_scaling.svg

The catalogue of v1 (with --metadata that of v2, which has labels), cut short or repeated where no patch is:
12 UTM zones further east, then 3,330 km further south. Each measurement is a process of its own, its imports
included; all are kept in FOLDER/scaling.json, from which the figure is drawn.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

import swath
from swath.data.index import IndexWriter
from swath.datasets.bigearthnet import catalogue
from swath.datasets.bigearthnet.lists import read_lists
from swath.datasets.bigearthnet.metadata import read_metadata
from swath.datasets.bigearthnet.patches import MORE, about, index_batches
from swath.datasets.bigearthnet.sensors import SENTINEL2

SIZES = (59_000, 590_326, 5_900_000)
STEPS = ("catalogue", "audit", "split")
BLOCKS = {"by": "blocks", "block_m": 10_000, "gap_m": 1200}
_ZONES_EAST = 12  # a multiple of 6, after which the letters of MGRS repeat; v1 spans 8 zones
_ROUNDS = 60 // _ZONES_EAST
_CELLS_SOUTH = 2775


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="*", default=SIZES)
    parser.add_argument("--steps", nargs="*", choices=STEPS, default=STEPS)
    parser.add_argument("--metadata", type=Path, help="of v2: its patches in place of those of v1")
    parser.add_argument("--figure", type=Path, help="draw what was measured, and measure nothing")
    parser.add_argument("--child", choices=STEPS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        CHILDREN[asked.child](asked.work, asked.rows[0], asked.metadata)
    elif asked.figure:
        draw(json.loads((asked.work / "scaling.json").read_text(encoding="utf-8")), asked.figure)
    else:
        asked.work.mkdir(parents=True, exist_ok=True)
        for rows in asked.rows:
            for step in asked.steps:
                measure(asked.work, step, rows, asked.metadata)


def measure(work: Path, step: str, rows: int, metadata: Path | None) -> None:
    """One step in a process of its own; its last line goes on with what the process says of itself."""
    command = [sys.executable, __file__, "--work", str(work), "--child", step, "--rows", str(rows)]
    started = time.monotonic()
    said = subprocess.run(
        command + (["--metadata", str(metadata)] if metadata else []),
        capture_output=True,
        text=True,
        check=True,
    )
    found = {"seconds": round(time.monotonic() - started, 1), **json.loads(said.stdout.splitlines()[-1])}
    kept = work / "scaling.json"
    held: dict[str, dict[str, Any]] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    held.setdefault(step, {})[str(rows)] = found
    kept.write_text(json.dumps(held, indent=1), encoding="utf-8")
    print(f"{step} of {rows:,} rows: {found}", flush=True)


def make_catalogue(work: Path, rows: int, metadata: Path | None) -> None:
    if metadata:
        version, patches = "v2", catalogue.placed_v2(read_metadata(metadata), metadata)
    else:
        version, patches = "v1", catalogue.placed_v1(read_lists())
    order = catalogue.DEFAULT_ORDER[version]
    info = about(version, SENTINEL2, root="", labelled=bool(metadata), order=order)
    with IndexWriter(work / f"{rows}.parquet", info, more=MORE) as writer:
        for copy in range(-(-rows // len(patches))):
            part = elsewhere(patches.slice(0, rows - writer.rows), copy)
            for batch in index_batches(part, SENTINEL2, order=order):
                writer.append(batch)
    say()


def elsewhere(patches: pa.Table, copy: int) -> pa.Table:
    """The same patches under other names, on ground of their own."""
    if copy == 0:
        return patches
    tiles = patches["tile"].combine_chunks().dictionary_encode()
    moved = [
        f"{(int(name[:2]) - 1 + _ZONES_EAST * (copy % _ROUNDS)) % 60 + 1:02}{name[2:]}"
        for name in tiles.dictionary.to_pylist()
    ]
    south = pc.add(patches["v"], pa.scalar(_CELLS_SOUTH * (copy // _ROUNDS), pa.int32()))
    names = pc.binary_join_element_wise(patches["id"], f"copy{copy}", "_")
    changed = {"tile": pa.array(moved).take(tiles.indices), "v": south, "id": names}
    for name, values in changed.items():
        patches = patches.set_column(patches.column_names.index(name), name, values)
    return patches


def audit(work: Path, rows: int, _metadata: Path | None) -> None:
    result = swath.audit(work / f"{rows}.parquet", out=work / f"{rows}.png")
    test = result.splits["test"]
    say(overlapping=test.overlapping, touching=test.touching)


def split(work: Path, rows: int, _metadata: Path | None) -> None:
    result = swath.split(work / f"{rows}.parquet", out=work / f"{rows}.split.parquet", **BLOCKS)
    say(counts=result.counts, label_divergence=result.label_divergence)


def say(**found: object) -> None:
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak_mb": round(peak_mb), **found}))


CHILDREN = {"catalogue": make_catalogue, "audit": audit, "split": split}


def draw(held: dict[str, dict[str, Any]], path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 -- the timed processes are others

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "swath", "svg.fonttype": "none"}
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, 2, figsize=(7.5, 3), layout="constrained")
    for step, found in held.items():
        rows = sorted(map(int, found))
        for panel, key in zip(axes, ("seconds", "peak_mb"), strict=True):
            panel.loglog(rows, [found[str(count)][key] for count in rows], "o-", label=step)
    for panel, label in zip(axes, ("seconds", "peak memory, MB"), strict=True):
        panel.set(xlabel="rows", ylabel=label)
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(visible=True, which="major", color="#dddddd", linewidth=0.5)
    axes[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
