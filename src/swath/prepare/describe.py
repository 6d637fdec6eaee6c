"""Stage: what is in an archive? Counts by split, label and whatever an index knows; a page with samples."""

import time
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from swath.config import DescribeConfig
from swath.data.census import NO_SPLIT, Census, take_census
from swath.data.index import SCHEMA, Index
from swath.data.store import TileStore
from swath.files import file_aside
from swath.location import Location
from swath.prepare.describe_page import Subject, describe_page
from swath.prepare.opening import beside, open_index_or_tiles
from swath.prepare.samples import samples_of
from swath.results import Result

_SAMPLES = 48
_SHOWN = 20  # rows of a table on the terminal; the page and --json have all
_FIGURES = ("mean", "std", "minimum", "p1", "p50", "p99", "maximum")

Table = list[list[str]]


@dataclass(frozen=True)
class DescribeResult(Result):
    """`bands`: statistics of stored values of the training tiles by band; {} for an index. `samples`: tiles
    whose picture is on the page.
    """

    out: Location
    census: Census
    bands: dict[str, dict[str, float]]
    samples: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"census": self.census.to_json()}

    def lines(self) -> list[str]:
        """Tables of counts, one after the other."""
        census = self.census
        tables = [_counts_table("labels", census.labels, census), _companions(census)]
        tables += [_counts_table(name, values, census) for name, values in census.columns.items()]
        tables.append(_bands_table(self.bands))
        blocks = [_aligned(table) for table in tables if len(table) > 1]
        return [*self._head(), *(line for block in blocks for line in ["", *block]), "", f"page: {self.out}"]

    def _head(self) -> list[str]:
        census = self.census
        splits = ", ".join(
            f"{'no split' if name == NO_SPLIT else name} {count:,}" for name, count in census.splits.items()
        )
        empty = f", {census.empty:,} of them with none of the classes" if census.empty else ""
        return [f"{census.tiles:,} tiles: {splits}", f"{census.labelled:,} are labelled{empty}"]


def run(config: DescribeConfig) -> DescribeResult:
    """Count, and write the page.

    Raises:
        DataError: the index or pack is bad.
        MachineError: the disk is full.
    """
    started = time.monotonic()
    opened = open_index_or_tiles(config.index)
    census = take_census(_table_of(opened), _vocabulary(opened))
    samples = samples_of(opened, _SAMPLES)
    bands = opened.statistics if isinstance(opened, TileStore) else {}
    out = config.out or beside(config.index, "describe.html")
    text = describe_page(Subject.of(config.index, opened), census, bands, samples)
    with file_aside(out) as aside:
        aside.write_text(text, encoding="utf-8")
    result = DescribeResult(out, census, bands, len(samples.rows) if samples else 0, 0.0)
    return replace(result, seconds=time.monotonic() - started)


def _vocabulary(opened: Index | TileStore) -> tuple[str, ...]:
    return opened.info.vocabulary if isinstance(opened, Index) else opened.vocabulary


def _table_of(opened: Index | TileStore) -> pa.Table:
    if isinstance(opened, Index):
        return opened.table
    more = (name for name in opened.column_names if name not in SCHEMA.names)
    return opened.columns("split", "labels", *more)


def _counts_table(title: str, values: dict[str, dict[str, int]], census: Census) -> Table:
    """A row a value, the most frequent first; a column a split."""
    rows = [[title, *census.splits, "all", "share"]]
    ranked = sorted(values.items(), key=lambda item: -sum(item[1].values()))
    for value, counts in ranked[:_SHOWN]:
        total = sum(counts.values())
        cells = [f"{counts.get(split, 0):,}" for split in census.splits]
        rows.append([value, *cells, f"{total:,}", f"{total / census.tiles:.1%}"])
    if len(ranked) > _SHOWN:
        rows.append([f"... {len(ranked) - _SHOWN} more", *[""] * (len(rows[0]) - 1)])
    return rows


def _companions(census: Census) -> Table:
    """Of each label, the three others that it most often comes with."""
    rows = [["label", "comes with (share of its tiles)"]]
    for name, others in list(census.together.items())[:_SHOWN]:
        total = sum(census.labels[name].values())
        nearest = sorted(others.items(), key=lambda item: -item[1])[:3]
        if nearest:
            rows.append([name, "; ".join(f"{other} {count / total:.0%}" for other, count in nearest)])
    return rows


def _bands_table(bands: dict[str, dict[str, float]]) -> Table:
    return [
        ["band", *_FIGURES],
        *([band, *(f"{figures[key]:,.4g}" for key in _FIGURES)] for band, figures in bands.items()),
    ]


def _aligned(table: Table) -> list[str]:
    """The first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    if len(widths) == 2:
        return [f"{row[0]:{widths[0]}}  {row[1]}" for row in table]
    return [
        f"{row[0]:{widths[0]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in table
    ]
