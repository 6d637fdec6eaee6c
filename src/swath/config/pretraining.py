"""Settings of pretrain: packed tiles -> a run."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from swath.config.settings import Location, Seed, Settings


class PretrainConfig(Settings):
    """Teach a vision transformer what the tiles look like, without labels."""

    tiles: Location
    """Packed tiles."""
    out: Location
    """Folder of the run, here or on S3. The same command again goes on where it stopped."""
    method: Literal["dino", "simclr"] | None = None
    """How it learns; the preset chooses where not given."""
    preset: Literal["overhead", "paper", "demo"] = "overhead"
    """overhead: for imagery from above, and without a GPU the same as demo; paper: DINO as published; demo: a
    small network for minutes of CPU."""
    model: Literal["vit_micro", "vit_tiny", "vit_small", "vit_base"] | None = None
    """Size of the network; the preset chooses where not given."""
    patch_size: Annotated[int, Field(ge=1)] | None = None
    """Side of a token in pixels of a view."""
    global_px: Annotated[int, Field(ge=4)] | None = None
    """Side of the two global views, in pixels."""
    local_px: Annotated[int, Field(ge=4)] | None = None
    """Side of the local views, in pixels."""
    local_views: Annotated[int, Field(ge=0, le=64)] | None = None
    """Number of local views of a tile; the preset chooses where not given."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Length of training: give one of epochs, steps, minutes (100 epochs where none is given)."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """The same as a number of steps."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Number of steps that fit into this time, from a rate measured at the start."""
    batch_size: Annotated[int, Field(ge=2)] = 64
    """Tiles a step."""
    order: Literal["shuffled", "blocks"] | None = None
    """shuffled: over the whole pack; blocks: 16 neighbours of the pack at a time, 32 such blocks shuffled
    together, so that S3 is asked seldom. blocks for tiles on S3, shuffled for others, where not given."""
    lr: Annotated[float, Field(gt=0)] | None = None
    """Peak learning rate for a batch of 256; scaled by batch_size / 256."""
    out_dim: Annotated[int, Field(ge=2)] | None = None
    """Prototypes of the DINO head."""
    teacher_temp: Annotated[float, Field(gt=0)] | None = None
    """Temperature of the teacher's softmax; preset and number of tiles choose where not given."""
    warmup_teacher_temp_epochs: Annotated[int, Field(ge=1)] | None = None
    """Epochs over which the teacher's temperature rises from 0.04 to a higher --teacher-temp."""
    norm_last_layer: bool = True
    """Keep the prototypes at length 1. --no-norm-last-layer learns their lengths: often better for vit_small,
    less stable."""
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Momentum of the teacher's average at the start; rises to 1."""
    warmup_share: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the steps over which the learning rate rises; a tenth, or ten epochs in the paper, where not
    given."""
    seed: Seed = 0
    """Of weights, views and order of the tiles; the same seed gives the same run on the same machine."""
    save_every: Annotated[int, Field(ge=1)] | None = None
    """Steps between checkpoints; about every two minutes where not given."""
    init: Path | None = None
    """Start from these backbone weights (.safetensors, or the folder of a run)."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where the processor or GPU computes in it."""
    monitor_every: Annotated[int, Field(ge=0)] | None = None
    """Steps between kNN checks on the labelled tiles; 0 for none; a tenth of the run, but at least 10, where
    not given."""
    nproc: Annotated[int, Field(ge=1)] | None = None
    """Processes that share each batch on this machine, one a GPU or processor core."""
    micro_batch: Annotated[int, Field(ge=1)] | None = None
    """Most tiles that go through the network at once; the batch and the result stay the same. All of a
    process's share where not given; halved when memory runs out, and a resumed run keeps that."""
    backend: Literal["nccl", "smddp"] | None = None
    """What carries gradients between GPUs; nccl where not given."""
    on_collapse: Literal["warn", "stop"] = "warn"
    """What to do when the numbers show that every tile gets the same answer; stop: exit code 4."""
    dry_run: bool = False
    """Say time, memory and disk, and write nothing."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        given = [name for name in ("epochs", "steps", "minutes") if getattr(self, name) is not None]
        if len(given) > 1:
            flags = " and ".join(f"--{name}" for name in given)
            raise ValueError(f"{flags} are given; give one of --epochs, --steps, --minutes")
        if self.dry_run and self.nproc is not None:
            raise ValueError(f"--dry-run measures one process; leave out --nproc {self.nproc}")
        if self.nproc == 1:
            raise ValueError(
                "--nproc 1 would change nothing: one process is what runs without it; leave it out"
            )
        for name in ("global_px", "local_px"):
            size, patch = getattr(self, name), self.patch_size
            if size is not None and patch is not None and size % patch:
                raise ValueError(
                    f"--{name.replace('_', '-')} {size} is not a multiple of --patch-size {patch}"
                )
        return self


class ReplayConfig(Settings):
    """Take a step again that was skipped because its loss or gradient was not finite, and say where."""

    run: Location
    """Folder of a run, here or on S3."""
    step: Annotated[int, Field(ge=0)] | None = None
    """The skipped step; the last one where not given."""
    tiles: Location | None = None
    """Packed tiles; those of the run where not given."""
