"""Speed of the proof at the size of BigEarthNet v1, beside the library that one would use without swath.

    python benchmarks/scores.py [ap] [logistic] [solver] [knn] [embed] [--share 0.01]
    uv pip install --target FOLDER --no-deps faiss-cpu && PYTHONPATH=FOLDER python benchmarks/scores.py knn

Made-up features and labels: 269,695 training and 125,866 test tiles, 19 labels, 384 numbers a tile. `--share`
takes that part of the tiles, to try. faiss-cpu and timm are measured where they can be imported. Numbers are
of one run on all the processors that the process has, of the embedding the median of 3 (least to most); run
it on an idle machine.
"""

import argparse
import importlib
import os
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from swath.data.bands import BandGroup, TileFormat
from swath.data.store import TileStore
from swath.data.writer import TileWriter
from swath.features.backbone import FrozenBackbone, Weights
from swath.features.embedding import embed
from swath.models.vit import VisionTransformer, shape_of
from swath.scores.average_precision import ClassRankings, average_precisions
from swath.scores.intervals import Resampling, bootstrap
from swath.scores.knn import nearest
from swath.scores.logistic import EXACT, FOR_CHOOSING, LogisticProbe, fit_path
from swath.scores.strength import STRENGTHS

NUM_TRAIN, NUM_TEST, NUM_QUERIES, WIDTH, CLASSES = 269_695, 125_866, 20_000, 384, 19
NUM_SOLVED = 20_000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART")
    arguments.add_argument("--share", type=float, default=1.0)
    asked = arguments.parse_args()
    print(f"{len(os.sched_getaffinity(0))} processors, share {asked.share:g}")
    for part in asked.parts:
        PARTS[part](asked.share)


def average_precision(share: float) -> None:
    labels = made_labels(int(NUM_TEST * share))
    scores = np.random.default_rng(1).normal(size=labels.shape) + 1.5 * labels
    rounds = 1000

    def ours() -> None:
        rankings = ClassRankings(scores, labels)
        bootstrap(
            lambda w: np.vstack([rankings.macro(w), rankings.micro(w), rankings.per_class(w)]),
            Resampling.of_tiles(len(labels), rounds=rounds, seed=0),
        )

    mine = seconds(ours)
    loops = 2
    theirs = seconds(lambda: [sklearn_aps(labels, scores) for _ in range(loops)]) / loops * rounds
    show(f"AP of {len(labels):,} x {CLASSES}, macro, micro, {rounds} rounds", mine)
    show(f"  scikit-learn in a loop ({loops} rounds measured)", theirs, f"{theirs / mine:.0f} times as long")


def sklearn_aps(labels: np.ndarray, scores: np.ndarray) -> None:
    average_precision_score(labels, scores, average="macro")
    average_precision_score(labels, scores, average="micro")


def logistic(share: float) -> None:
    features, labels = made_features(int(NUM_TRAIN * share))
    show(
        f"logistic regression, {len(features):,} x {WIDTH}, {CLASSES} labels, one strength",
        seconds(lambda: fit_all(features, labels, (0.01,), EXACT)),
    )
    show(
        f"  those that the probe tries, {len(STRENGTHS)} from {STRENGTHS[0]:g} to {STRENGTHS[-1]:g}, warm",
        seconds(lambda: fit_all(features, labels, STRENGTHS, FOR_CHOOSING)),
    )


def solver(share: float) -> None:
    """20,000 tiles beside scikit-learn's solver, at its own tolerance and at a hundredth of it."""
    features, labels = made_features(int(2 * NUM_SOLVED * share))
    fitted, held = np.split(np.arange(len(features)), 2)
    started = time.perf_counter()
    (probe,) = fit_all(features[fitted], labels[fitted], (0.01,), EXACT)
    mine = time.perf_counter() - started
    show(f"logistic regression, {len(fitted):,} x {WIDTH}, {CLASSES} labels, one strength", mine)
    ours = average_precisions(probe.scores(features[held]), labels[held])
    for tolerance in (1e-4, 1e-6):
        started = time.perf_counter()
        scores = sklearn_logistic(features[fitted], labels[fitted], features[held], tolerance=tolerance)
        taken = time.perf_counter() - started
        apart = np.abs(ours - average_precisions(scores, labels[held])).max()
        show(
            f"  scikit-learn (lbfgs, tol {tolerance:g})",
            taken,
            f"{taken / mine:.1f} times as long; largest difference of an AP on other tiles {apart:.6f}",
        )


def fit_all(
    features: np.ndarray, labels: np.ndarray, strengths: tuple[float, ...], tolerance: float
) -> list[LogisticProbe]:
    return list(fit_path(features, labels, strengths=strengths, task="multilabel", tolerance=tolerance))


def sklearn_logistic(
    features: np.ndarray, labels: np.ndarray, asked: np.ndarray, *, tolerance: float
) -> np.ndarray:
    mean, std = features.mean(axis=0), features.std(axis=0)
    given, asked = (features - mean) / std, (asked - mean) / std
    columns = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for k in range(labels.shape[1]):
            solver = LogisticRegression(C=0.01, tol=tolerance, max_iter=2000).fit(given, labels[:, k])
            columns.append(solver.decision_function(asked))
    return np.stack(columns, axis=1)


