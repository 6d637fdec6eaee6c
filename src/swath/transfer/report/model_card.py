"""MODEL_CARD.md: the same facts as the page, for people and repositories that read Markdown."""

from collections.abc import Iterable, Sequence

from swath.geography.leaks import Leaks
from swath.pages.markdown import bullets, indented, table, text
from swath.transfer.baselines import IMAGE_STATISTICS, PRETRAINED, UNTRAINED
from swath.transfer.report.facts import Row, RunFacts, TileFacts
from swath.transfer.report.headline import METRICS, baseline, probe_name, verdict
from swath.transfer.report.leaks import leak_sentence
from swath.transfer.report.provenance import digests, flat

_SCALING = "Values are clamped to low and high, scaled to 0 and 1, and standardised."


def model_card(run: RunFacts, tiles: TileFacts, leaks: Leaks | None) -> str:
    """The whole document; `leaks` of the split, where they can be known, limit what the scores say."""
    shape = tiles.format
    parts = [
        f"# {text(run.name)}",
        text(verdict(run.probe).text),
        "## Model",
        bullets(_model(run)),
        "## Input",
        f"{shape.size_px} x {shape.size_px} px, {_gsd(tiles)}. {_SCALING}",
        table(
            ["band", "low", "high", "mean", "std"],
            ([text(band), *(f"{value:.6g}" for value in values)] for band, *values in _bands(tiles)),
        ),
        "## Training data",
        bullets(_data(tiles)),
        "## Scores",
        _scores(run.probes),
        "## Limits",
        bullets(_limits(tiles, leaks)),
        "## How to make it again",
        indented(run.command or "(not recorded)"),
        bullets(f"{text(name)}: `{value}`" for name, value in digests(run, tiles).items()),
        "## Settings",
        table(
            ["setting", "value"], ([text(name), text(str(value))] for name, value in flat(run.recipe).items())
        ),
        f"Written by swath {_version(run)} on {run.written}; the pictures are in report.html.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _version(run: RunFacts) -> str:
    return text(str(run.environment.get("swath") or "?"))


def _model(run: RunFacts) -> Iterable[str]:
    recipe = run.recipe
    yield f"architecture: {text(str(recipe.get('model', '?')))}, patch {recipe.get('patch_size', '?')} px"
    yield f"method: {text(run.method)}, preset {text(str(recipe.get('preset', '?')))}"
    yield f"training: {run.steps:,} steps of {recipe.get('batch_size', '?')} tiles ({run.samples:,} samples)"


def _bands(tiles: TileFacts) -> Iterable[tuple[str, float, float, float, float]]:
    found = tiles.format
    return zip(found.bands, found.low, found.high, found.mean, found.std, strict=True)


def _data(tiles: TileFacts) -> Iterable[str]:
    yield f"{tiles.tiles:,} tiles, {tiles.labelled:,} labelled; labels were not used in pretraining"
    yield "splits: " + ", ".join(f"{text(name or 'none')} {count:,}" for name, count in tiles.splits.items())
    if tiles.classes:
        yield "classes: " + ", ".join(text(name) for name in tiles.classes)
    if tiles.attribution:
        yield f"attribution: {text(tiles.attribution)}"
    if tiles.licence:
        yield f"licence of the data: {text(tiles.licence)}"


def _scores(probes: dict[str, Row]) -> str:
    if not probes:
        return "Not measured yet: `swath probe RUN TILES`."
    metrics = [name for name in METRICS if any(probe.get(name) for probe in probes.values())]
    rows = []
    for probe in probes.values():
        methods = {
            IMAGE_STATISTICS: baseline(probe, IMAGE_STATISTICS),
            UNTRAINED: baseline(probe, UNTRAINED),
            PRETRAINED: probe,
        }
        rows += [
            [probe_name(probe), name, *(_interval(scores.get(m)) for m in metrics)]
            for name, scores in methods.items()
            if scores
        ]
    tests = ", ".join(
        f"{probe_name(probe)}: {probe['n_train']:,} train, {probe['n_test']:,} test tiles"
        for probe in probes.values()
    )
    return (
        table(["probe", "features", *(METRICS[m] for m in metrics)], rows)
        + f"\n\n95% intervals by bootstrap. {tests}."
    )


def _limits(tiles: TileFacts, leaks: Leaks | None) -> Iterable[str]:
    if said := leak_sentence(leaks):
        yield f"test leaks into train: {said}"
    bands = ", ".join(map(text, tiles.format.bands))
    yield f"bands {bands} in this order and {_gsd(tiles)}; other sensors were not tried"
    yield "scores hold for the places, seasons and classes of the test split"


def _gsd(tiles: TileFacts) -> str:
    return f"{tiles.format.gsd_m:g} m a pixel" if tiles.format.gsd_m else "ground resolution unknown"


def _interval(value: Sequence[float] | None) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]" if value and value[0] is not None else "-"
