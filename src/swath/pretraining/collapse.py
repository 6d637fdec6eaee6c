"""Has it collapsed? Signatures in the numbers of a run, each with a name and with what is worth trying.

Measured with 256 prototypes (ln K = 5.545), 300 steps, vit_micro: without centring the teacher's entropy is
0.000 and one prototype is in use, from step 21 on; without sharpening the loss is ln K and KL below 0.0005
from step 61 on. A healthy run passes by both while it warms up (1.03 prototypes at one step, 3.9 twenty
steps before), but does not stay: so the means of three windows in a row must agree, after the warm-up.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from swath.pretraining.recipe import Recipe

WINDOWS = 3
_NUMBERS = ("loss", "entropy", "kl", "prototypes", "hit_rate", "feature_std")

Row = Mapping[str, float]


@dataclass(frozen=True)
class Signature:
    """One way to collapse: `holds` for a row of metrics.jsonl, `shown` in numbers, and what to try."""

    name: str
    holds: Callable[[Row, Recipe], bool]
    shown: Callable[[Row, Recipe], str]
    advice: str


ONE_OUTPUT = Signature(
    name="one output dominates",
    holds=lambda row, _: row["prototypes"] < 1.5 and row["entropy"] < 0.1,
    shown=lambda row, recipe: (
        f"the teacher answers every tile with one prototype of {recipe.out_dim:,}: its entropy is "
        f"{row['entropy']:.3f} of at most {math.log(recipe.out_dim):.3f}, and a loss of {row['loss']:.3f} is "
        "no success"
    ),
    advice="half the --lr; a larger --batch-size; --teacher-temp 0.04 if it is lower",
)
# Runs that collapse so show ln(out_dim) to four digits: facebookresearch/dinov2 issue 407 (8.3178),
# facebookresearch/dino issue 246 (11.0902 of 11.0904). The advice is that of the author in dino issue 43 and
# of a user who got away in issue 246.
UNIFORM = Signature(
    name="uniform output",
    holds=lambda row, recipe: (
        row["kl"] < 0.001 * math.log(recipe.out_dim) and row["entropy"] > 0.99 * math.log(recipe.out_dim)
    ),
    shown=lambda row, recipe: (
        f"all prototypes get the same share for every tile: the loss {row['loss']:.4f} is "
        f"ln({recipe.out_dim:,}) = {math.log(recipe.out_dim):.4f}, and KL is {row['kl']:.4f}"
    ),
    advice="--teacher-temp 0.02 or lower; --momentum 0.99 with a smaller --out-dim; --method simclr",
)
# On EuroSAT (64 tiles a step) a healthy run has a spread of 0.75 to 0.84 and 9 % of hits from step 30 on; by
# chance it is 0.8 %. With 250 times its learning rate the spread is 0.03 to 0.06 from step 99 on, and hits
# are 0 to 5 %: where all are alike, the nearest is one of many equals. Without repulsion the spread is 0.10
# to 0.19 (synthetic tiles).
ALIKE = Signature(
    name="tiles look alike",
    holds=lambda row, recipe: row["hit_rate"] < max(0.05, 5 * _chance(recipe)) and row["feature_std"] < 0.3,
    shown=lambda row, recipe: (
        f"the partner of a view is found in {row['hit_rate']:.1%} (by chance: {_chance(recipe):.1%}), "
        f"and the spread of features is {row['feature_std']:.2f} of 1"
    ),
    advice="half the --lr; a larger --batch-size; --precision float32",
)
SIGNATURES = {"dino": (ONE_OUTPUT, UNIFORM), "simclr": (ALIKE,)}


class Watch:
    """Reads the logged rows of a run in order, and raises an alarm where a signature holds in three windows.

    A window is a sixtieth of the run, but 20 steps at least and 300 at most; its mean is looked at. Rows of
    the warm-up do not count: until the learning rate has risen, a flat loss is what one should see.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._window = max(20, min(300, recipe.steps // 60))
        self._end = recipe.warmup_steps + self._window
        self._rows: list[Row] = []
        self._held = dict.fromkeys((s.name for s in SIGNATURES[recipe.method]), 0)
        self.alarm: Signature | None = None

    def see(self, step: int, row: Row) -> str | None:
        """Words for the user, at the row where an alarm is raised or where it ends; None elsewhere."""
        if step <= self._recipe.warmup_steps or "feature_std" not in row:
            return None
        self._rows.append(row)
        if step < self._end:
            return None
        mean = {name: statistics.fmean(r[name] for r in self._rows) for name in _NUMBERS if name in row}
        self._rows, self._end = [], step + self._window
        return self._judge(step, mean)

    def shown(self, row: Row) -> dict[str, object]:
        """What the progress line says of a row: the parts of the loss, and what they are of ln(out_dim)."""
        shown: dict[str, object] = {"loss": row["loss"]}
        if "entropy" in row:
            top = math.log(self._recipe.out_dim)
            shown |= {"of ln K": f"{top:.3g}", "entropy": row["entropy"], "KL": row["kl"]}
            shown["prototypes"] = row["prototypes"]
        names = {"hit_rate": "hits", "feature_std": "std", "effective_rank": "rank"}
        return shown | {words: row[name] for name, words in names.items() if name in row}

    def _judge(self, step: int, mean: Row) -> str | None:
        before, self.alarm = self.alarm, None
        for signature in SIGNATURES[self._recipe.method]:
            held = self._held[signature.name] + 1 if signature.holds(mean, self._recipe) else 0
            self._held[signature.name] = held
            if held >= WINDOWS:
                self.alarm = signature
        if self.alarm == before:
            return None
        if self.alarm is None:
            return f"step {step}: no sign of a collapse any more"
        name, advice = self.alarm.name, self.alarm.advice
        shown = self.alarm.shown(mean, self._recipe)
        return (
            f"COLLAPSE: {name}, for {WINDOWS * self._window} steps up to step {step}: {shown}. "
            f"Worth trying, in a new --out: {advice}."
        )


def _chance(recipe: Recipe) -> float:
    return 1 / (2 * recipe.batch_size - 1)
