"""The table of a ladder as text for a terminal, CSV and LaTeX. A ladder here is what ladder.json holds."""

import csv
import io
from typing import Any

from swath.transfer.fractions import percent

Ladder = dict[str, Any]
TITLES = {
    "accuracy": "accuracy",
    "map_macro": "macro AP",
    "map_micro": "micro AP",
    "f1_macro": "macro F1",
    "f1_micro": "micro F1",
}
_PROBES = {"linear": "linear probe", "knn": "kNN"}
# In the words of TeX, character by character; the rest of ASCII stands for itself.
# A bracket or a star at the start of a row would be an argument of the line break before it.
_TEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "[": "{[}", "*": "{*}", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def shown_measures(ladder: Ladder) -> list[str]:
    """Accuracy where a tile has one label, macro and micro AP."""
    return [name for name in ("accuracy", "map_macro", "map_micro") if name in ladder["summary"][0]]


def probes_of(ladder: Ladder) -> list[str]:
    return list(dict.fromkeys(row["probe"] for row in ladder["summary"]))


def probe_title(ladder: Ladder, probe: str) -> str:
    """The name of a probe; kNN with k and temperature, which every number of it depends on."""
    settings = ladder.get("settings") or {}
    k = f" (k {settings['k']}, T {settings['temperature']:g})" if probe == "knn" and "k" in settings else ""
    return _PROBES[probe] + k


def rungs_of(ladder: Ladder) -> list[str]:
    return list(dict.fromkeys(row["rung"] for row in ladder["summary"]))


def points(ladder: Ladder, probe: str, rung: str) -> list[dict[str, Any]]:
    """What one rung reaches, by share of the labels."""
    return [row for row in ladder["summary"] if (row["probe"], row["rung"]) == (probe, rung)]


def text_lines(ladder: Ladder) -> list[str]:
    """A block for each probe and measure: a line a rung, a column a share of the labels."""
    lines = []
    titles = {
        (probe, measure): f"{probe_title(ladder, probe)}, {TITLES[measure]}"
        for probe in probes_of(ladder)
        for measure in shown_measures(ladder)
    }
    width = max(*(len(rung) + 2 for rung in rungs_of(ladder)), *map(len, titles.values()))
    for (probe, measure), title in titles.items():
        first = points(ladder, probe, rungs_of(ladder)[0])
        heads = " ".join(f"{percent(point['fraction']):22}" for point in first)
        lines += ["", f"{title:{width}}  {heads}".rstrip()]
        for rung in rungs_of(ladder):
            cells = " ".join(f"{_interval(p[measure]):22}" for p in points(ladder, probe, rung))
            lines.append(f"{'  ' + rung:{width}}  {cells}".rstrip())
    return lines


def pair_lines(ladder: Ladder) -> list[str]:
    """How every two trained rungs differ with the most labels, by the headline measure."""
    headline, said = ladder["headline"], []
    pairs = ladder.get("pairs", [])  # a ladder of an older swath has none
    most = max((pair["fraction"] for pair in pairs), default=1.0)
    for pair in pairs:
        if pair["fraction"] == most:
            value, low, high = pair[headline]
            said.append(
                f"{pair['rung']} over {pair['over']}, {probe_title(ladder, pair['probe'])}, "
                f"{percent(most)}, paired: {value:+.3f} [{low:+.3f}, {high:+.3f}] {TITLES[headline]}, "
                f"p {pair['p_no_difference'][headline]:.2g}"
            )
    return said


def csv_text(ladder: Ladder) -> str:
    """A row for each rung, probe, share and measure, with the paired gain over the untrained network."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ["rung", "kind", "probe", "k", "temperature", "fraction", "n_train", "draws", "measure", "value",
         "low", "high", "gain", "gain_low", "gain_high", "p_no_gain"]
    )  # fmt: skip
    settings = ladder["settings"]
    for row in ladder["summary"]:
        for measure in (name for name in TITLES if name in row):
            head = [row[name] for name in ("rung", "kind", "probe")]
            head += [settings["k"], settings["temperature"]] if row["probe"] == "knn" else ["", ""]
            head += [row[name] for name in ("fraction", "n_train", "draws")]
            gain = row["gain_over_untrained"][measure]
            writer.writerow([*head, measure, *row[measure], *gain, row["p_no_gain"][measure]])
    return stream.getvalue()


def latex_text(ladder: Ladder) -> str:
    """A booktabs table: a block for each probe and measure, 95 % intervals small beside each value."""
    shares = [point["fraction"] for point in points(ladder, probes_of(ladder)[0], rungs_of(ladder)[0])]
    how = f"{ladder['n_test']} test tiles; 95 % bootstrap intervals by {ladder['settings']['by']}"
    lines = [
        f"% {how}. Needs \\usepackage{{booktabs}}.",
        f"\\begin{{tabular}}{{l{'l' * len(shares)}}}",
        "\\toprule",
        " & ".join(["labels", *(_tex(percent(share)) for share in shares)]) + r" \\",
    ]
    for probe in probes_of(ladder):
        for measure in shown_measures(ladder):
            title = f"{probe_title(ladder, probe)}, {TITLES[measure]}"
            lines += ["\\midrule", rf"\multicolumn{{{len(shares) + 1}}}{{l}}{{\emph{{{title}}}}} \\"]
            for rung in rungs_of(ladder):
                cells = (_tex_interval(point[measure]) for point in points(ladder, probe, rung))
                lines.append(" & ".join([_tex(rung), *cells]) + r" \\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _interval(value: list[float]) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"


def _tex_interval(value: list[float]) -> str:
    return f"{value[0]:.3f} {{\\scriptsize [{value[1]:.3f}, {value[2]:.3f}]}}"


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)
