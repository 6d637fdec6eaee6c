"""What a job measured, drawn from the lines of its log: one picture with a panel a question."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swath.config.sagemaker import PlotConfig
from swath.errors import DataError, UsageError
from swath.files import file_aside
from swath.launch.sagemaker.aws import Aws
from swath.launch.sagemaker.following import events
from swath.launch.sagemaker.metrics import read_line
from swath.results import Result

# Title, and the metrics that share its axis; a panel without a value is left out.
_PANELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("loss", ("loss", "entropy", "kl")),
    ("checks on labels", ("knn_map", "knn_accuracy", "linear_map", "linear_accuracy", "retrieval")),
    ("learning rate", ("lr",)),
    ("images/s", ("images_per_s",)),
    ("use, %", ("gpu_percent", "cpu_percent", "memory_percent")),
    ("memory, MiB", ("gpu_memory_mib", "process_mib")),
)
_ACROSS = 3
_FEW = 40


@dataclass(frozen=True)
class Plot(Result):
    """Where the picture is, and how many rows it shows."""

    out: str
    rows: int
    last_step: int


def plot(config: PlotConfig) -> Plot:
    """Draw the metrics of a job, running or ended.

    Raises:
        UsageError: another kind of picture is asked for.
        DataError: the job has said no metric yet.
    """
    if config.out.suffix not in {".png", ".svg"}:
        raise UsageError(f"--out {config.out}: expected a name that ends in .png or .svg")
    said = events(Aws(config.region), config.job, follow=False)
    rows = [{**row, "minutes": at / 60_000} for at, line in said if (row := read_line(line))]
    if not rows:
        raise DataError(
            f"{config.job} has said no metric yet; how it stands: swath sagemaker status {config.job}"
        )
    with file_aside(config.out) as aside:
        _figure(config.job, rows).savefig(aside, format=config.out.suffix[1:], dpi=120)
    return Plot(out=str(config.out), rows=len(rows), last_step=int(rows[-1]["step"]))


def _figure(job: str, rows: Sequence[dict[str, float]]) -> Any:
    from matplotlib.figure import Figure  # noqa: PLC0415 -- only a picture needs it

    panels = [(title, known) for title, names in _PANELS if (known := _known(names, rows))]
    down = -(-len(panels) // _ACROSS)
    figure = Figure(figsize=(4.4 * _ACROSS, 2.7 * down), layout="constrained")
    figure.suptitle(job)
    for axes, (title, names) in zip(figure.subplots(down, _ACROSS, squeeze=False).flat, panels, strict=False):
        _draw(axes, title, names, rows)
    for axes in figure.axes[len(panels) :]:
        axes.set_axis_off()
    return figure


def _known(names: Sequence[str], rows: Sequence[dict[str, float]]) -> list[str]:
    return [name for name in names if any(name in row for row in rows)]


def _draw(axes: Any, title: str, names: Sequence[str], rows: Sequence[dict[str, float]]) -> None:
    """Learning against the step, the machine against the minutes since the first line."""
    is_machine = title in {"use, %", "memory, MiB", "images/s"}
    start = rows[0]["minutes"]
    for name in names:
        points = [row for row in rows if name in row]
        at = [row["minutes"] - start if is_machine else row["step"] for row in points]
        marker = "o" if len(points) <= _FEW else ""  # one alone would be no line at all
        values = [row[name] for row in points]
        axes.plot(at, values, label=name.replace("_", " "), linewidth=1.2, marker=marker, markersize=3)
    if is_machine:
        axes.set_ylim(0, 102 if title == "use, %" else None)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("minutes" if is_machine else "step", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if len(names) > 1:
        axes.legend(frameon=False, fontsize=8)
