"""Charts as plain SVG and HTML that take their colours from the page, so that they follow light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.pages.markup import Markup, element, join, number

_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 10.0, 8.0, 26.0
WIDE, SMALL = (500.0, 200.0), (290.0, 140.0)  # width and height on the screen, near enough
_POINTS = 180

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One curve. `tone` 1 to 5 is a colour of the page; values that are None or not finite are gaps."""

    name: str
    steps: Sequence[float]
    values: Sequence[float | None]
    tone: int = 1


@dataclass(frozen=True)
class Bar:
    """One row of `bars`: a bar, marks of other things on the same scale, and the text at its end."""

    name: str
    value: float
    marks: tuple[tuple[float, int], ...]
    text: Markup


@dataclass(frozen=True)
class Estimate:
    """One row of `intervals`: a value and its 95 % interval."""

    name: str
    value: float
    low: float
    high: float
    tone: int = 5
    main: bool = False


def line_chart(
    title: str,
    lines: Sequence[Line],
    *,
    size: tuple[float, float] = WIDE,
    from_zero: bool = False,
    against: str = "the step",
) -> Markup:
    """A card with a title, a legend with the last values, and the curves against the step (or the time)."""
    shown = [(line, thinned(line)) for line in lines]
    shown = [(line, points) for line, points in shown if len(points)]
    if not shown:
        return Markup()
    every = np.concatenate([points for _, points in shown])
    low = 0.0 if from_zero else float(every[:, 1].min())
    frame = _Frame(size, float(every[:, 0].max()), ticks(low, float(every[:, 1].max()), 4))
    alone = len(shown) == 1
    chips = (_chip(line, points, alone=alone) for line, points in shown)
    drawn = (_curve(frame, line, points, filled=alone and from_zero) for line, points in shown)
    box = f"0 0 {size[0]:g} {size[1]:g}"
    picture = element(
        "svg", frame.draw(), *drawn, viewBox=box, role="img", aria_label=f"{title} against {against}"
    )
    return element("figure", element("figcaption", element("b", title), *chips), picture, class_="card chart")


def thinned(line: Line) -> Floats:
    """(P, 2) steps and values: means of at most 180 equal stretches, so that a long run stays small."""
    pairs = [
        (float(step), float(value))
        for step, value in zip(line.steps, line.values, strict=True)
        if value is not None and math.isfinite(value)
    ]
    stretches = np.array_split(
        np.asarray(pairs, dtype=np.float64).reshape(-1, 2), min(max(len(pairs), 1), _POINTS)
    )
    return np.asarray([part.mean(axis=0) for part in stretches if len(part)]).reshape(-1, 2)


def ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers that enclose [low, high]: steps of 1, 2 or 5 times a power of ten."""
    if high - low < 1e-12 * max(abs(high), abs(low), 1e-12):
        low, high = low - 0.05 * abs(low) - 1e-6, high + 0.05 * abs(high) + 1e-6
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def intervals(estimates: Sequence[Estimate]) -> Markup:
    """Rows of dots with their intervals over one axis, in the order given."""
    scale = ticks(min(row.low for row in estimates), max(row.high for row in estimates), 4)
    low, span = scale[0], scale[-1] - scale[0]
    rows: list[Markup] = []
    for row in estimates:
        left, right, middle = ((value - low) / span for value in (row.low, row.high, row.value))
        marks = (
            element("i", class_="range", style=f"left:{left:.2%};width:{right - left:.2%}"),
            element("i", class_="dot", style=f"left:{middle:.2%}"),
        )
        text = element("small", f"{row.low:.3f} to {row.high:.3f}")
        rows += [
            element("span", row.name, class_="name main" if row.main else "name"),
            element("span", *marks, class_=f"track t{row.tone}"),
            element("span", f"{row.value:.3f}", text, class_="figure"),
        ]
    return element("div", *rows, *_axis(scale), class_="tracks")


def bars(rows: Sequence[Bar], *, tone: int = 1) -> Markup:
    """Horizontal bars on a scale from 0 to 1, each with its marks."""
    cells: list[Markup] = []
    for row in rows:
        bar = element("i", class_=f"bar t{tone}", style=f"width:{row.value:.2%}")
        marks = (element("i", class_=f"tick t{mark}", style=f"left:{value:.2%}") for value, mark in row.marks)
        cells += [
            element("span", row.name, class_="name"),
            element("span", bar, *marks, class_="track bars"),
            element("span", row.text, class_="figure"),
        ]
    return element("div", *cells, *_axis([0.0, 0.25, 0.5, 0.75, 1.0]), class_="tracks")


def _axis(scale: Sequence[float]) -> tuple[Markup, Markup, Markup]:
    span = scale[-1] - scale[0]
    labels = (element("span", f"{tick:g}", style=f"left:{(tick - scale[0]) / span:.2%}") for tick in scale)
    return element("span"), element("span", *labels, class_="axis"), element("span")


@dataclass(frozen=True)
class _Frame:
    """Where steps and values lie in the SVG, and the lines and numbers behind the curves."""

    size: tuple[float, float]
    last_step: float
    y_ticks: list[float]

    @property
    def floor(self) -> float:
        return self.size[1] - _BOTTOM

    def place(self, points: Floats) -> Floats:
        """(P, 2) steps and values to (P, 2) x and y."""
        low, high = self.y_ticks[0], self.y_ticks[-1]
        x = _LEFT + points[:, 0] / max(self.last_step, 1.0) * (self.size[0] - _LEFT - _RIGHT)
        y = _TOP + (high - points[:, 1]) / (high - low) * (self.floor - _TOP)
        return np.stack([x, y], axis=1)

    def draw(self) -> Markup:
        steps = [tick for tick in ticks(0.0, self.last_step, 4) if tick <= self.last_step]
        rows = self.place(np.asarray([(0.0, tick) for tick in self.y_ticks]))
        columns = self.place(np.asarray([(step, self.y_ticks[0]) for step in steps]))
        parts: list[Markup] = []
        for tick, (x, y) in zip(self.y_ticks, rows.tolist(), strict=True):
            parts.append(element("line", class_="gridline", x1=x, y1=y, x2=self.size[0] - _RIGHT, y2=y))
            parts.append(element("text", _short(tick), x=x - 8, y=y + 4, text_anchor="end"))
        for step, (x, y) in zip(steps, columns.tolist(), strict=True):
            parts.append(element("text", _short(step), x=x, y=y + 19, text_anchor="middle"))
        return join(parts)


def _curve(frame: _Frame, line: Line, points: Floats, *, filled: bool) -> Markup:
    placed = frame.place(points)
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
    area = f"{path}L{placed[-1, 0]:.1f} {frame.floor:.1f}L{placed[0, 0]:.1f} {frame.floor:.1f}Z"
    return element(
        "g",
        element("path", class_="area", d=area) if filled else None,
        element("path", class_="line", d=path),
        element("circle", class_="end", cx=float(placed[-1, 0]), cy=float(placed[-1, 1]), r=4),
        class_=f"t{line.tone}",
    )


def _chip(line: Line, points: Floats, *, alone: bool) -> Markup:
    value = number(float(points[-1, 1]))
    text = f"now {value}" if alone else f"{line.name} {value}"
    return element("span", element("span", text), class_=f"chip t{line.tone}")


def _short(tick: float) -> str:
    return f"{tick / 1000:g}k" if abs(tick) >= 1000 else f"{tick:g}"