def neighbours(share: float) -> None:
    features, _ = made_features(int(NUM_TRAIN * share))
    queries, _ = made_features(int(NUM_QUERIES * share), seed=5)
    keys, asked = (torch.nn.functional.normalize(torch.from_numpy(a), dim=1) for a in (features, queries))
    before, found = peak_gib(), []
    mine = seconds(lambda: found.append(nearest(keys, asked, k=20)))
    show(
        f"20 nearest of {len(keys):,} x {WIDTH} for {len(asked):,} queries",
        mine,
        f"{peak_gib() - before:.2f} GiB more",
    )
    try:
        faiss = importlib.import_module("faiss")
    except ImportError:
        print("  faiss-cpu is not installed: nothing to compare with")
        return
    index = faiss.IndexFlatIP(WIDTH)
    index.add(keys.numpy())
    theirs: list[tuple[np.ndarray, np.ndarray]] = []
    taken = seconds(lambda: theirs.append(index.search(asked.numpy(), 20)))
    show(f"  faiss {faiss.__version__} IndexFlatIP, {faiss.omp_get_max_threads()} threads", taken)
    rows = found[0][1].numpy()
    same = (np.sort(rows, axis=1) == np.sort(theirs[0][1], axis=1)).all(axis=1).mean()
    apart = np.abs(true_similarities(keys, asked, rows) - true_similarities(keys, asked, theirs[0][1])).max()
    print(
        f"  the same 20 for {same:.2%} of the queries; in float64 a similarity differs by {apart:.1e} at most"
    )


def true_similarities(keys: torch.Tensor, asked: torch.Tensor, rows: np.ndarray) -> np.ndarray:
    """(Q, k) of the neighbours in `rows`, in float64, the largest first: equal where only ties differ."""
    exact = [
        (keys[near].double() @ query.double()).sort(descending=True).values
        for near, query in zip(torch.from_numpy(rows), asked, strict=True)
    ]
    return torch.stack(exact).numpy()


def embedding(share: float) -> None:
    """ViT-S/16 at 224 px from stored bytes to features, the same network on a batch that is ready, and timm's
    in float32; the three in turn.
    """
    batch, count = 64, max(64, int(192 * share))
    tiles = TileFormat(
        bands=("red", "green", "blue"), groups=(BandGroup(("red", "green", "blue"), 224, "uint8"),),
        gsd_m=None, low=(0.0,) * 3, high=(255.0,) * 3, mean=(0.5,) * 3, std=(0.25,) * 3,
    )  # fmt: skip
    network = VisionTransformer(shape_of("vit_small", 16, in_channels=3, image_px=224))
    backbone = FrozenBackbone(network, tiles, Weights("none", 0, "untrained"))
    images = torch.rand(batch, 3, 224, 224)

    def bare() -> None:
        for _ in range(0, count, batch):
            backbone.of_images(images)

    with tempfile.TemporaryDirectory() as folder:
        store = large_tiles(Path(folder), tiles, count)
        contestants = {
            "embedding, ViT-S/16 at 224 px": lambda: embed(
                Path(folder, f"{time.monotonic_ns()}.parquet"), store, backbone, batch_size=batch
            ),
            "  the network alone": bare,
            **timm_float32(images, count),
        }
        for work in contestants.values():
            work()
        rounds = [[count / seconds(work) for work in contestants.values()] for _ in range(3)]
    first = np.median([row[0] for row in rounds])
    for name, rates in zip(contestants, zip(*rounds, strict=True), strict=True):
        spread = f"{np.median(rates):.1f} images/s ({min(rates):.1f} to {max(rates):.1f})"
        print(f"{name:40} {spread}; the embedding is {first / np.median(rates):.2f} times as fast")


def timm_float32(images: torch.Tensor, count: int) -> dict[str, Callable[[], None]]:
    try:
        timm = importlib.import_module("timm")
    except ImportError:
        print("  timm is not installed: nothing to compare with")
        return {}
    rival = timm.create_model("vit_small_patch16_224", num_classes=0).eval()

    def float32() -> None:
        with torch.inference_mode():
            for _ in range(0, count, len(images)):
                rival.forward_features(images)

    return {f"  timm {timm.__version__} in float32": float32}


def large_tiles(folder: Path, tiles: TileFormat, count: int) -> TileStore:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, 224, 224), dtype=np.uint8)
    with TileWriter(folder / "tiles.lance", groups=tiles.groups, info={}) as writer:
        writer.append(pa.table({"id": [str(i) for i in range(count)]}), [pixels])
        writer.finish(tiles, vocabulary=(), task=None)
    return TileStore(folder / "tiles.lance")


def made_labels(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.random((count, CLASSES)) < rng.uniform(0.01, 0.35, CLASSES)).astype(np.uint8)


def made_features(count: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated as a network's are (the spread of an axis falls as 1 / rank), and labels that follow."""
    world = np.random.default_rng(9)
    mixing = (world.normal(size=(WIDTH, WIDTH)) / np.arange(1, WIDTH + 1)[:, None]).astype(np.float32)
    direction = world.normal(size=(WIDTH, CLASSES)).astype(np.float32)
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((count, WIDTH), dtype=np.float32)
    chance = hidden @ direction / 8 + rng.logistic(size=(count, CLASSES)) - world.uniform(0, 5, CLASSES)
    return hidden @ mixing, (chance > 0).astype(np.uint8)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def show(what: str, taken: float, note: str = "") -> None:
    print(f"{what:74} {taken:9.1f} s  {note}".rstrip(), flush=True)


PARTS: dict[str, Callable[[float], None]] = {
    "ap": average_precision,
    "logistic": logistic,
    "solver": solver,
    "knn": neighbours,
    "embed": embedding,
}

if __name__ == "__main__":
    sys.exit(main())
