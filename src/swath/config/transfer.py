"""Settings of embed, probe and report: a run -> what it is worth."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from swath.config.settings import Location, Seed, Settings


class EmbedConfig(Settings):
    """Compute the frozen features of every tile, once, to disk."""

    run: Path
    """Folder of a run."""
    tiles: Location
    """Packed tiles."""
    out: Path
    """The features to write (GeoParquet)."""
    batch_size: Annotated[int, Field(ge=1)] = 256
    weights: Literal["teacher", "student"] = "teacher"


class ProbeConfig(Settings):
    """Measure what the features are worth on your labels, beside untrained features and image statistics."""

    run: Path
    """Folder of a run."""
    tiles: Location
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
    tiles: Location | None = None
    """Packed tiles; those of the run where not given."""
    out: Path | None = None
    """The page; RUN/report.html where not given."""
