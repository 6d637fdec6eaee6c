"""Stage: run + labelled tiles -> what the frozen features are worth, beside two baselines.

Learns on the split train and is tested on the split test. Image statistics, the same network untrained, and
the pretrained network are judged by the same probe on the same tiles.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swath.config import ProbeConfig
from swath.data.store import TileStore
from swath.features.backbone import FrozenBackbone, open_backbone, untrained
from swath.features.content import Content
from swath.features.embedding import kept_features
from swath.features.head import Contract, head_path, save_head
from swath.features.unseen import check_unseen
from swath.files import check_output, write_json
from swath.runtime.mirror import run_here
from swath.runtime.run import Run
from swath.scores.intervals import Resampling
from swath.transfer import segmentation
from swath.transfer.baselines import IMAGE_STATISTICS, PRETRAINED, UNTRAINED, image_statistics
from swath.transfer.comparison import Exam
from swath.transfer.dino_recipe import by_dino_recipe
from swath.transfer.examples import Examples, labelled_examples
from swath.transfer.measurement import (
    Curve,
    Labels,
    Learn,
    check_neighbours,
    measure,
    say_absent,
    say_few_neighbours,
    sentences,
)
from swath.transfer.prediction import Features, by_logistic_regression, by_neighbours, standardised
from swath.transfer.probe_result import ProbeResult
from swath.transfer.segmentation import SegmentationResult

_DINO_BLOCKS = 4
log = logging.getLogger(__name__)


def run(config: ProbeConfig) -> ProbeResult | SegmentationResult:
    """Write RUN/probe-TASK.json, and a head beside it for a linear probe.

    Raises:
        UsageError: `run` is not a run, or the tiles have no labels or no split `test`.
        DataError: the tiles do not fit the run or are damaged, or the labels hold nothing to learn or score.
        MachineError: the disk is full.
    """
    with run_here(config.run) as folder:
        return segmentation.run(config, folder) if config.task == "segmentation" else _run(config, folder)


def _run(config: ProbeConfig, folder: Path) -> ProbeResult:
    """`folder` is that of the run, or a copy."""
    store = TileStore(config.tiles)
    examples = labelled_examples(store)
    backbone = _backbone(config, store, folder)
    exam = exam_of(examples, config)
    file_name = f"probe-{'dino' if config.recipe == 'dino' else config.task}.json"
    out = config.out or folder / file_name
    check_output(out, begins=b"{")
    labels = Labels(config.label_fraction, config.fraction_seeds, config.seed)
    say_absent(examples, labels)
    if "k" in config.model_fields_set:
        check_neighbours(config.k, examples)
    curves = {}
    for name, learn in _contestants(config, store, examples, (backbone, folder)):
        log.info("%s probe on %s", config.task, name)
        curves[name] = Curve(name, tuple(measure(learn, examples, exam, labels)), config.seed)
    if config.task == "knn":
        say_few_neighbours(config.k, examples, labels)
    result = ProbeResult(
        task=examples.task,
        probe=config.task,
        n_train=curves[PRETRAINED].rows[-1].n_train,
        n_test=len(examples.test),
        **_numbers(curves, exam),
        left_out=list(exam.left_out),
        settings=curves[PRETRAINED].rows[-1].settings | {"weights": config.weights} | exam.describe(),
        details=_details(examples, backbone, curves),
        digests=_digests(backbone, store),
        out=config.out or config.run / file_name,
    )
    if (probe := curves[PRETRAINED].rows[-1].probe) is not None:
        contract = Contract.of(backbone, examples.vocabulary, split=store.split_digest, given=store.format)
        save_head(head_path(out), probe, contract)
    write_json(out, result.to_json())
    return result


def exam_of(examples: Examples, config: Any) -> Exam:
    """The test tiles, resampled by block where blocks are known; `config` has min_positives, rounds, seed."""
    by, groups = examples.groups(examples.test, at_least=2)
    return Exam(
        labels=examples.labels[examples.test],
        vocabulary=examples.vocabulary,
        single_label=examples.task == "class",
        resampling=Resampling.of_groups(groups, rounds=config.rounds, seed=config.seed),
        by=by,
        min_positives=config.min_positives,
    )


def _backbone(config: ProbeConfig, store: TileStore, folder: Path) -> FrozenBackbone:
    run = Run.open(folder)
    found = open_backbone(run, whose=config.weights)
    dino = config.recipe == "dino"
    blocks = config.blocks or (min(_DINO_BLOCKS, found.network.shape.depth) if dino else 1)
    found = found.with_content(Content(config.features or ("cls" if dino else "both"), blocks))
    if config.other_data:
        found = found.for_other_data(store.format, where=str(store.path))
    found.check_fits(store.format, where=str(store.path))
    check_unseen(run, found, store)
    return found


def _contestants(
    config: ProbeConfig, store: TileStore, examples: Examples, of_run: tuple[FrozenBackbone, Path]
) -> Iterator[tuple[str, Learn]]:
    """Name and probe of each, the features of one in memory at a time; random crops need a network."""
    backbone, folder = of_run
    fresh = untrained(backbone)
    if config.recipe == "dino":
        yield UNTRAINED, lambda part: by_dino_recipe(fresh, store, part, seed=config.seed)
        yield PRETRAINED, lambda part: by_dino_recipe(backbone, store, part, seed=config.seed)
        return
    statistics = image_statistics(store, examples.rows)
    yield IMAGE_STATISTICS, _learner(statistics, config, examples, one_unit=True)
    for name, network, file in (
        (UNTRAINED, fresh, "features-untrained"),
        (PRETRAINED, backbone, "features" if config.weights == "teacher" else f"features-{config.weights}"),
    ):
        path = folder / f"{file}{network.file_tag}.parquet"
        yield name, _learner(kept_features(path, store, network, examples.rows), config, examples)


def _learner(features: Features, config: ProbeConfig, examples: Examples, *, one_unit: bool = False) -> Learn:
    if config.task == "linear":
        return lambda part: by_logistic_regression(features, part, seed=config.seed)
    if one_unit:  # a cosine of means beside spreads says little before they have one unit
        features = standardised(features, examples)
    return lambda part: by_neighbours(features, part, k=config.k, temperature=config.temperature)


def _numbers(curves: dict[str, Curve], exam: Exam) -> dict[str, Any]:
    """The measured fields of a ProbeResult: those of the largest share of labels, and all shares."""

    def scores(name: str) -> dict[str, Any]:
        curve = curves[name]
        values = {m: curve.estimate(m, curve.fractions[-1]).interval.to_json() for m in exam.measures}
        return {"accuracy": None, **values, "per_class": curve.rows[-1].judgement.per_class}

    mine, theirs = curves[PRETRAINED], curves[UNTRAINED]
    largest = mine.fractions[-1]
    gain = {m: mine.estimate(m, largest).minus(theirs.estimate(m, largest)) for m in exam.measures}
    rivals = [name for name in (IMAGE_STATISTICS, UNTRAINED) if name in curves]
    return scores(PRETRAINED) | {
        "baselines": {name: scores(name) for name in rivals},
        "gain_over_untrained": {m: found.interval.to_json() for m, found in gain.items()},
        "p_no_gain": {m: found.p_value for m, found in gain.items()},
        "label_efficiency": {name: curve.points(exam.measures) for name, curve in curves.items()},
        "sentences": [
            said for name in rivals for said in sentences(mine, curves[name], measure_name=exam.headline)
        ],
    }


def _digests(backbone: FrozenBackbone, store: TileStore) -> dict[str, str]:
    return {
        "checkpoint": backbone.weights.checkpoint,
        "pack": store.digest,
        "index": store.index_digest,
        "split": store.split_digest,
    }


def _details(examples: Examples, backbone: FrozenBackbone, curves: dict[str, Curve]) -> dict[str, Any]:
    return {
        "features": str(backbone.content),
        "scale": backbone.scale,
        "dim": backbone.dim,
        "image_px": backbone.image_px,
        "step": backbone.weights.step,
        "strengths_tried": {name: curve.rows[-1].tried for name, curve in curves.items()},
        "unseen_in_train": list(examples.absent),
        "label_draws": [row.to_json() for row in curves[PRETRAINED].rows],
    }
