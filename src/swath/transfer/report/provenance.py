"""How to make it again: the command, every setting with its reason, the machine, digests of what went in."""

import json

from swath.pages.markup import Markup, element, join
from swath.pages.page import Section, table
from swath.transfer.report.facts import Row, RunFacts, TileFacts


def provenance_section(run: RunFacts, tiles: TileFacts) -> Section:
    """Folded tables under the exact command."""
    command = element("pre", element("code", run.command or "(not recorded)"))
    body = join(
        [
            command,
            element("h3", "Details"),
            _folded("Settings", _settings(run)),
            _folded("Preprocessing contract", _contract(tiles)),
            _folded("Machine and packages", _pairs(flat(run.environment))),
            _folded("Digests (sha256)", _pairs(digests(run, tiles))),
        ]
    )
    lede = "The command that made the run, and everything that decided its outcome."
    return Section("again", "How to make it again", lede, body)


def digests(run: RunFacts, tiles: TileFacts) -> Row:
    """Name -> sha256 of what the numbers on the page come from."""
    found: Row = {"index": tiles.index_digest, "packed tiles": tiles.digest}
    if run.checkpoint_step is not None:
        found[f"checkpoint of step {run.checkpoint_step:,}"] = run.checkpoint_digest
    return {name: value for name, value in found.items() if value}


def flat(values: Row, prefix: str = "") -> Row:
    """Nested names joined by dots."""
    pairs: Row = {}
    for name, value in values.items():
        pairs |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return pairs


def _folded(title: str, body: Markup) -> Markup:
    return element("details", element("summary", title), body)


def _settings(run: RunFacts) -> Markup:
    rows = (
        element(
            "tr",
            _key(name),
            element("td", _value(value)),
            element("td", run.reasons.get(name, ""), class_="why"),
        )
        for name, value in flat(run.recipe).items()
    )
    return table(["Setting", "Value", "Why"], rows)


def _contract(tiles: TileFacts) -> Markup:
    found = tiles.format
    columns = zip(found.bands, found.low, found.high, found.mean, found.std, strict=True)
    rows = (
        element("tr", element("td", band), *(element("td", f"{value:.5g}", class_="num") for value in values))
        for band, *values in columns
    )
    heads = (element("th", name, class_="num") for name in ("shown as 0", "shown as 1", "mean", "spread"))
    return table(["Band", *heads], rows)


def _pairs(values: Row) -> Markup:
    return table(
        ["Name", "Value"],
        (element("tr", _key(name), element("td", _value(value))) for name, value in values.items()),
    )


def _key(name: str) -> Markup:
    return element("td", name, class_="key")


def _value(value: object) -> Markup:
    return element("code", value if isinstance(value, str) else json.dumps(value))
