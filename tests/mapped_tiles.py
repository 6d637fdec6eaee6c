"""A small scene, cut into tiles that know where they lie, a network that never trained, and its run."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyproj
import shapely
import torch

from swath.data.bands import BandGroup, TileFormat
from swath.data.store import TileStore
from swath.data.writer import TileWriter
from swath.models.vit import VisionTransformer, ViTShape
from swath.runtime.checkpoint import save_checkpoint
from swath.runtime.run import Run

SIZE_PX, GSD_M = 16, 10.0
WEST, NORTH = 330_000.0, 5_820_000.0
EVIL = "<script>alert(1)</script>"
VOCABULARY = ("water", EVIL)
FORMAT = TileFormat(
    bands=("B04", "B03", "B02"),
    groups=(BandGroup(("B04", "B03", "B02"), SIZE_PX, "uint8"),),
    gsd_m=GSD_M,
    low=(0.0,) * 3,
    high=(255.0,) * 3,
    mean=(0.5,) * 3,
    std=(0.25,) * 3,
)
SHAPE = ViTShape(width=16, depth=1, heads=2, patch_size=4, in_channels=3, image_px=SIZE_PX)
RECIPE = {
    "method": "dino", "preset": "overhead", "model": "vit_micro", "patch_size": 4, "global_px": 16,
    "gentle_jitter": False, "global_scale": [0.4, 1.0], "local_scale": [0.05, 0.4],
    "local_px": 8, "local_views": 2, "batch_size": 4, "steps": 20, "seed": 3,
    "reasons": {"patch_size": f"because of {EVIL}"},
}  # fmt: skip


def scene_of(height_px: int, width_px: int, *, seed: int = 0) -> np.ndarray:
    """(3, H, W) uint8: smooth ground with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height_px, :width_px]
    smooth = 120 + 60 * np.sin(x / 19) + 40 * np.cos(y / 13)
    return (smooth[None] + rng.normal(0, 15, (3, height_px, width_px))).clip(0, 255).astype(np.uint8)


def corners(scene: np.ndarray, stride_px: int) -> list[tuple[int, int]]:
    _, height, width = scene.shape
    tops, lefts = range(0, height - SIZE_PX + 1, stride_px), range(0, width - SIZE_PX + 1, stride_px)
    return [(top, left) for top in tops for left in lefts]


def footprint(top: int, left: int) -> bytes:
    """WGS 84, as an index has it, of a square of EPSG:32633."""
    to_degrees = pyproj.Transformer.from_crs(32633, 4326, always_xy=True).transform
    x, y, side = WEST + left * GSD_M, NORTH - top * GSD_M, SIZE_PX * GSD_M
    ring = [(x, y), (x + side, y), (x + side, y - side), (x, y - side)]
    return shapely.Polygon([to_degrees(*corner) for corner in ring]).wkb


def pack_scene(
    path: Path, scene: np.ndarray, *, stride_px: int = SIZE_PX, described: bool = True
) -> TileStore:
    """Tiles of a scene, in a shuffled order; with `described` they have places, splits and labels."""
    places = corners(scene, stride_px)
    places = [places[i] for i in np.random.default_rng(1).permutation(len(places))]
    n = len(places)
    none = [None] * n
    columns = pa.table(
        {
            "id": [f"{EVIL}{i}" for i in range(n)],
            "crs": pa.array(["EPSG:32633"] * n if described else none, pa.string()),
            "split": pa.array(
                ["test" if left > 3 * SIZE_PX else "train" for _, left in places] if described else none,
                pa.string(),
            ),
            "labels": pa.array(
                [[VOCABULARY[i % 2]] for i in range(n)] if described else none, pa.list_(pa.string())
            ),
            "geometry": pa.array([footprint(*place) for place in places] if described else none, pa.binary()),
        }
    )
    pixels = np.stack([scene[:, y : y + SIZE_PX, x : x + SIZE_PX] for y, x in places])
    info = {"attribution": f"Somebody {EVIL}"} if described else {}
    with TileWriter(path, groups=FORMAT.groups, info=info) as writer:
        writer.append(columns, [pixels])
        task = "multilabel" if described else None
        writer.finish(FORMAT, vocabulary=VOCABULARY if described else (), task=task, index_digest="feed")
    return TileStore(path)


def make_run(path: Path, tiles: Path, *, trained: bool = True) -> Run:
    """A run as pretraining leaves it; without `trained`, as it is before the first step."""
    run = Run.create(path, {"recipe": RECIPE, "tiles": str(tiles)}, command=f"swath pretrain '{EVIL}'")
    if not trained:
        return run
    rows = [
        {
            "step": step, "samples": 4 * step, "loss": 3.0 / step, "entropy": 2.0 / step, "kl": 1.0 / step,
            "lr": 1e-3, "momentum": 0.99, "images_per_s": 100.0, "wait_share": 0.01,
        }
        for step in range(1, 21)
    ]  # fmt: skip
    rows[9]["knn_map"] = 0.4
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    network = VisionTransformer(SHAPE, generator=torch.Generator().manual_seed(0))
    backbone = {f"backbone.{name}": tensor for name, tensor in network.state_dict().items()}
    state = {"step": 20, "vit": SHAPE.to_json(), "tiles": FORMAT.to_json()}
    save_checkpoint(run.checkpoints, step=20, tensors={"teacher": backbone}, state=state)
    return run


def probe_json(gain: tuple[float, float, float] = (0.1, 0.05, 0.15)) -> dict[str, object]:
    """What swath probe writes, with scores that are easy to find again on the page."""
    classes = {name: {"ap": 0.5, "prevalence": 0.25, "n": 7} for name in VOCABULARY}

    def scores(value: float) -> dict[str, object]:
        interval = [value, value - 0.03, value + 0.03]
        return {"map_macro": interval, "map_micro": interval, "accuracy": None, "per_class": classes}

    return {
        **scores(0.512),
        "task": "multilabel", "probe": "linear", "n_train": 40, "n_test": 20,
        "baselines": {"image statistics": scores(0.312), "untrained ViT": scores(0.412)},
        "gain_over_untrained": {"map_macro": list(gain), "map_micro": list(gain)},
        "settings": {"strength": 0.1}, "left_out": [EVIL], "digests": {},
    }  # fmt: skip
