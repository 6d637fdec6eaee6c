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
    `momentum_end`.
    """
    return StepValues(
        step=step,
        lr=_warm_cosine(step, recipe.lr, recipe.min_lr, warmup=recipe.warmup_steps, steps=recipe.steps),
        weight_decay=_cosine(step, recipe.weight_decay, recipe.weight_decay_end, recipe.steps),
        momentum=_cosine(step, recipe.momentum, recipe.momentum_end, recipe.steps),
        teacher_temp=_teacher_temp(step // recipe.steps_per_epoch, recipe),
        last_layer_frozen=step < recipe.freeze_last_layer_steps,
    )


def peak_of(lr: float, step: int, *, end: float, warmup: int, steps: int) -> float:
    """The peak of a learning rate that is `lr` at `step`: `_warm_cosine` turned round."""
    if step < warmup:
        return lr * (warmup - 1) / step if step else lr
    return end + (lr - end) / _cosine(step - warmup, 1.0, 0.0, max(1, steps - warmup))


def _teacher_temp(epoch: int, recipe: Recipe) -> float:
    """Constant within an epoch, as in DINO: epoch e of n has linspace(first, last, n)[e]."""
    first, last, epochs = recipe.warmup_teacher_temp, recipe.teacher_temp, recipe.warmup_teacher_temp_epochs
    return last if epoch >= epochs else first + (last - first) * epoch / max(1, epochs - 1)


def _cosine(step: int, start: float, end: float, steps: int) -> float:
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * step / steps))


def _warm_cosine(step: int, peak: float, end: float, *, warmup: int, steps: int) -> float:
    """Rises as linspace(0, peak, warmup), so that step `warmup - 1` and step `warmup` both have the peak
    (DINO does).
    """
    if step < warmup:
        return peak * step / (warmup - 1) if warmup > 1 else peak
    return _cosine(step - warmup, peak, end, max(1, steps - warmup))
