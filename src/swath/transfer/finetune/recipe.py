"""What a fine-tuning will do: every value of it, saved in its run."""

import math

from pydantic import BaseModel, ConfigDict

from swath.config import FinetuneConfig
from swath.errors import UsageError


class FinetuneRecipe(BaseModel):
    """Values from the fine-tuning of vision transformers in BEiT and MAE (Bao et al. 2022, He et al. 2022):
    layer-wise decay of the learning rate, warm-up, cosine, AdamW.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int
    steps: int
    steps_per_epoch: int
    warmup_steps: int
    lr: float
    layer_decay: float
    weight_decay: float
    clip_grad: float
    seed: int
    precision: str


def resolve(asked: FinetuneConfig, *, tiles: int, precision: str) -> FinetuneRecipe:
    """Epochs to steps, and the learning rate of this batch.

    Raises:
        UsageError: fewer tiles than a batch.
    """
    if tiles < asked.batch_size:
        raise UsageError(
            f"found {tiles} tiles to train on, a batch needs {asked.batch_size}; "
            "lower --batch-size or label more"
        )
    each = math.ceil(tiles / asked.batch_size)
    return FinetuneRecipe(
        batch_size=asked.batch_size,
        steps=asked.epochs * each,
        steps_per_epoch=each,
        warmup_steps=max(1, round(0.1 * asked.epochs * each)),
        lr=asked.lr * asked.batch_size / 256,
        layer_decay=asked.layer_decay,
        weight_decay=0.05,
        clip_grad=1.0,
        seed=asked.seed,
        precision=precision,
    )


def lr_at(step: int, recipe: FinetuneRecipe) -> float:
    """Linear warm-up from a first small step, then a cosine to 0."""
    if step < recipe.warmup_steps:
        return recipe.lr * (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * done))
