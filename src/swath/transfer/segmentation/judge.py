"""Predicted masks judged on the same test tiles and the same resamples: differences are paired."""

from dataclasses import dataclass
from typing import Any

from swath.scores.average_precision import once
from swath.scores.intervals import Estimate, Resampling, bootstrap
from swath.scores.segmentation import Counts, SegmentationTable

MEASURES = ("miou", "pixel_accuracy")


@dataclass(frozen=True)
class MaskJudgement:
    """Estimates by measure; IoU and share of the test pixels by class; classes without a test pixel."""

    estimates: dict[str, Estimate]
    per_class: dict[str, dict[str, float]]
    left_out: list[str]

    def to_json(self) -> dict[str, Any]:
        values = {name: estimate.interval.to_json() for name, estimate in self.estimates.items()}
        return {**values, "per_class": self.per_class}

    def gain_over(self, other: "MaskJudgement") -> dict[str, list[float]]:
        """By measure the paired difference from another judgement of the same tiles, with its interval."""
        return {
            name: found.minus(other.estimates[name]).interval.to_json()
            for name, found in self.estimates.items()
        }


def judge_masks(counts: Counts, resampling: Resampling, vocabulary: tuple[str, ...]) -> MaskJudgement:
    """Score counts (N, K, K) of the test tiles."""
    table = SegmentationTable(counts)
    iou, total = table.iou(once(len(counts)))[:, 0], int(table.pixels.sum())
    return MaskJudgement(
        estimates=dict(zip(MEASURES, bootstrap(table.statistics, resampling), strict=True)),
        per_class={
            vocabulary[k]: {"iou": float(iou[k]), "share": float(table.pixels[k] / total)}
            for k in table.present
        },
        left_out=[vocabulary[k] for k in table.absent],
    )
