"""Stage: tiles + runs -> one table of what features are worth, from image statistics to pretrained networks.

Every rung is judged by the same probes on the same test tiles, the same draws of the training labels and the
same bootstrap rounds, so that every difference is a paired one.
"""

import logging
from collections.abc import Iterator
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from swath.config import LadderConfig
from swath.data.store import TileStore
from swath.errors import UsageError
from swath.features.embedding import kept_features
from swath.files import check_output, file_aside, write_json
from swath.runtime.mirror import runs_here
from swath.transfer.baselines import IMAGE_STATISTICS, UNTRAINED
from swath.transfer.comparison import Exam
from swath.transfer.examples import Examples, labelled_examples
from swath.transfer.ladder_figure import write_figure
from swath.transfer.ladder_page import ladder_page
from swath.transfer.ladder_result import LadderResult
from swath.transfer.ladder_table import csv_text, latex_text
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
from swath.transfer.probe import exam_of
from swath.transfer.rungs import Rung, rungs

log = logging.getLogger(__name__)


def run(config: LadderConfig) -> LadderResult:
    """Write ladder.json, .csv, .tex, .html, .svg and .png into the folder `out`.

    Raises:
        UsageError: the tiles have no labels or no split `test`, or `out` holds something else.
        DataError: the tiles do not fit a run, or the labels hold nothing to learn or score.
        MachineError: the disk is full.
    """
    with runs_here(config.runs) as folders:
        return _climbed(config, folders)


def _climbed(config: LadderConfig, runs: tuple[Path, ...]) -> LadderResult:
    """`runs` are the folders of the runs, or copies."""
    store = TileStore(config.tiles)
    examples = labelled_examples(store)
    exam = exam_of(examples, config)
    labels = Labels(config.label_fraction, config.fraction_seeds, config.seed)
    if "k" in config.model_fields_set:
        check_neighbours(config.k, examples)
    out = config.out or _beside(config)
    ascending = rungs(config, store, examples, runs=runs, out=out)
    check_output(out / "ladder.json", begins=b"{")
    climbed = []
    for rung in ascending:
        features = kept_features(rung.path, store, rung.maker, examples.rows)
        for probe, learn in _probes(config, rung, features, examples):
            log.info(f"{probe} probe on {rung.name}, {features.shape[1]} numbers a tile")
            rows = tuple(measure(learn, examples, exam, labels))
            climbed.append((rung, probe, Curve(rung.name, rows, config.seed)))
    say_absent(examples, labels)
    if "knn" in config.probes:
        say_few_neighbours(config.k, examples, labels)
    result = LadderResult(
        task=examples.task,
        headline=exam.headline,
        n_train=len(examples.train),
        n_test=len(examples.test),
        rows=[row for rung, probe, curve in climbed for row in _rows(rung, probe, curve)],
        summary=_summary(climbed, exam),
        pairs=_pairs(climbed, exam),
        sentences=_sentences(climbed, exam),
        per_class=_per_class(climbed),
        left_out=list(exam.left_out),
        settings=_settings(config, exam),
        digests={"pack": store.digest, "index": store.index_digest, "split": store.split_digest},
        rungs=[_described(rung) for rung in dict.fromkeys(rung for rung, _, _ in climbed)],
        out=out,
    )
    _write(result)
    return result


def _beside(config: LadderConfig) -> Path:
    if not isinstance(config.tiles, Path):
        raise UsageError(f"{config.tiles} is not on this machine; say where to write: --out FOLDER")
    return config.tiles.with_name("ladder")


def _probes(
    config: LadderConfig, rung: Rung, features: Features, examples: Examples
) -> Iterator[tuple[str, Learn]]:
    for probe in config.probes:
        if probe == "linear":
            yield probe, partial(_linear, features, seed=config.seed)
        else:
            scaled = standardised(features, examples) if rung.name == IMAGE_STATISTICS else features
            yield probe, partial(by_neighbours, scaled, k=config.k, temperature=config.temperature)


def _linear(features: Features, part: Examples, *, seed: int) -> Any:
    return by_logistic_regression(features, part, seed=seed)


