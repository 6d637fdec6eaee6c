"""What a ladder found: a table for a reader, every row for a program."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.results import Result
from swath.transfer.ladder_table import pair_lines, text_lines


@dataclass(frozen=True)
class LadderResult(Result):
    """`rows` has one entry for each rung, probe, share of the labels and draw; `summary` the mean over draws;
    `pairs` the difference of every two trained rungs.

    A measured value is [value, low, high], a 95 % interval. `headline` is the measure that sentences speak
    of.
    """

    task: str
    headline: str
    n_train: int
    n_test: int
    rows: list[dict[str, Any]]
    summary: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    sentences: dict[str, list[str]]
    per_class: dict[str, dict[str, Any]]
    left_out: list[str]
    settings: dict[str, Any]
    digests: dict[str, str]
    rungs: list[dict[str, Any]]
    out: Path

    def lines(self) -> list[str]:
        """The table, then what the labels are worth against the untrained network."""
        found, draws = self.to_json(), self.settings["fraction_seeds"]
        drawn = f", mean of {draws} draws below 100 %" if min(self.settings["label_fraction"]) < 1 else ""
        left_out = [f"left out (too few positive test tiles): {', '.join(self.left_out)}"]
        return [
            f"{self.n_train:,} tiles to train, {self.n_test:,} to test [95 % interval{drawn}]",
            *text_lines(found),
            "",
            *pair_lines(found),
            *(said for said in self.sentences.get("linear", []) if "untrained" in said),
            *(left_out if self.left_out else []),
            f"{self.out}/ladder.html, .csv, .tex, .json, .svg, .png",
        ]
