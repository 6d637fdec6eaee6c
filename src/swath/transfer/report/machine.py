"""What the machine did while it learned, over time: processor, memory and, where there is one, the GPU."""

from swath.pages.charts import SMALL, Line, line_chart
from swath.pages.markup import Markup, element
from swath.transfer.report.facts import RunFacts

_UNITS = (("s", 1.0, 120.0), ("min", 60.0, 180.0 * 60), ("h", 3600.0, float("inf")))
_GIB = 1024.0  # from MiB


def machine_charts(run: RunFacts) -> list[Markup]:
    """A heading and small charts against the time of training; none where nothing was sampled."""
    seconds = run.column("seconds")
    if not any(value is not None for value in run.column("cpu_percent")):
        return []
    last = max(value for value in seconds if value is not None)
    unit, one, _ = next(row for row in _UNITS if last < row[2])
    times = [0.0 if value is None else value / one for value in seconds]

    def line(key: str, name: str, tone: int, *, scale: float = 1.0) -> Line:
        values = [None if value is None else value / scale for value in run.column(key)]
        return Line(name, times, values, tone)

    charts = [
        ("Loss", [line("loss", "loss", 1)]),
        ("Processor, %", [line("cpu_percent", "all cores", 3)]),
        ("Machine memory, %", [line("memory_percent", "used", 2)]),
        ("Process memory, GiB", [line("process_mib", "resident", 2, scale=_GIB)]),
        ("GPU, %", [line("gpu_percent", "in use", 3)]),
        ("GPU memory, GiB", [line("gpu_memory_mib", "used", 2, scale=_GIB)]),
    ]
    against = f"the time of training in {unit}"
    drawn = [line_chart(title, lines, size=SMALL, from_zero=True, against=against) for title, lines in charts]
    note = f"Against the time of training in {unit}. Means of samples every two seconds."
    return [
        element("h3", "The machine over time"),
        element("div", *drawn, class_="grid small"),
        element("p", note, class_="note"),
    ]
