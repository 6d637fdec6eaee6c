"""Settings of embed, probe and report: a run -> what it is worth."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from swath.config.settings import EngineName, Location, Part, Seed, Settings, comma_list
from swath.location import S3Path

Tokens = Literal["cls", "mean", "both"]


def _one_or_many(value: Any) -> Any:
    """0.1, "0.01,0.1" or a list."""
    return (value,) if isinstance(value, int | float | Path | S3Path) else comma_list(value)


def _ascending(fractions: tuple[float, ...]) -> tuple[float, ...]:
    if not fractions:
        raise ValueError("name at least one share, such as 0.1")
    return tuple(sorted(set(fractions)))


Fractions = Annotated[
    tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...],
    BeforeValidator(_one_or_many),
    AfterValidator(_ascending),
]
Paths = Annotated[tuple[Path, ...], BeforeValidator(_one_or_many)]
Places = Annotated[tuple[Location, ...], BeforeValidator(_one_or_many)]


class EmbedConfig(Settings):
    """Compute the frozen features of every tile, once, to disk."""

    run: Location
    """Folder of a run, here or on S3."""
    tiles: Location
    """Packed tiles."""
    out: Location
    """The features to write (GeoParquet)."""
    batch_size: Annotated[int, Field(ge=1)] = 256
    """Tiles that go through the network at once; the features are the same, up to rounding."""
    weights: Literal["teacher", "student"] = "teacher"
    """Which of the run's two networks."""
    features: Tokens = "both"
    """Class token, mean of the patch tokens, or both."""
    blocks: Annotated[int, Field(ge=1)] = 1
    """Of the last N blocks."""
    part: Part | None = None
    """Only the K-th of N stretches of the tiles (K/N), for several machines that share the work; the files in
    their order are the whole."""
    engine: EngineName = "local"
    """local: this process; ray: tasks on the cluster of RAY_ADDRESS, or on the processors of this machine."""
    other_data: bool = False
    """The tiles are another data set than the run's: their ground resolution may differ, and their own
    statistics standardise them."""


_OF_LABELS = {"features", "blocks", "label_fraction", "fraction_seeds", "min_positives", "other_data"}
_NO_EFFECT = {
    "linear": {"head", "k", "temperature"},
    "knn": {"head", "recipe"},
    "segmentation": {"recipe", "k", "temperature", *_OF_LABELS},
}


class ProbeConfig(Settings):
    """Measure what the features are worth on your labels, beside untrained features and image statistics."""

    run: Location
    """Folder of a run, here or on S3."""
    tiles: Location
    """Packed tiles with labels and a split."""
    task: Literal["linear", "knn", "segmentation"] = "linear"
    """linear, knn: labels of whole tiles; segmentation: a class a pixel, from masks."""
    head: Literal["linear", "conv"] = "linear"
    """What reads the tokens (segmentation): a linear map, or two small convolutions."""
    recipe: Literal["logistic", "dino"] = "logistic"
    """Of the linear probe: logistic regression to convergence, or DINO's eval_linear.py (50 epochs of SGD on
    random crops)."""
    features: Tokens | None = None
    """Class token, mean of the patch tokens, or both. [both; recipe dino: cls]"""
    blocks: Annotated[int | None, Field(ge=1)] = None
    """Of the last N blocks. [1; recipe dino: 4]"""
    label_fraction: Fractions = (1.0,)
    """Shares of the training labels to learn from."""
    fraction_seeds: Annotated[int, Field(ge=1)] = 3
    """Draws of each share below 1."""
    out: Path | None = None
    """Where to write; RUN/probe-TASK.json where not given (RUN/probe-dino.json for recipe dino)."""
    k: Annotated[int, Field(ge=1)] = 20
    """Neighbours (knn)."""
    temperature: Annotated[float, Field(gt=0)] = 0.07
    """Weight of a neighbour is exp(similarity / temperature) (knn)."""
    min_positives: Annotated[int, Field(ge=1)] = 1
    """Classes with fewer positive test tiles are left out of the averages, and said so."""
    rounds: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap rounds for the 95 % intervals."""
    seed: Seed = 0
    """Of the draws of labels, of folds and of the bootstrap."""
    weights: Literal["teacher", "student"] = "teacher"
    """Which of the run's two networks."""
    other_data: bool = False
    """The tiles are another data set than the run's: their ground resolution may differ, and their own
    statistics standardise them."""

    @model_validator(mode="after")
    def _without_settings_of_no_effect(self) -> Self:
        given = self.model_fields_set
        idle = given & _NO_EFFECT[self.task]
        if idle:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(idle))
            raise ValueError(f"{flags} would change nothing with --task {self.task}")
        if "fraction_seeds" in given and self.label_fraction == (1.0,):
            raise ValueError("--fraction-seeds needs a --label-fraction below 1; all labels are one draw")
        return self


class LadderConfig(Settings):
    """One table of what features are worth: image statistics, random convolutions, an untrained network,
    given weights and your runs, at several shares of the labels.
    """

    tiles: Location
    """Packed tiles with labels and a split."""
    runs: Places = ()
    """Folders of runs, here or on S3."""
    weights: Paths = ()
    """Weights of photographs (.pth, .safetensors), as facebookresearch/dino or timm name them; they see red,
    green and blue."""
    out: Path | None = None
    """Folder for the table, the figure and the features; `ladder` beside the tiles where not given."""
    label_fraction: Fractions = (0.01, 0.1, 1.0)
    """Shares of the training labels to learn from."""
    fraction_seeds: Annotated[int, Field(ge=1)] = 3
    """Draws of each share below 1."""
    probes: Annotated[tuple[Literal["linear", "knn"], ...], BeforeValidator(comma_list)] = ("linear", "knn")
    """What judges the features: a linear map, nearest neighbours, or both."""
    k: Annotated[int, Field(ge=1)] = 20
    """Neighbours (knn)."""
    temperature: Annotated[float, Field(gt=0)] = 0.07
    """Weight of a neighbour is exp(similarity / temperature) (knn)."""
    features: Tokens = "both"
    """Class token, mean of the patch tokens, or both."""
    blocks: Annotated[int, Field(ge=1)] = 1
    """Of the last N blocks."""
    min_positives: Annotated[int, Field(ge=1)] = 1
    """Classes with fewer positive test tiles are left out of the averages, and said so."""
    rounds: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap rounds for the 95 % intervals."""
    seed: Seed = 0
    """Of the draws of labels, of folds, of the bootstrap and of networks that never trained."""
    other_data: bool = False
    """Runs of other data than these tiles: ground resolution may differ, and the statistics of these tiles
    standardise them."""


class ReportConfig(Settings):
    """Write one offline page about a run: what it saw, how it learned, what it is worth."""

    run: Location
    """Folder of a run, here or on S3."""
    tiles: Location | None = None
    """Packed tiles; those of the run where not given."""
    out: Location | None = None
    """The page; RUN/report.html where not given."""
    ladder: Location | None = None
    """The ladder.json to show; ladder/ladder.json beside the tiles where not given."""
