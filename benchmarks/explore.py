"""How fast the page of swath explore is with 100,000 tiles, in headless Chromium.

    python benchmarks/explore.py [--tiles 100000] [--folder DIR]

Tiles are 32 px of noise on a grid, features 384 numbers of 300 clusters with noise. `--folder` keeps archive,
features and plot, so that a second run measures the page alone. Figures are medians and the whole range; run
it on an idle machine.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
import torch
from playwright.sync_api import Page, sync_playwright

from swath.data.bands import BandGroup, TileFormat
from swath.data.store import TileStore
from swath.data.writer import TileWriter
from swath.features.backbone import open_backbone
from swath.features.table import Values, write_features
from swath.models.vit import VisionTransformer, ViTShape
from swath.runtime.checkpoint import save_checkpoint
from swath.runtime.run import Run
from swath.serve.explore.access import Access
from swath.serve.explore.archive import Archive, open_archive
from swath.serve.explore.routes import make_app
from swath.serve.explore.server import Server, listen
from swath.serve.explore.session import Session

SIZE_PX, DIM, CLUSTERS, BLOCK = 32, 384, 300, 10_000
BANDS = ("red", "green", "blue")
FORMAT = TileFormat(
    bands=BANDS, groups=(BandGroup(BANDS, SIZE_PX, "uint8"),), gsd_m=10.0,
    low=(0.0,) * 3, high=(255.0,) * 3, mean=(0.5,) * 3, std=(0.25,) * 3,
)  # fmt: skip
OPENINGS, CLICKS, FITS, FRAMES = 5, 20, 10, 30


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tiles", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        if not (folder / "run").exists():
            make_run(folder, asked.tiles)
        started = time.perf_counter()
        archive = open_archive(Run.open(folder / "run"), None)
        show("open the archive, plot kept or made", [time.perf_counter() - started], "s")
        refit(archive)
        listener = listen("127.0.0.1", None)
        access = Access(int(listener.getsockname()[1]))
        with Server(make_app(archive, access), listener):
            measure_page(f"http://127.0.0.1:{access.port}/?token={access.token}", len(archive))


def show(what: str, values: list[float], unit: str) -> None:
    middle, low, high = statistics.median(values), min(values), max(values)
    print(f"{what:48} {middle:10,.3g} {unit}  ({low:,.3g} to {high:,.3g}, n {len(values)})", flush=True)


def refit(archive: Archive) -> None:
    """Twenty marks of yes and twenty of no: the fit and the scores of all tiles."""
    session = Session(archive)
    rng = np.random.default_rng(1)
    seconds = []
    for _ in range(FITS):
        marks = rng.choice(len(archive), 40, replace=False).tolist()
        started = time.perf_counter()
        session.probe.scores(marks[:20], marks[20:])
        seconds.append(time.perf_counter() - started)
    show(f"refit and rank, {len(archive):,} x {archive.features.shape[1]}", seconds, "s")


def measure_page(address: str, tiles: int) -> None:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert path, "no chromium on the path"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        first = []
        for _ in range(OPENINGS):
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            page.goto(address)
            page.wait_for_selector("body[data-ready]")
            first.append(page.evaluate("performance.getEntriesByName('tiles-painted')[0].startTime / 1000"))
        show("first paint of all tiles, from the link on", first, "s")
        show("click until tile, neighbours and pictures stand", list(clicks(page, tiles)), "ms")
        show("mark until the archive is ranked on the page", list(marks(page)), "ms")
        show("one frame of moving the plot", frames(page, "plot"), "ms")
        show("one frame of moving the map", frames(page, "map"), "ms")
        browser.close()


# Runs in the page: a click, then the time until everything it asks for is there.
CLICK = """async (row) => {
  const stage = document.querySelector("#plot .stage"), box = stage.getBoundingClientRect();
  const [x, y] = stage.view.screen(row);
  const place = {clientX: box.left + x / stage.view.ratio, clientY: box.top + y / stage.view.ratio};
  const event = (name) => new PointerEvent(name, {...place, pointerId: 1, isPrimary: true, bubbles: true});
  stage.setPointerCapture = () => {};
  const started = performance.now();
  stage.dispatchEvent(event("pointerdown"));
  stage.dispatchEvent(event("pointerup"));
  const {state} = await import("/page/state.js");
  const chosen = state.current;
  const isThere = () => document.querySelector(`#tile[data-answered="${chosen}"]`)
    && document.querySelector(`#gallery[data-of="${chosen}"]`)
    && document.querySelector("#tile img").naturalWidth && document.querySelector("#gallery canvas")
    && !document.querySelector("#gallery canvas:not([data-painted])");
  while (!isThere()) await new Promise((go) => setTimeout(go, 2));
  return performance.now() - started;
}"""


def clicks(page: Page, tiles: int) -> Iterator[float]:
    for row in np.random.default_rng(2).choice(tiles, CLICKS, replace=False).tolist():
        yield page.evaluate(CLICK, row)


MARK = """async (value) => {
  const {state} = await import("/page/state.js");
  const before = state.scores, started = performance.now();
  document.body.dispatchEvent(new KeyboardEvent("keydown", {key: value, bubbles: true}));
  while (state.scores === before) await new Promise((go) => setTimeout(go, 2));
  return performance.now() - started;
}"""


def marks(page: Page) -> Iterator[float]:
    page.keyboard.press("3")
    for number in range(FITS):
        yield page.evaluate(MARK, "n" if number % 2 else "y")
        page.wait_for_timeout(300)


FRAME = """([view, count]) => {
  const found = document.querySelector(`#${view} .stage`).view, times = [];
  for (let k = 0; k < count; k++) {
    const started = performance.now();
    found.centre = [found.centre[0] + 1 / found.scale, found.centre[1]];
    found.draw();
    times.push(performance.now() - started);
  }
  return times;
}"""


def frames(page: Page, view: str) -> Any:
    return page.evaluate(FRAME, [view, FRAMES])


def make_run(folder: Path, tiles: int) -> None:
    """A pack, a run whose network never trained, and features that come from no network."""
    folder.mkdir(parents=True, exist_ok=True)
    with TileWriter(folder / "tiles.lance", groups=FORMAT.groups, info={}) as writer:
        for start in range(0, tiles, BLOCK):
            rows = np.arange(start, min(start + BLOCK, tiles))
            writer.append(columns_of(rows), [pixels_of(rows)])
        writer.finish(FORMAT, vocabulary=("water", "forest", "town"), task="class", index_digest="noise")
    store = TileStore(folder / "tiles.lance")
    settings = {"tiles": str(store.path), "recipe": {"method": "dino"}, "asked": {"pack": store.digest}}
    run = Run.create(folder / "run", settings, command="swath pretrain")
    shape = ViTShape(width=DIM // 2, depth=1, heads=3, patch_size=8, in_channels=3, image_px=SIZE_PX)
    network = VisionTransformer(shape, generator=torch.Generator().manual_seed(0))
    teacher = {f"backbone.{name}": tensor for name, tensor in network.state_dict().items()}
    state = {"step": 1, "vit": shape.to_json(), "tiles": store.format.to_json()}
    save_checkpoint(run.checkpoints, step=1, tensors={"teacher": teacher}, state=state)
    write_features(run.path / "features.parquet", store, open_backbone(run), features_of(tiles))


def columns_of(rows: np.ndarray) -> pa.Table:
    across, side = 400, 0.004
    y, x = np.divmod(rows, across)
    squares = shapely.box(10 + x * side, 50 + y * side, 10 + (x + 1) * side, 50 + (y + 1) * side)
    names = ("water", "forest", "town")
    return pa.table(
        {
            "id": [f"noise_{row}" for row in rows],
            "split": pa.array(np.where(rows % 5 == 0, "test", "train").tolist(), pa.string()),
            "labels": pa.array([[names[row % CLUSTERS % 3]] for row in rows], pa.list_(pa.string())),
            "geometry": pa.array(list(shapely.to_wkb(squares)), pa.binary()),
        }
    )


def pixels_of(rows: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(int(rows[0]))
    level = np.random.default_rng(7).integers(40, 200, (CLUSTERS, 3))[rows % CLUSTERS]
    noise = rng.integers(0, 50, (len(rows), 3, SIZE_PX, SIZE_PX))
    return np.asarray(level[:, :, None, None] + noise, dtype=np.uint8)


def features_of(tiles: int) -> Iterator[Values]:
    rng = np.random.default_rng(3)
    centres = rng.normal(0, 1, (CLUSTERS, DIM))
    for start in range(0, tiles, BLOCK):
        rows = np.arange(start, min(start + BLOCK, tiles))
        noise = rng.normal(0, 0.7, (len(rows), DIM))
        yield np.asarray(centres[rows % CLUSTERS] + noise, dtype=np.float32)


if __name__ == "__main__":
    main()