def _rows(rung: Rung, probe: str, curve: Curve) -> list[dict[str, Any]]:
    """One for each share of the labels and each draw."""
    return [{"rung": rung.name, "kind": rung.kind, "probe": probe, **row.to_json()} for row in curve.rows]


def _summary(climbed: list[tuple[Rung, str, Curve]], exam: Exam) -> list[dict[str, Any]]:
    """The mean over draws for each rung, probe and share, and its paired gain over the untrained network."""
    found = []
    for rung, probe, curve in climbed:
        rival = next(other for r, p, other in climbed if p == probe and r.name == UNTRAINED)
        for point in curve.points(exam.measures):
            gains = {
                name: curve.estimate(name, point["fraction"]).minus(rival.estimate(name, point["fraction"]))
                for name in exam.measures
            }
            found.append(
                {
                    "rung": rung.name,
                    "kind": rung.kind,
                    "probe": probe,
                    **point,
                    "gain_over_untrained": {name: one.interval.to_json() for name, one in gains.items()},
                    "p_no_gain": {name: one.p_value for name, one in gains.items()},
                }
            )
    return found


def _pairs(climbed: list[tuple[Rung, str, Curve]], exam: Exam) -> list[dict[str, Any]]:
    """Every two trained rungs on the same test tiles, the later less the earlier, paired round by round."""
    found = []
    for (before, probe, first), (after, other, second) in combinations(climbed, 2):
        if probe != other or "baseline" in (before.kind, after.kind):
            continue
        for share in first.fractions:
            gains = {m: second.estimate(m, share).minus(first.estimate(m, share)) for m in exam.measures}
            found.append(
                {
                    "rung": after.name,
                    "over": before.name,
                    "probe": probe,
                    "fraction": share,
                    **{name: one.interval.to_json() for name, one in gains.items()},
                    "p_no_difference": {name: one.p_value for name, one in gains.items()},
                }
            )
    return found


def _sentences(climbed: list[tuple[Rung, str, Curve]], exam: Exam) -> dict[str, list[str]]:
    """By probe: each pretrained rung against the baselines, the untrained network first."""
    said: dict[str, list[str]] = {}
    for rung, probe, curve in climbed:
        if rung.kind == "baseline":
            continue
        rivals = [other for r, p, other in climbed if p == probe and r.kind == "baseline"]
        rivals.sort(key=lambda other: other.name != UNTRAINED)
        for rival in rivals:
            said.setdefault(probe, []).extend(sentences(curve, rival, measure_name=exam.headline))
    return said


def _per_class(climbed: list[tuple[Rung, str, Curve]]) -> dict[str, dict[str, Any]]:
    """By probe and rung: AP of each class with the most labels."""
    found: dict[str, dict[str, Any]] = {}
    for rung, probe, curve in climbed:
        found.setdefault(probe, {})[rung.name] = curve.rows[-1].judgement.per_class
    return found


def _described(rung: Rung) -> dict[str, Any]:
    maker = rung.maker
    return {
        "name": rung.name,
        "kind": rung.kind,
        "features": str(maker.content),
        "dim": maker.dim,
        "image_px": maker.image_px,
        "bands": list(maker.trained.bands),
        "scale": maker.scale,
        "weights": maker.weights.whose,
        "step": maker.weights.step,
        "digest": maker.weights.checkpoint,
    }


def _settings(config: LadderConfig, exam: Exam) -> dict[str, Any]:
    return {
        "label_fraction": list(config.label_fraction),
        "fraction_seeds": config.fraction_seeds,
        **({"k": config.k, "temperature": config.temperature} if "knn" in config.probes else {}),
        **exam.describe(),
    }


def _write(result: LadderResult) -> None:
    described = result.to_json()
    write_json(result.out / "ladder.json", described)
    figures = write_figure(described, result.out)
    texts = {
        "ladder.csv": csv_text(described),
        "ladder.tex": latex_text(described),
        "ladder.html": ladder_page(described, figures),
    }
    for name, text in texts.items():
        with file_aside(result.out / name) as aside:
            aside.write_text(text, encoding="utf-8")
