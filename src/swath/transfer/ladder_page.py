"""The page of a ladder, and its section in the report: figure, table, sentences, classes."""

import base64
from collections.abc import Mapping, Sequence

from swath.pages.markup import Markup, element, join
from swath.pages.page import Section, page, table
from swath.transfer.baselines import UNTRAINED
from swath.transfer.fractions import percent
from swath.transfer.ladder_table import (
    TITLES,
    Ladder,
    pair_lines,
    points,
    probe_title,
    probes_of,
    rungs_of,
    shown_measures,
)

_DIGEST, _WHOLE_DIGEST = 12, 64  # as many digits as name it; ladder.json has them all
_MADE_OF = {
    "features": "features", "dim": "numbers a tile", "image_px": "seen at, px", "bands": "bands",
    "scale": "scaled by", "weights": "weights", "step": "step",
}  # fmt: skip


def ladder_page(ladder: Ladder, figures: Mapping[str, bytes]) -> str:
    """One offline HTML page; `figures` are SVG for "light" and "dark"."""
    head = element(
        "header",
        element("div", "swath ladder", class_="eyebrow"),
        element("h1", "Did pretraining pay?"),
        ladder_verdict(ladder),
        class_="masthead",
    )
    first = probe_title(ladder, probes_of(ladder)[0])
    lede = (
        f"Average precision by {first} with the most labels. The share of test tiles with the class is what "
        "guessing gets."
    )
    classes = Section("classes", "Class by class", lede, class_table(ladder))
    sections = [ladder_section(ladder, figures), classes, _made_of(ladder)]
    footer = element("p", "This page is one file and loads nothing from anywhere.")
    return page("swath ladder", masthead=head, sections=sections, footer=footer)


def ladder_section(ladder: Ladder, figures: Mapping[str, bytes]) -> Section:
    """The figure, the table and the sentences."""
    settings = ladder["settings"]
    lede = (
        f"Every rung by the same probe on the same {ladder['n_test']:,} test tiles. Below 100 % of the "
        f"{ladder['n_train']:,} labelled training tiles, the mean of {settings['fraction_seeds']} draws. "
        f"95% intervals by bootstrap over {settings['groups']:,} {settings['by']}s and over the draws."
    )
    words = [*label_lists(ladder), *_list("Trained networks against each other", pair_lines(ladder))]
    body = join([picture(figures), *words, *_tables(ladder), *_notes(ladder)])
    return Section("ladder", "The ladder", lede, body)


def label_lists(ladder: Ladder) -> list[Markup]:
    """What the labels are worth, a list for each probe."""
    words: list[Markup] = []
    for probe, said in ladder["sentences"].items():
        of = f"{probe_title(ladder, probe)}, {TITLES[ladder['headline']]}"
        words += _list(f"What the labels are worth: {of}", said)
    return words


def _list(title: str, said: Sequence[str]) -> list[Markup]:
    """Under its title, where there is anything to say; a number and its % stay on one line."""
    items = [element("li", one.replace(" %", "\N{NO-BREAK SPACE}%")) for one in said]
    return [element("h3", title), element("ul", *items)] if items else []


def _notes(ladder: Ladder) -> list[Markup]:
    """Which classes are in no average, and where fewer tiles than k were labelled."""
    k = ladder["settings"].get("k", 0)
    few = sorted({row["fraction"] for row in ladder["summary"] if row["n_train"] < k})
    said = []
    if ladder["left_out"]:
        said.append(f"Left out (too few positive test tiles): {', '.join(ladder['left_out'])}.")
    if few:
        said.append(
            f"At {', '.join(map(percent, few))} fewer than k {k} tiles are labelled: all of them vote."
        )
    return [element("p", one, class_="note") for one in said]


