"""What it tells apart: patch tokens as colours, beside the true colours of the same ground."""

from swath.pages.markup import Markup, element, join
from swath.pages.mosaic import Layout
from swath.pages.page import Section, missing
from swath.pages.pictures import Rgb, picture_figure
from swath.transfer.report.tokens import TokenPicture


def scene_section(rgb: Rgb, tokens: TokenPicture | None, *, layout: Layout, run: str, words: str) -> Section:
    """Two pictures of one size; `words` is what must be said about their colours."""
    title, anchor = "What it tells apart", "scene"
    lede = (
        "The first three principal components of the patch tokens as one picture: the first is lightness, "
        "the others are hue. The network was told no class: ground in one colour is ground that it treats "
        "as alike."
    )
    if tokens is None:
        return Section(
            anchor, title, lede, missing("No checkpoint yet.", f"swath pretrain TILES --out {run}")
        )
    kind = "True colours." if layout.joined else "Sample tiles in true colours."
    pictures = (
        picture_figure(rgb, title=kind, caption=words, alt="true colours"),
        picture_figure(
            tokens.rgb,
            title="Patch tokens.",
            caption=f"The three colours hold {tokens.explained:.0%} of the variance of the tokens.",
            alt="principal components of patch tokens",
        ),
    )
    return Section(
        anchor, title, lede, join([element("div", *pictures, class_=_arrangement(layout)), _note(layout)])
    )


def _arrangement(layout: Layout) -> str:
    """Beside each other, but very wide pictures below each other."""
    return "card pair wide" if layout.width_px < 2.6 * layout.height_px else "card stack"


def _note(layout: Layout) -> Markup:
    if not layout.joined:
        words = "These tiles have no common ground, so a sheet of samples stands for the scene."
    else:
        words = (
            "Windows of one tile slide over the ground and their tokens are averaged; what a token has only "
            "because of its place in the window is taken away first."
        )
    return element("p", words, class_="note")
