"""Settings of finetune: a run and labels or masks -> a run trained on them."""

from typing import Annotated, Literal

from pydantic import Field

from swath.config.settings import Location, Seed, Settings


class FinetuneConfig(Settings):
    """Train the network on your labels or masks, end to end, from the weights of a run."""

    run: Location
    """Folder of a run, here or on S3."""
    tiles: Location
    """Packed tiles with labels or masks, and a split."""
    out: Location
    """Folder of the fine-tuned run, here or on S3. The same command again goes on where it stopped."""
    task: Literal["labels", "masks"] | None = None
    """labels of whole tiles, or masks with a class a pixel; needed only where the tiles hold both."""
    epochs: Annotated[int, Field(ge=1)] = 20
    """Passes over the training tiles."""
    batch_size: Annotated[int, Field(ge=2)] = 64
    """Tiles a step."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """Peak learning rate of the head for a batch of 256; scaled by batch_size / 256."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Each layer below the head learns this much slower than the one above it."""
    seed: Seed = 0
    """Of the head's weights, the views and the order of the tiles."""
    save_every: Annotated[int, Field(ge=1)] | None = None
    """Steps between checkpoints; at the end of every epoch where not given."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where the processor or GPU computes in it."""
