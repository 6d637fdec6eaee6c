"""MODEL_CARD.md and LICENSE of a bundle, for people and repositories that read Markdown."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from swath.models.weights import described
from swath.pages.markdown import bullets, indented, table, text
from swath.serve.bundle.description import Description

_USE = """import swath
model = swath.load("bundle/")
features = model.embed(tiles)        # (N, C, H, W) in the units below -> (N, D)"""
_PREDICT = """
answers = model.predict(tiles)       # .probabilities, .labels"""
_TITLES = {
    "map_macro": "macro average precision",
    "map_micro": "micro average precision",
    "f1_macro": "macro F1",
    "accuracy": "accuracy",
    "miou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
}


def model_card(about: Description, tensors: Mapping[str, Tensor], command: str) -> str:
    """The whole document; `command` is the one that trained the network."""
    head = about.head
    parts = [
        f"# {text(about.name)}",
        "A vision transformer pretrained on overhead imagery without labels, "
        + ("and a head that was fitted on its features." if head else "for features; it names no classes."),
        "## Use",
        indented(_USE + (_PREDICT if head else "")),
        "## Input",
        _input(about),
        table(["band", "pixels", "low", "high", "mean", "std"], _bands(about)),
        "## Network",
        bullets(_network(about, tensors)),
        *_answers(about),
        "## Limits",
        bullets(_limits(about)),
        "## Where it comes from",
        indented(command or "(not recorded)"),
        bullets(_origin(about)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def licence_text(about: Description) -> str:
    """What holds where the user gave no licence: nothing is granted in their name."""
    lines = [
        f"{about.name}: weights and files of this folder",
        "",
        "Whoever trained these weights has not chosen a licence for them here; ask them before you use or",
        "share the weights. (A licence is chosen with: swath bundle RUN --licence FILE --out BUNDLE)",
        "",
        "The program that reads this folder, swath, is licensed under Apache-2.0.",
    ]
    if about.attribution:
        lines += ["", f"Imagery and labels: {about.attribution}"]
    if about.licence:
        lines += ["", f"Licence of the imagery: {about.licence}"]
    return "\n".join(lines) + "\n"


def _input(about: Description) -> str:
    tiles = about.tiles
    gsd = f"{tiles.gsd_m:g} m a pixel" if tiles.gsd_m else "ground resolution unknown"
    return (
        f"{tiles.size_px} x {tiles.size_px} px, {gsd}. Stored values are clamped to low and high, "
        f"mapped to 0 and 1, resized to {about.network.image_px} px and standardised by mean and std."
    )


def _bands(about: Description) -> Iterable[list[str]]:
    tiles = about.tiles
    kinds = {band: f"{g.dtype}, {g.size_px} px" for g in tiles.groups for band in g.bands}
    for band, *values in zip(tiles.bands, tiles.low, tiles.high, tiles.mean, tiles.std, strict=True):
        yield [text(band), kinds[band], *(f"{value:.6g}" for value in values)]


def _network(about: Description, tensors: Mapping[str, Tensor]) -> Iterable[str]:
    yield f"{described(tensors)}, {about.network.image_px} px"
    yield f"weights: {about.weights.whose} of step {about.weights.step:,}"
    yield f"feature: {about.content}, {about.dim} numbers"


def _answers(about: Description) -> Iterable[str]:
    head = about.head
    if head is None:
        return
    kinds = {
        "class": "one class a tile",
        "multilabel": "any number of classes a tile",
        "segmentation": "a class a pixel",
    }
    yield "## Output"
    yield f"{kinds[head.task]}: " + ", ".join(map(text, head.class_names))
    yield "## Scores"
    if not head.scores:
        yield "Not measured."
        return
    yield table(
        ["measure", "value [95 % interval]"],
        ([_TITLES.get(name, name), _interval(value)] for name, value in head.scores.items()),
    )
    yield f"{head.n_train:,} tiles to learn from, {head.n_test:,} to test."


def _interval(value: list[float]) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"


def _limits(about: Description) -> Iterable[str]:
    yield f"bands {', '.join(map(text, about.tiles.bands))} in these units; other sensors were not tried"
    if about.head:
        yield "scores hold for the places, seasons and classes of the test tiles"


def _origin(about: Description) -> Iterable[str]:
    yield f"checkpoint `{about.weights.checkpoint}`"
    if about.head and about.head.split:
        yield f"split `{about.head.split}`"
    if about.attribution:
        yield f"imagery and labels: {text(about.attribution)}"
    if about.licence:
        yield f"licence of the imagery: {text(about.licence)}"
    yield f"written by {text(about.made_by)}"
