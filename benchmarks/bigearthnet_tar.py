"""tar.gz -> packed RGB: swath beside tar -xzf, three rasterio opens a patch, and writing; speed and memory.

    python benchmarks/bigearthnet_tar.py --folder /tmp/bench --patches 5000 --rounds 3

The archive is made once in the folder and kept. Every run is a process of its own; the two take turns.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bigearthnet_archive import ROOT, write_archive

BANDS = ("B04", "B03", "B02")
RIVAL = """
import sys
from pathlib import Path
import numpy as np, rasterio
root, out, bands = Path(sys.argv[1]), sys.argv[2], sys.argv[3].split(",")
patches = sorted(root.iterdir())
pixels = np.lib.format.open_memmap(out, "w+", np.uint16, (len(patches), len(bands), 120, 120))
for number, patch in enumerate(patches):
    for channel, band in enumerate(bands):
        with rasterio.open(patch / f"{patch.name}_{band}.tif") as raster:
            pixels[number, channel] = raster.read(1)
pixels.flush()
"""


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--folder", type=Path, required=True)
    asked.add_argument("--patches", type=int, default=5000)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--no-rival", action="store_true", help="only swath: for its memory at other sizes")
    given = asked.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    archive = given.folder / f"{given.patches}.tar.gz"
    if not archive.exists():
        write_archive(archive, given.patches)
    index = _index(given.folder, given.patches)
    rows = []
    for _ in range(given.rounds):
        rows.append({"swath": _swath(archive, index, given.folder)})
        if not given.no_rival:
            rows[-1]["rival"] = _rival(archive, given.folder)
    for name in rows[0]:
        rates = [given.patches / row[name][0] for row in rows]
        peak = max(row[name][1] for row in rows)
        shown = ", ".join(f"{rate:.0f}" for rate in rates)
        print(
            f"{name:6} {statistics.median(rates):6.0f} patches/s ({shown}), at most {peak:.0f} MB of memory"
        )
    if not given.no_rival:
        ratios = [row["rival"][0] / row["swath"][0] for row in rows]
        print(f"ratio  {statistics.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})")


def _index(folder: Path, patches: int) -> Path:
    """The patches of the archive from the official lists, as a user has them before the download."""
    path = folder / f"index-{patches}.parquet"
    if not path.exists():
        _swath_command("index", "bigearthnet:v1", "--recommended", "--out", str(folder / "all.parquet"))
        import pyarrow.parquet as pq  # noqa: PLC0415 -- the timed processes are others

        pq.write_table(pq.read_table(folder / "all.parquet").slice(0, patches), path)
    return path


def _swath(archive: Path, index: Path, folder: Path) -> tuple[float, float]:
    out = folder / "tiles.lance"
    shutil.rmtree(out, ignore_errors=True)
    words = ("pack", str(index), "--pixels", str(archive), "--bands", ",".join(BANDS), "--out", str(out))
    return _timed([sys.executable, "-m", "swath.cli", *words])


def _rival(archive: Path, folder: Path) -> tuple[float, float]:
    extracted = folder / "extracted"
    shutil.rmtree(extracted, ignore_errors=True)
    extracted.mkdir()
    unpack_s, _ = _timed(["tar", "-xzf", str(archive), "-C", str(extracted)])
    read = [sys.executable, "-c", RIVAL, str(extracted / ROOT), str(folder / "rival.npy"), ",".join(BANDS)]
    read_s, peak_mb = _timed(read)
    shutil.rmtree(extracted)
    return unpack_s + read_s, peak_mb


def _swath_command(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "swath.cli", *words], check=True)


def _timed(command: list[str]) -> tuple[float, float]:
    """Seconds until a process has ended and its files are on the disk, and its peak memory in MB."""
    started, peak_kb = time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None:
            peak_kb = max(peak_kb, _peak_kb(process.pid))
            time.sleep(0.02)
        if process.returncode and process.stderr:
            raise SystemExit(process.stderr.read().decode())
    os.sync()
    return time.monotonic() - started, peak_kb / 1024


def _peak_kb(pid: int) -> int:
    """Linux keeps the highest resident size; what wait4 tells would include the process that forked."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) if found else 0


if __name__ == "__main__":
    main()
