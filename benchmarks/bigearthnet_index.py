"""How fast BigEarthNet is indexed from folders with a JSON a patch, beside bigearthnet-gdf-builder.

    python benchmarks/bigearthnet_index.py --work /tmp/bench [--peer-python VENV/bin/python]

The rival needs its own environment: bigearthnet-gdf-builder==0.1.10 "fastcore<1.8" requests click. Each
measurement is a fresh process; its imports are not counted. Country borders, which the rival downloads, are
boxes here.
"""

import argparse
import json
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
from bigearthnet_archive import real_patches

from swath.config import IndexConfig
from swath.datasets.bigearthnet import source as bigearthnet
from swath.datasets.bigearthnet.catalogue import placed_v1
from swath.datasets.bigearthnet.footprint import corner_of, epsg_of
from swath.datasets.bigearthnet.lists import read_lists
from swath.datasets.bigearthnet.sensors import PATCH_M
from swath.errors import MachineError
from swath.prepare import index

RIVAL = """
import sys, time, rich.traceback, geopandas
from pathlib import Path
from shapely.geometry import box
import bigearthnet_gdf_builder.builder as builder
from bigearthnet_common.constants import COUNTRIES_ISO_A2
codes = sorted(COUNTRIES_ISO_A2)
borders = geopandas.GeoDataFrame(
    {"ISO_A3": codes, "ISO_A2": codes, "NAME": codes},
    geometry=[box(4 * n - 10, 35, 4 * n - 6, 70) for n in range(len(codes))], crs=4326)
builder._get_country_borders = lambda: borders
if __name__ == "__main__":
    source, out, what = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    build = builder.build_raw_ben_s2_parquet if what == "raw" else builder.build_recommended_s2_parquet
    started = time.perf_counter()
    build(source, output_path=out, n_workers=2, verbose=False)
    print("seconds", time.perf_counter() - started)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--patches", type=int, default=5_000)
    parser.add_argument("--child", nargs=2)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(CHILDREN[asked.child[0]](asked.work, int(asked.child[1]))))
        return
    asked.work.mkdir(parents=True, exist_ok=True)
    compare(asked.work, asked.patches, asked.peer_python)


def compare(work: Path, patches: int, peer: Path | None) -> None:
    folder = work / f"patches-{patches}"
    if not folder.exists():
        write_patches(folder, patches)
    for what in ("json", "all"):
        runs = [in_child(work, what, patches)["seconds"] for _ in range(3)]
        shown = ", ".join(f"{patches / seconds:,.0f}" for seconds in runs)
        print(f"swath, {what}: {shown} patches/s (three runs)", flush=True)
    if peer is None:
        return
    script = work / "rival.py"
    script.write_text(RIVAL, encoding="utf-8")
    for what in ("raw", "recommended"):
        command = [str(peer), str(script), str(folder), str(work / f"{what}.parquet"), what]
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=home_in(work)).stdout
        seconds = float(said.rsplit("seconds", 1)[1])
        print(f"gdf-builder, {what}: {patches / seconds:,.0f} patches/s ({seconds:.1f} s)", flush=True)


def home_in(work: Path) -> dict[str, str]:
    """The rival writes intermediate results below the home of the user."""
    return {"HOME": str(work), "PATH": "/usr/bin:/bin"}


def in_child(work: Path, what: str, number: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--work", str(work), "--child", what, str(number)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(json.loads(said.splitlines()[-1]))


def index_json(work: Path, patches: int) -> dict[str, float]:
    """As where the lists of bigearthnet-common are not installed: what the rival calls its raw table."""

    def not_installed() -> pa.Table:
        raise MachineError("left out of the measurement")

    bigearthnet.read_lists = not_installed
    return index_all(work, patches)


def index_all(work: Path, patches: int) -> dict[str, float]:
    """With official splits, countries, seasons and flags, unpacked from the lists of all 590,326 patches."""
    config = IndexConfig(source=work / f"patches-{patches}", out=work / "index.parquet")
    started = time.perf_counter()
    index.run(config)
    return measured(started)


def measured(started: float) -> dict[str, float]:
    seconds = time.perf_counter() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(seconds, 3), "peak_mb": round(peak_mb)}


CHILDREN = {"json": index_json, "all": index_all}


def write_patches(folder: Path, count: int) -> None:
    """The first patches of v1 by name: real names and places, pixels of the six real patches."""
    real = [
        {name.removeprefix(f"{patch}_"): data for name, data in files.items()}
        for patch, files in real_patches().items()
    ]
    patches = placed_v1(read_lists().slice(0, count)).to_pylist()
    for number, patch in enumerate(patches):
        (folder / patch["id"]).mkdir(parents=True)
        left, top = corner_of(patch["tile"])
        corner = (left + PATCH_M * patch["h"], top - PATCH_M * patch["v"])
        for ending, data in real[number % len(real)].items():
            change = moved if ending.endswith(".tif") else as_json
            held = change(data, corner, patch["tile"])
            (folder / patch["id"] / f"{patch['id']}_{ending}").write_bytes(held)


def moved(data: bytes, corner: tuple[int, int], tile: str) -> bytes:
    """A file with another tie point (tag 33922) and UTM zone (GeoTIFF key 3072)."""
    copy = bytearray(data)
    for at in range(10, 10 + 12 * int.from_bytes(data[8:10], "little"), 12):
        tag, _, count, value = struct.unpack_from("<HHII", data, at)
        if tag == 33922:
            struct.pack_into("<dd", copy, value + 24, *corner)
        if tag == 34735:
            keys = struct.unpack_from(f"<{count}H", data, value)
            zone = next(place for place in range(0, count, 4) if keys[place] == 3072)
            struct.pack_into("<H", copy, value + 2 * (zone + 3), epsg_of(tile))
    return bytes(copy)


def as_json(data: bytes, corner: tuple[int, int], tile: str) -> bytes:
    left, top = corner
    about_patch = json.loads(data)
    about_patch["coordinates"] = {"ulx": left, "uly": top, "lrx": left + PATCH_M, "lry": top - PATCH_M}
    zone = about_patch["projection"].split("UTM zone ")[1].split('"')[0]
    middle = 6 * int(tile[:2]) - 183
    old = 6 * int(zone[:-1]) - 183
    projection = about_patch["projection"].replace(f"zone {zone}", f"zone {tile[:2]}N")
    projection = projection.replace(f'central_meridian",{old}]', f'central_meridian",{middle}]')
    about_patch["projection"] = projection.replace(f'"326{zone[:-1]}"', f'"{epsg_of(tile)}"')
    about_patch["tile_source"] = f"S2A_MSIL1C_20170613T101031_N0205_R022_T{tile}_20170613T101608.SAFE"
    return json.dumps(about_patch).encode()


if __name__ == "__main__":
    main()