def ladder_verdict(ladder: Ladder, *, asked: str = "") -> Markup:
    """The best pretrained rung by the first probe and the headline measure, against the untrained network
    and the best baseline; `asked` is the question before the answer.
    """
    probe, headline = probes_of(ladder)[0], ladder["headline"]
    most = max(row["fraction"] for row in ladder["summary"])
    rows = [row for row in ladder["summary"] if row["probe"] == probe and row["fraction"] == most]
    trained = [row for row in rows if row["kind"] != "baseline"]
    if not trained:
        answer = element("strong", "Only baselines were measured.")
        return element("p", answer, " Name runs with --runs.", class_="verdict flat")
    best, top = (
        max(some, key=lambda row: row[headline][0])
        for some in (trained, [row for row in rows if row["kind"] == "baseline"])
    )
    value, low, high = best["gain_over_untrained"][headline]
    claim, kind = (
        ("No:", "worse") if high < 0
        else ("It could not be shown:", "flat") if low <= 0
        else ("Yes:", "better") if best[headline][0] > top[headline][0]
        else ("Not beyond the best baseline:", "flat")
    )  # fmt: skip
    reached = (
        f"{best['rung']} reaches {TITLES[headline]} {best[headline][0]:.3f} by {probe_title(ladder, probe)}"
    )
    gained = f"{value:+.3f} [{low:+.3f}, {high:+.3f}] over the {UNTRAINED}"
    beaten = f"The best baseline, {top['rung']}, reaches {top[headline][0]:.3f}."
    words = f" {reached}, {gained}. {beaten}"
    return element("p", asked, element("strong", claim), words, class_=f"verdict {kind}")


def picture(figures: Mapping[str, bytes]) -> Markup:
    """An SVG for a light page and one for a dark page, as wide as the page."""
    light, dark = (
        f"data:image/svg+xml;base64,{base64.b64encode(figures[t]).decode()}" for t in ("light", "dark")
    )
    source = element("source", srcset=dark, media="(prefers-color-scheme: dark)")
    image = element("img", src=light, alt="score of each rung by share of the labels")
    return element("div", element("picture", source, image), class_="card curves")


def _tables(ladder: Ladder) -> list[Markup]:
    """A table for each probe, a block of columns for each measure."""
    shares = sorted({row["fraction"] for row in ladder["summary"]})
    made = []
    for probe in probes_of(ladder):
        for measure in shown_measures(ladder):
            heads = [element("th", percent(share), class_="num") for share in shares]
            gain = element("th", "gain over untrained, all labels", class_="num")
            rows = [_row(ladder, probe, rung, measure) for rung in rungs_of(ladder)]
            title = f"{probe_title(ladder, probe).replace('linear', 'Linear')}, {TITLES[measure]}"
            made += [element("h3", title), table(["Features", *heads, gain], rows)]
    return made


def _row(ladder: Ladder, probe: str, rung: str, measure: str) -> Markup:
    found = points(ladder, probe, rung)
    cells = [_cell(point[measure]) for point in found]
    itself = rung == UNTRAINED
    gained = found[-1]["gain_over_untrained"][measure]
    gain = element("td", "-", class_="num") if itself else _cell(gained, sign="+")
    main = "main" if found[0]["kind"] != "baseline" else None
    return element("tr", element("td", rung), *cells, gain, class_=main)


def _cell(value: list[float], *, sign: str = "") -> Markup:
    middle, low, high = (f"{part:{sign}.3f}" for part in value)
    return element("td", middle, element("small", f"{low} to {high}"), class_="num")


def class_table(ladder: Ladder) -> Markup:
    """AP of each class by every rung and the first probe, with its prevalence, the classes by name."""
    probe = probes_of(ladder)[0]
    by_rung = ladder["per_class"][probe]
    first = next(iter(by_rung.values()))
    heads = [element("th", name, class_="num") for name in ("share", *by_rung)]
    rows = []
    for name in sorted(first):
        share = element(
            "td", f"{first[name]['prevalence']:.3f}", element("small", f"n {first[name]['n']}"), class_="num"
        )
        cells = [_cell([scores[name]["ap"], *scores[name]["interval"]]) for scores in by_rung.values()]
        rows.append(element("tr", element("td", name), share, *cells))
    return table(["Class", *heads], rows)


def _made_of(ladder: Ladder) -> Section:
    """What each rung is, so that the table can be made again."""
    rows = []
    for rung in ladder["rungs"]:
        values = (", ".join(v) if isinstance(v := rung[key], list) else str(v) for key in _MADE_OF)
        digest = rung["digest"][:_DIGEST] if len(rung["digest"]) == _WHOLE_DIGEST else "-"
        cells = (element("td", value) for value in (rung["name"], *values, digest))
        rows.append(element("tr", *cells))
    lede = "What the features are of, and how pixels were scaled."
    return Section("rungs", "The rungs", lede, table(["Rung", *_MADE_OF.values(), "digest"], rows))
