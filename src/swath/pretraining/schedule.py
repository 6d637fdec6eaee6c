"""What changes from step to step: learning rate, weight decay, teacher momentum, teacher temperature."""

import math
from dataclasses import dataclass

from swath.pretraining.recipe import Recipe


@dataclass(frozen=True)
class StepValues:
    """The scheduled values of one step."""

    step: int
    lr: float
    weight_decay: float
    momentum: float
    teacher_temp: float
    last_layer_frozen: bool


def values_at(step: int, recipe: Recipe) -> StepValues:
    """Values of step 0 <= step < recipe.steps, as in DINO: linear warm-up then cosine; momentum rises to
    1.
    """
    return StepValues(
        step=step,
        lr=_warm_cosine(step, recipe.lr, recipe.min_lr, warmup=recipe.warmup_steps, steps=recipe.steps),
        weight_decay=_cosine(step, recipe.weight_decay, recipe.weight_decay_end, recipe.steps),
        momentum=_cosine(step, recipe.momentum, 1.0, recipe.steps),
        teacher_temp=recipe.teacher_temp,
        last_layer_frozen=step < recipe.freeze_last_layer_steps,
    )


def _cosine(step: int, start: float, end: float, steps: int) -> float:
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * step / steps))


def _warm_cosine(step: int, peak: float, end: float, *, warmup: int, steps: int) -> float:
    """Rises as linspace(0, peak, warmup), so that step `warmup - 1` and step `warmup` both have the peak
    (DINO does).
    """
    if step < warmup:
        return peak * step / (warmup - 1) if warmup > 1 else peak
    return _cosine(step - warmup, peak, end, max(1, steps - warmup))
