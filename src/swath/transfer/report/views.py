"""What the model saw: the views of three tiles, drawn again as the first epochs drew them."""

import numpy as np

from swath.augment.views import ViewPolicy, Views, make_views, policy_of
from swath.pages.markup import Markup, element, join
from swath.pages.page import Section, missing
from swath.pages.pictures import Display, Rgb, Rows, tile_figure
from swath.transfer.report.facts import RunFacts

TILES = 3
_EPOCHS = 4  # of two global views each, where there are no local ones


def views_section(run: RunFacts, display: Display, rows: Rows) -> Section:
    """A strip a tile: the tile, its two global views, its local views (or global views of more epochs)."""
    title = "What the model saw"
    if "global_px" not in run.recipe:  # weights that were made elsewhere
        again = missing(
            "The run does not say how its views were made.", f"swath pretrain TILES --out {run.path}"
        )
        return Section("views", title, "The crops of each tile that training compared.", again)
    policy, unit = policy_of(run.recipe), display.unit(rows)
    seed, count = int(run.recipe.get("seed", 0)), len(rows)

    def drawn(epoch: int) -> Views:
        return make_views(unit, policy, seed=seed, epochs=np.full(count, epoch, np.int64), sample_ids=rows)

    whole, first = display.rgb(unit), drawn(0)
    if policy.local_views:
        large, small = display.rgb(first.globals_), display.rgb(first.locals_)
        strips = [_with_locals(whole[i], large[i::count], small[i::count]) for i in range(count)]
    else:
        epochs = [display.rgb(drawn(epoch).globals_) for epoch in range(_EPOCHS)]
        strips = [_by_epoch(whole[i], [large[i::count] for large in epochs]) for i in range(count)]
    return Section("views", title, _lede(policy), element("div", *strips, class_="card"))


def _lede(policy: ViewPolicy) -> str:
    local = f" and {policy.local_views} local views ({policy.local_px} px)" if policy.local_views else ""
    return (
        f"Of every tile, each time it is drawn, two global views ({policy.global_px} px){local}: crops that "
        "are turned, blurred and changed in gain, offset and contrast. Views of one tile should get one "
        "answer. These are exactly the views that the first epochs drew of three tiles."
    )


def _with_locals(tile: Rgb, large: Rgb, small: Rgb) -> Markup:
    figures = [_named(tile, "tile")]
    figures += [_named(view, f"global view {number}") for number, view in enumerate(large, 1)]
    local = join(tile_figure(view, alt=f"local view {number}") for number, view in enumerate(small, 1))
    words = element("figcaption", f"{len(small)} local views")
    figures.append(element("figure", element("div", local, class_="locals"), words, class_="tile"))
    return element("div", *figures, class_="strip views")


def _by_epoch(tile: Rgb, epochs: list[Rgb]) -> Markup:
    figures = [_named(tile, "tile")]
    for epoch, pair in enumerate(epochs, 1):
        figures += [_named(view, f"epoch {epoch}, view {number}") for number, view in enumerate(pair, 1)]
    return element("div", *figures, class_="strip views few")


def _named(picture: Rgb, name: str) -> Markup:
    return tile_figure(picture, alt=name, caption=element("span", name))
