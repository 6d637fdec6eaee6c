"""Does `swath predict` keep its network busy, and does its memory stay flat?

    python benchmarks/predict.py [--sides 1000,5490,10980] [--model vit_tiny] [--threads 1,2]

For each side and number of threads, in a process of its own: a generated scene of 13 bands (uint16 noise,
tiled GeoTIFF, zstd), tiles of 120 px that a ViT/16 sees as 112 px, an untrained network with a head of 10
classes, no overlap. Windows a second of the whole command, from the first look at the scene to the folder
with its maps, against those of the bare network on ready batches of 64 before and after; and the peak of
resident memory until the folder is there. A scene of nine windows goes first, so that what a process pays
once (pandas alone takes a second to import) is not taken for the speed of a scene; the loading of the network
is not counted either.
With one thread the network has one processor, and reading and writing another; with two it has both, and
nothing is left to hide behind. Run it on an idle machine.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from rasterio.windows import Window

import swath
from swath.data.bands import BandGroup, TileFormat
from swath.features.backbone import Weights
from swath.features.content import Content
from swath.models.vit import VisionTransformer, shape_of
from swath.serve.bundle import folder
from swath.serve.bundle.description import Description, HeadFacts

BANDS = tuple(f"band{number}" for number in range(1, 14))
TILE_PX, IMAGE_PX, PATCH_PX, CLASSES = 120, 112, 16, 10
ROUNDS, BATCH = 5, 64
ROW = "{:>7} {:>7} {:>7} {:>13} {:>9} {:>5} {:>7}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", default="1000,5490,10980")
    parser.add_argument("--model", default="vit_tiny")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--child", type=Path)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measured(given.child, given.sides, int(given.threads))))
        return
    names = ("side", "threads", "windows", "bare/s", "predict/s", "share", "peak MB")
    print(ROW.format(*names))
    with tempfile.TemporaryDirectory() as held:
        write_bundle(Path(held) / "bundle", given.model)
        write_scene(Path(held) / "first.tif", 3 * TILE_PX)
        for side in given.sides.split(","):
            write_scene(Path(held) / f"{side}.tif", int(side))
            for threads in given.threads.split(","):
                print_row(side, threads, held)
            (Path(held) / f"{side}.tif").unlink()


def print_row(side: str, threads: str, held: str) -> None:
    command = [sys.executable, __file__, "--child", held, "--sides", side, "--threads", threads]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    row = json.loads(said.splitlines()[-1])
    share = row["predict"] / (sum(row["bare"]) / 2)
    bare = " to ".join(f"{rate:.0f}" for rate in sorted(row["bare"]))
    numbers = (f"{row['predict']:.1f}", f"{share:.2f}", f"{row['peak_mb']:.0f}")
    print(ROW.format(side, threads, row["windows"], bare, *numbers), flush=True)


def measured(path: Path, side: str, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as out:
        swath.predict(path / "bundle", path / "first.tif", out=out, overlap=0)
        before = bare_rate(path / "bundle")
        result = swath.predict(path / "bundle", path / f"{side}.tif", out=out, overlap=0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        after = bare_rate(path / "bundle")
    return {
        "bare": (before, after),
        "windows": result.windows,
        "predict": result.windows_per_s,
        "peak_mb": peak,
    }


def bare_rate(path: Path) -> float:
    """Windows a second of the network alone, its best round."""
    model = swath.load(path)
    images = torch.randn(BATCH, len(BANDS), IMAGE_PX, IMAGE_PX)
    rates = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        model.backbone.of_images(images)
        rates.append(BATCH / (time.perf_counter() - started))
    return max(rates)


def write_bundle(path: Path, model: str) -> None:
    """An untrained network and a random head: speed does not depend on what they say."""
    shape = replace(shape_of(model, PATCH_PX, in_channels=len(BANDS), image_px=IMAGE_PX))
    network = VisionTransformer(shape, generator=torch.Generator().manual_seed(0))
    count = len(BANDS)
    tiles = TileFormat(
        bands=BANDS, groups=(BandGroup(BANDS, TILE_PX, "uint16"),), gsd_m=10.0,
        low=(0.0,) * count, high=(4000.0,) * count, mean=(0.3,) * count, std=(0.1,) * count,
    )  # fmt: skip
    names = tuple(f"class {k}" for k in range(CLASSES))
    about = Description(
        name="benchmark", network=shape, tiles=tiles, content=Content(),
        weights=Weights("none", 0, "untrained"), attribution="", licence="",
        head=HeadFacts("class", names, "", {}, 0, 0), made_by="benchmarks/predict.py",
    )  # fmt: skip
    head = {
        "weights": torch.randn(about.dim, CLASSES), "bias": torch.zeros(CLASSES),
        "mean": torch.zeros(about.dim), "std": torch.ones(about.dim),
    }  # fmt: skip
    texts = {folder.DESCRIPTION: json.dumps(about.to_json()), folder.CARD: "", folder.LICENCE: ""}
    folder.write_bundle(path, texts, {folder.BACKBONE: network.state_dict(), folder.HEAD: head})


def write_scene(path: Path, side: int) -> None:
    rng = np.random.default_rng(0)
    profile = {
        "driver": "GTiff", "width": side, "height": side, "count": len(BANDS), "dtype": "uint16",
        "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "zstd", "crs": "EPSG:32633",
        "bigtiff": "if_safer", "transform": rasterio.Affine(10, 0, 300_000, 0, -10, 5_900_000),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as scene:
        scene.descriptions = BANDS
        for top in range(0, side, 512):
            rows = min(512, side - top)
            pixels = rng.integers(500, 2500, (len(BANDS), rows, side), dtype=np.uint16)
            scene.write(pixels, window=Window(0, top, side, rows))


if __name__ == "__main__":
    main()
