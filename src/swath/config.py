"""Every setting a user can ask for, in the order of the flow; one frozen model a command.

The command line, a `--config` file and the Python functions are all made from these models. Unknown keys are
errors. What a run really used is another type: `swath.pretraining.recipe.Recipe`, saved in the run.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _comma_list(value: Any) -> Any:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


Names = Annotated[tuple[str, ...], BeforeValidator(_comma_list)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Settings(BaseModel):
    """Frozen, no unknown keys, and the docstring under each field is its help text."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class IndexConfig(Settings):
    """List the tiles of an archive of imagery, with their labels, in one GeoParquet file."""

    source: Path
    """Folder or file: scenes, a folder of tiles, or BigEarthNet patch folders."""
    out: Path
    """The index to write (GeoParquet)."""
    layout: Literal["auto", "scenes", "folder", "bigearthnet"] = "auto"
    """What the source holds: scenes to cut, ready tiles, or BigEarthNet patches."""
    labels: Path | None = None
    """labels.csv for tiles, or polygons (.gpkg, .geojson, .shp) for scenes."""
    label_column: str | None = None
    """Column with one class a row."""
    label_columns: Names = ()
    """0/1 columns, one a label: A,B,C or the word binary for every 0/1 column."""
    min_share: Share = 0.05
    """A polygon class labels a tile when it covers at least this share of it."""
    partial_labels: bool = False
    """The polygons cover only part of the ground: a tile that none labels is unlabelled, not empty."""
    tile_px: Annotated[int, Field(ge=1)] = 120
    """Side of the tiles cut from scenes, in pixels of the finest band."""
    stride_px: Annotated[int, Field(ge=1)] | None = None
    """Step between tiles cut from scenes; tile_px where not given."""
    max_nodata: Share = 0.0
    """Tiles with a larger share of nodata pixels are left out, and counted."""
    band_pattern: str | None = None
    """Regular expression with a group (?P<band>...) that finds the band in a file name (without suffix)."""
    on_bad_file: Literal["error", "skip"] = "error"
    """error: stop and name the bad files; skip: leave them out and list them in NAME.bad_files.csv beside the
    index (a scene or patch with a bad file is left out whole)."""
    max_bad: Share = 0.01
    """With skip: stop when more than this share of the files (scenes, patches) is bad."""
    max_pixels: Annotated[int, Field(ge=1)] = 270_000_000
    """Refuse files that declare more pixels in a band than this (a 10,980 px Sentinel-2 tile has 120
    million)."""


class SplitConfig(Settings):
    """Say which tiles train, validate and test."""

    index: Path
    """The index to split."""
    out: Path
    """The index to write."""
    by: Literal["official", "random", "blocks"] = "blocks"
    """official: keep the split of the data set; random: seeded; blocks: whole places, so that test is
    elsewhere."""
    test_share: Share = 0.2
    """Share of the tiles for test; whole blocks are taken until they hold about that many (blocks)."""
    val_share: Share = 0.1
    """The same for validation; 0 for none."""
    seed: Seed = 0
    block_m: Annotated[float, Field(gt=0)] = 10_000.0
    """Side of a block on the ground, in metres."""
    gap_m: Annotated[float, Field(ge=0)] = 0.0
    """Training tiles nearer than this to a test or validation tile go to the split "gap" and are not used."""
    split_column: str = "split"
    """For official: the column that holds the split."""
    force: bool = False
    """Split at random even where tiles overlap on the ground."""

    @model_validator(mode="after")
    def _something_left_to_train_on(self) -> Self:
        if self.test_share + self.val_share >= 1:
            raise ValueError(
                f"test_share {self.test_share} + val_share {self.val_share} leave nothing to train on"
            )
        return self


class PackConfig(Settings):
    """Copy the pixels of an index into one dataset that training reads at full speed."""

    index: Path
    """The index to pack."""
    out: Path
    """The packed tiles to write (Lance)."""
    bands: Names = ()
    """Bands in the order the network will see: B04,B03,B02. All where not given."""
    on_bad_tile: Literal["error", "skip"] = "error"
    """error: stop; skip: leave bad tiles out. Both list them in NAME.bad_tiles.csv beside the output."""
    max_bad: Share = 0.01
    """With skip: stop when more than this share of the tiles is bad."""
    max_pixels: Annotated[int, Field(ge=1)] = 270_000_000
    """As in index."""


