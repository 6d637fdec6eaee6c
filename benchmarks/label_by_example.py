"""How good a ranking is after few marks: label by example on an archive whose labels are known.

    python benchmarks/label_by_example.py FEATURES [--draws 3]

FEATURES (of swath embed) with labels. Of every class: one example, then rounds in which the ten likeliest
unmarked tiles are marked by their true class. Average precision on the half of the tiles that is never
marked, beside cosine similarity to the mean of the positive marks. Mean over classes and draws of the first
example, and the standard deviation over draws of the mean over classes.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score

from swath.data.labels import multi_hot
from swath.features.table import Values, about, feature_blocks, tile_columns
from swath.scores.knn import unit_rows
from swath.serve.explore.example_probe import ExampleProbe

ROUNDS, MARKS = 5, 10
Score = Callable[[list[int], list[int]], npt.NDArray[np.float32]]


def main() -> None:
    """Print a line of averages a method, from no round to the last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", type=Path)
    parser.add_argument("--draws", type=int, default=3)
    given = parser.parse_args()
    classes = about(given.features).vocabulary
    labels = multi_hot(tile_columns(given.features)["labels"], classes)
    unit = unit_rows(np.concatenate(list(feature_blocks(given.features)))).numpy()
    print(
        f"{len(unit):,} tiles, {len(classes)} classes, {given.draws} draws; 0 to {ROUNDS} rounds of {MARKS}"
    )
    for name, score in (("label by example", ExampleProbe(unit).scores), ("cosine", cosine_to(unit))):
        found = np.asarray(
            [
                [
                    precisions(score, labels[:, k] > 0, np.random.default_rng((draw, k)))
                    for k in range(len(classes))
                ]
                for draw in range(given.draws)
            ]
        )  # (draws, classes, rounds + 1)
        means, spread = found.mean(axis=(0, 1)), found.mean(axis=1).std(axis=0, ddof=1)
        cells = [f"{mean:.3f} ({sd:.3f})" for mean, sd in zip(means, spread, strict=True)]
        print(f"{name:18} {'  '.join(cells)}")


def cosine_to(unit: Values) -> Score:
    """Similarity to the mean of the positive marks; the negative ones are not used."""
    return lambda positive, _: np.asarray(unit @ unit[positive].mean(axis=0), dtype=np.float32)


def precisions(score: Score, truth: npt.NDArray[np.bool_], draw: np.random.Generator) -> list[float]:
    """Average precision before the first round and after each."""
    marked_from, judged = np.array_split(draw.permutation(len(truth)), 2)
    first = int(draw.choice(marked_from[truth[marked_from]]))
    positive, negative, found = [first], list[int](), []
    for _ in range(ROUNDS + 1):
        scores = score(positive, negative)
        found.append(float(average_precision_score(truth[judged], scores[judged])))
        rest = np.setdiff1d(marked_from, [*positive, *negative])
        for row in rest[np.argsort(-scores[rest], kind="stable")[:MARKS]].tolist():
            (positive if truth[row] else negative).append(row)
    return found


if __name__ == "__main__":
    main()
