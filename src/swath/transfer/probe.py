"""Stage: run + labelled tiles -> what the frozen features are worth, beside two baselines.

Learns on the split train and is tested on the split test. Image statistics, the same network untrained, and
the pretrained network are judged by the same probe on the same tiles.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from swath.config import ProbeConfig
from swath.data.store import TileStore
from swath.files import check_output, write_json
from swath.models.weights import save_weights
from swath.results import Result
from swath.runtime.run import Run
from swath.scores.intervals import Resampling
from swath.scores.logistic import LogisticProbe
from swath.transfer.backbone import CONTENT, FrozenBackbone, open_backbone, untrained
from swath.transfer.baselines import IMAGE_STATISTICS, PRETRAINED, UNTRAINED, image_statistics
from swath.transfer.comparison import Exam, Judgement, judge
from swath.transfer.embed import kept_features
from swath.transfer.examples import Examples, labelled_examples
from swath.transfer.prediction import (
    Features,
    Prediction,
    by_logistic_regression,
    by_neighbours,
    standardised,
)

BASELINES = (IMAGE_STATISTICS, UNTRAINED)
_TITLES = {"map_macro": "macro AP", "map_micro": "micro AP", "accuracy": "accuracy"}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProbeResult(Result):
    """Scores on the test tiles as [value, low, high], a 95 % interval; accuracy for single labels only.

    `task` is what the labels are, "class" or "multilabel"; `probe` is "linear" or "knn".
    """

    task: str
    probe: str
    n_train: int
    n_test: int
    map_macro: list[float]
    map_micro: list[float]
    f1_macro: list[float]
    f1_micro: list[float]
    accuracy: list[float] | None
    per_class: dict[str, dict[str, Any]]
    baselines: dict[str, dict[str, Any]]
    gain_over_untrained: dict[str, list[float]]
    p_no_gain: dict[str, float]
    left_out: list[str]
    settings: dict[str, Any]
    details: dict[str, Any]
    digests: dict[str, str]
    out: Path

    def lines(self) -> list[str]:
        """The table for a reader."""
        rows = {**self.baselines, PRETRAINED: self.to_json()}
        measures = [name for name in _TITLES if rows[PRETRAINED][name] is not None]
        gain = self.gain_over_untrained["map_macro"]
        return [
            f"{self.probe} probe, {self.n_train:,} tiles to train, {self.n_test:,} to test [95 % interval]",
            f"  {'':18} " + " ".join(f"{_TITLES[name]:21}" for name in measures),
            *(
                f"  {title:18} " + " ".join(f"{_words(row[name]):21}" for name in measures)
                for title, row in rows.items()
            ),
            f"  gain over the {UNTRAINED}, paired: {gain[0]:+.3f} [{gain[1]:+.3f}, {gain[2]:+.3f}] macro AP",
            *(
                [f"  left out (too few positive test tiles): {', '.join(self.left_out)}"]
                if self.left_out
                else []
            ),
            f"  {self.out}",
        ]


def run(config: ProbeConfig) -> ProbeResult:
    """Write RUN/probe-TASK.json, and head.safetensors beside it for a linear probe.

    Raises:
        UsageError: `run` is not a run, or the tiles have no labels or no split `test`.
        DataError: the tiles do not fit the run or are damaged, or the labels hold nothing to learn or score.
        MachineError: the disk is full.
    """
    store = TileStore(config.tiles)
    examples = labelled_examples(store)
    backbone = open_backbone(Run.open(config.run), whose=config.weights)
    backbone.check_fits(store.format, where=str(store.path))
    exam = _exam(examples, config)
    out = config.out or config.run / f"probe-{config.task}.json"
    check_output(out, begins=b"{")
    predictions = {}
    for name, features in _feature_sets(config, store, examples, backbone):
        log.info("%s probe on %s, %d numbers a tile", config.task, name, features.shape[1])
        predictions[name] = _predict(name, features, examples, config)
    judged = {name: judge(prediction.answers, exam) for name, prediction in predictions.items()}
    result = ProbeResult(
        task=examples.task,
        probe=config.task,
        n_train=len(examples.train),
        n_test=len(examples.test),
        **_numbers(judged),
        left_out=list(exam.left_out),
        settings=predictions[PRETRAINED].settings | {"weights": config.weights} | exam.describe(),
        details=_details(examples, backbone, predictions),
        digests={
            "checkpoint": backbone.weights.checkpoint,
            "pack": store.digest,
            "index": store.index_digest,
        },
        out=out,
    )
    if (probe := predictions[PRETRAINED].probe) is not None:
        _save_head(result.out.with_name("head.safetensors"), probe, examples.vocabulary, result)
    write_json(result.out, result.to_json())
    return result


def _feature_sets(
    config: ProbeConfig, store: TileStore, examples: Examples, backbone: FrozenBackbone
) -> Iterator[tuple[str, Features]]:
    """Name and features (N, D) of each contestant, one in memory at a time."""
    yield IMAGE_STATISTICS, image_statistics(store, examples.rows)
    fresh = untrained(backbone)
    yield UNTRAINED, kept_features(config.run / "features-untrained.parquet", store, fresh, examples.rows)
    name = "features.parquet" if config.weights == "teacher" else f"features-{config.weights}.parquet"
    yield PRETRAINED, kept_features(config.run / name, store, backbone, examples.rows)


def _predict(name: str, features: Features, examples: Examples, config: ProbeConfig) -> Prediction:
    if config.task == "linear":
        return by_logistic_regression(features, examples, seed=config.seed)
    if name == IMAGE_STATISTICS:  # a cosine of means beside spreads says little before they have one unit
        features = standardised(features, examples)
    return by_neighbours(features, examples, k=config.k, temperature=config.temperature)


def _exam(examples: Examples, config: ProbeConfig) -> Exam:
    by, groups = examples.groups(examples.test, at_least=2)
    return Exam(
        labels=examples.labels[examples.test],
        vocabulary=examples.vocabulary,
        single_label=examples.task == "class",
        resampling=Resampling.of_groups(groups, rounds=config.rounds, seed=config.seed),
        by=by,
        min_positives=config.min_positives,
    )


def _numbers(judged: dict[str, Judgement]) -> dict[str, Any]:
    """The measured fields of a ProbeResult."""
    gain = judged[PRETRAINED].gain_over(judged[UNTRAINED])
    return judged[PRETRAINED].to_json() | {
        "baselines": {name: judged[name].to_json() for name in BASELINES},
        "gain_over_untrained": {name: found.interval.to_json() for name, found in gain.items()},
        "p_no_gain": {name: found.p_value for name, found in gain.items()},
    }


def _details(
    examples: Examples, backbone: FrozenBackbone, predictions: dict[str, Prediction]
) -> dict[str, Any]:
    unseen = examples.labels[examples.train].sum(axis=0) == 0
    return {
        "features": CONTENT,
        "dim": backbone.dim,
        "image_px": backbone.network.shape.image_px,
        "step": backbone.weights.step,
        "strengths_tried": {name: prediction.tried for name, prediction in predictions.items()},
        "unseen_in_train": [name for name, absent in zip(examples.vocabulary, unseen, strict=True) if absent],
    }


def _save_head(path: Path, probe: LogisticProbe, vocabulary: tuple[str, ...], result: ProbeResult) -> None:
    """Weights (D, K), bias (K,), mean (D,), std (D,) as float32, with what one must know to use them."""
    arrays = {"weights": probe.weights, "bias": probe.bias, "mean": probe.mean, "std": probe.std}
    metadata = {
        "class_names": json.dumps(vocabulary),
        "task": probe.task,
        "strength": repr(probe.strength),
        "features": CONTENT,
        **result.digests,
    }
    save_weights(path, {name: torch.from_numpy(array).float() for name, array in arrays.items()}, metadata)


def _words(value: list[float]) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"