class PretrainConfig(Settings):
    """Teach a vision transformer what the tiles look like, without labels."""

    tiles: Path
    """Packed tiles."""
    out: Path
    """Folder of the run. The same command again goes on where it stopped."""
    method: Literal["dino", "simclr"] | None = None
    """How it learns; the preset chooses where not given."""
    preset: Literal["overhead", "paper", "demo"] = "overhead"
    """overhead: for imagery from above; paper: DINO as published; demo: a small network for minutes of
    CPU."""
    model: Literal["vit_micro", "vit_tiny", "vit_small", "vit_base"] | None = None
    """Size of the network; the preset chooses where not given."""
    patch_size: Annotated[int, Field(ge=1)] | None = None
    """Side of a token in pixels of a view."""
    global_px: Annotated[int, Field(ge=4)] | None = None
    """Side of the two global views, in pixels."""
    local_px: Annotated[int, Field(ge=4)] | None = None
    """Side of the local views, in pixels."""
    local_views: Annotated[int, Field(ge=0, le=64)] | None = None
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Length of training: give one of epochs, steps, minutes (100 epochs where none is given)."""
    steps: Annotated[int, Field(ge=1)] | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Number of steps that fit into this time, from a rate measured at the start."""
    batch_size: Annotated[int, Field(ge=2)] = 64
    """Tiles a step."""
    lr: Annotated[float, Field(gt=0)] | None = None
    """Peak learning rate for a batch of 256; scaled by batch_size / 256."""
    out_dim: Annotated[int, Field(ge=2)] | None = None
    """Prototypes of the DINO head."""
    teacher_temp: Annotated[float, Field(gt=0)] | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Momentum of the teacher's average at the start; rises to 1."""
    warmup_share: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the steps over which the learning rate rises; a tenth, or ten epochs in the paper, where not
    given."""
    seed: Seed = 0
    save_every: Annotated[int, Field(ge=1)] | None = None
    """Steps between checkpoints; about every two minutes where not given."""
    init: Path | None = None
    """Start from these backbone weights (.safetensors, or the folder of a run)."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where the processor or GPU computes in it."""
    monitor_every: Annotated[int, Field(ge=0)] | None = None
    """Steps between kNN checks on the labelled tiles; 0 for none; a tenth of the run, but at least 10, where
    not given."""
    dry_run: bool = False
    """Say time, memory and disk, and write nothing."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        given = [name for name in ("epochs", "steps", "minutes") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; give one of epochs, steps, minutes")
        for name in ("global_px", "local_px"):
            size, patch = getattr(self, name), self.patch_size
            if size is not None and patch is not None and size % patch:
                raise ValueError(f"{name} {size} is not a multiple of patch_size {patch}")
        return self


class EmbedConfig(Settings):
    """Compute the frozen features of every tile, once, to disk."""

    run: Path
    """Folder of a run."""
    tiles: Path
    """Packed tiles."""
    out: Path
    """The features to write (GeoParquet)."""
    batch_size: Annotated[int, Field(ge=1)] = 256
    weights: Literal["teacher", "student"] = "teacher"


class ProbeConfig(Settings):
    """Measure what the features are worth on your labels, beside untrained features and image statistics."""

    run: Path
    """Folder of a run."""
    tiles: Path
    """Packed tiles with labels and a split."""
    task: Literal["linear", "knn"] = "linear"
    out: Path | None = None
    """Where to write; RUN/probe-TASK.json where not given."""
    k: Annotated[int, Field(ge=1)] = 20
    """Neighbours (knn)."""
    temperature: Annotated[float, Field(gt=0)] = 0.07
    """Weight of a neighbour is exp(similarity / temperature) (knn)."""
    min_positives: Annotated[int, Field(ge=1)] = 1
    """Classes with fewer positive test tiles are left out of the averages, and said so."""
    rounds: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap rounds for the 95 % intervals."""
    seed: Seed = 0
    weights: Literal["teacher", "student"] = "teacher"


class ReportConfig(Settings):
    """Write one offline page about a run: what it saw, how it learned, what it is worth."""

    run: Path
    """Folder of a run."""
    tiles: Path | None = None
    """Packed tiles; those of the run where not given."""
    out: Path | None = None
    """The page; RUN/report.html where not given."""


class DemoConfig(Settings):
    """The whole flow on a real Sentinel-2 scene that comes with a Python package."""

    out: Path = Path("swath-demo")
    """Folder for everything the demo makes."""
    minutes: Annotated[float, Field(gt=0)] = 3.5
    """Training budget on this machine."""


class DoctorConfig(Settings):
    """Say what this machine can do, what is missing, and what to type."""

    data: Path | None = None
    """Also look at this archive, index or packed dataset."""
