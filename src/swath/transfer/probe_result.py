"""What a probe found: a table for a reader, plain values for a program."""

from dataclasses import dataclass
from typing import Any

from swath.location import Location
from swath.results import Result
from swath.transfer.baselines import PRETRAINED, UNTRAINED
from swath.transfer.fractions import percent

_TITLES = {"map_macro": "macro AP", "map_micro": "micro AP", "f1_macro": "macro F1", "accuracy": "accuracy"}


@dataclass(frozen=True)
class ProbeResult(Result):
    """Scores on the test tiles as [value, low, high], a 95 % interval; accuracy for single labels only.

    `task` is what the labels are, "class" or "multilabel"; `probe` is "linear" or "knn". With several shares
    of the labels the scores are those of the largest; `label_efficiency` has them all.
    """

    task: str
    probe: str
    n_train: int
    n_test: int
    map_macro: list[float]
    map_micro: list[float]
    f1_macro: list[float]
    f1_micro: list[float]
    accuracy: list[float] | None
    per_class: dict[str, dict[str, Any]]
    baselines: dict[str, dict[str, Any]]
    gain_over_untrained: dict[str, list[float]]
    p_no_gain: dict[str, float]
    label_efficiency: dict[str, list[dict[str, Any]]]
    sentences: list[str]
    left_out: list[str]
    settings: dict[str, Any]
    details: dict[str, Any]
    digests: dict[str, str]
    out: Location

    def lines(self) -> list[str]:
        """The table for a reader."""
        rows = {**self.baselines, PRETRAINED: self.to_json()}
        measures = [name for name in _TITLES if rows[PRETRAINED][name] is not None]
        gain, p = self.gain_over_untrained["map_macro"], self.p_no_gain["map_macro"]
        counts = f"{self.n_train:,} tiles to train, {self.n_test:,} to test [95 % interval]"
        paired = f"{gain[0]:+.3f} [{gain[1]:+.3f}, {gain[2]:+.3f}] macro AP, p {p:.2g}"
        left_out = [f"  left out (too few positive test tiles): {', '.join(self.left_out)}"]
        return [
            f"{self.probe} probe{self._set_by()}, {counts}",
            f"  {'':18} " + " ".join(f"{_TITLES[name]:21}" for name in measures),
            *(
                f"  {title:18} " + " ".join(f"{_words(row[name]):21}" for name in measures)
                for title, row in rows.items()
            ),
            f"  gain over the {UNTRAINED}, paired: {paired}",
            *self._by_fraction(),
            *(left_out if self.left_out else []),
            f"  {self.out}",
        ]

    def _set_by(self) -> str:
        """K and temperature, or the recipe: without them a number says little."""
        shown = [name for name in ("k", "temperature", "recipe", "epochs") if name in self.settings]
        return f" ({', '.join(f'{name} {self.settings[name]:}' for name in shown)})" if shown else ""

    def _by_fraction(self) -> list[str]:
        measure = "accuracy" if self.accuracy else "map_macro"
        points = self.label_efficiency[PRETRAINED]
        if len(points) < 2:
            return []
        head = " ".join(f"{percent(point['fraction']):>8}" for point in points)
        rows = [
            f"  {name:18} " + " ".join(f"{point[measure][0]:8.3f}" for point in curve)
            for name, curve in self.label_efficiency.items()
        ]
        return [f"  {_TITLES[measure] + ' by labels':18} {head}", *rows, *(f"  {s}" for s in self.sentences)]


def _words(value: list[float]) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"
