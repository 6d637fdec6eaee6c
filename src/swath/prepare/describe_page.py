"""The page of `swath describe`: counts, labels beside labels, bands, and sample tiles with their labels."""

from dataclasses import dataclass
from typing import Self

from swath.data.census import NO_SPLIT, Census
from swath.data.index import Index
from swath.data.store import TileStore
from swath.location import Location
from swath.pages.markup import Markup, element, join, number
from swath.pages.page import Section, missing, page, table
from swath.pages.pictures import tile_figure
from swath.prepare.samples import Samples

_FIGURES = {
    "mean": "Mean", "std": "Spread", "minimum": "Least", "p1": "1 %", "p50": "Median", "p99": "99 %",
    "maximum": "Most",
}  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """What is described, whose it is, and whether it is an index without pixels."""

    path: Location
    attribution: str
    licence: str
    catalogue: bool

    @classmethod
    def of(cls, path: Location, opened: Index | TileStore) -> Self:
        about = opened.info if isinstance(opened, TileStore) else opened.info.to_json()
        return cls(
            path=path,
            attribution=str(about.get("attribution") or ""),
            licence=str(about.get("licence") or ""),
            catalogue=isinstance(opened, Index) and not opened.info.root,
        )


def describe_page(
    subject: Subject, census: Census, bands: dict[str, dict[str, float]], samples: Samples | None
) -> str:
    """The whole HTML document."""
    parts = [
        _samples_section(subject, samples),
        _labels_section(census),
        *([_together_section(census)] if any(census.together.values()) else []),
        *([_columns_section(census)] if census.columns else []),
        _bands_section(subject, bands),
    ]
    return page(
        f"swath describe: {subject.path.name}",
        masthead=_masthead(subject, census),
        sections=parts,
        footer=_footer(subject),
    )


def _masthead(subject: Subject, census: Census) -> Markup:
    splits = ", ".join(f"{_split(name)} {count:,}" for name, count in census.splits.items())
    empty = f", {census.empty:,} of them with none of the classes" if census.empty else ""
    return element(
        "header",
        element("div", f"swath describe / {subject.path.name}", class_="eyebrow"),
        element("h1", f"What is in {census.tiles:,} tiles"),
        element("p", f"{splits}. {census.labelled:,} are labelled{empty}.", class_="verdict"),
        class_="masthead",
    )


def _samples_section(subject: Subject, samples: Samples | None) -> Section:
    title = "Sample tiles"
    if samples is None:
        return Section("samples", title, "", _no_samples(subject))
    tiles = [
        tile_figure(picture, alt=f"tile {row}", caption=join([", ".join(labels or [])]))
        for row, picture, labels in zip(samples.rows.tolist(), samples.rgb, samples.labels, strict=True)
    ]
    lede = f"{len(tiles)} tiles drawn at random, those with labels first; {samples.colours}."
    return Section("samples", title, lede, element("div", *tiles, class_="card tiles"))


def _no_samples(subject: Subject) -> Markup:
    if subject.catalogue:
        command = (
            f"swath pack {subject.path} --pixels ARCHIVE --out tiles.lance, then swath describe tiles.lance"
        )
        return missing("This index is a catalogue without pixels, so there are no pictures.", command)
    return missing("None of the sample tiles could be read.", f"swath pack {subject.path} --out tiles.lance")


def _labels_section(census: Census) -> Section:
    if not census.labels:
        body = missing(
            "No tile carries a label.", "swath index SOURCE --labels labels.csv --out index.parquet"
        )
        return Section("labels", "Labels", "", body)
    lede = f"Tiles of each of {len(census.labels)} classes in each split, the most frequent first."
    return Section("labels", "Labels", lede, _counts("Class", census.labels, census))


def _together_section(census: Census) -> Section:
    """Rows are shaded by share; columns carry numbers, because names of classes are long."""
    names = list(census.labels)
    heads = [element("th", str(place), class_="num") for place in range(1, len(names) + 1)]
    rows = []
    for place, name in enumerate(names, 1):
        total = max(sum(census.labels[name].values()), 1)
        counts = [census.together[name].get(other, 0) for other in names]
        cells = (
            element(
                "td", f"{count / total:.0%}" if count else "", class_="num shade", title=f"{count:,} tiles",
                style=f"--shade:{100 * count / total:.0f}%",
            )
            for count in counts
        )  # fmt: skip
        rows.append(element("tr", element("td", f"{place} {name}"), *cells))
    lede = "Of the tiles of the class in a row, the share that also carries the class of that number."
    return Section("together", "Labels that come together", lede, table(["Class", *heads], rows))


def _columns_section(census: Census) -> Section:
    tables = [
        element("div", element("h3", name.replace("_", " ").capitalize()), _counts("", values, census))
        for name, values in census.columns.items()
    ]
    lede = "What the index knows of its tiles beyond their labels."
    return Section("columns", "Where and when", lede, element("div", *tables, class_="grid"))


def _bands_section(subject: Subject, bands: dict[str, dict[str, float]]) -> Section:
    if not bands:
        command = f"swath pack {subject.path} --out tiles.lance, then swath describe tiles.lance"
        return Section("bands", "Bands", "", missing("Bands are measured when tiles are packed.", command))
    heads = [element("th", words, class_="num") for words in _FIGURES.values()]
    rows = [
        element(
            "tr",
            element("td", band),
            *(element("td", number(figures[key]), class_="num") for key in _FIGURES),
        )
        for band, figures in bands.items()
    ]
    lede = "Values as stored, of the tiles that pretraining draws from."
    return Section("bands", "Bands", lede, table(["Band", *heads], rows, fit=True))


def _counts(head: str, values: dict[str, dict[str, int]], census: Census) -> Markup:
    heads = [element("th", words, class_="num") for words in (*map(_split, census.splits), "all", "share")]
    rows = []
    for value, counts in sorted(values.items(), key=lambda item: -sum(item[1].values())):
        total = sum(counts.values())
        words = [f"{counts.get(split, 0):,}" for split in census.splits]
        words += [f"{total:,}", f"{total / census.tiles:.1%}"]
        cells = (element("td", word, class_="num") for word in words)
        rows.append(element("tr", element("td", value), *cells))
    return table([head, *heads], rows, fit=True)


def _split(name: str) -> str:
    return "no split" if name == NO_SPLIT else name


def _footer(subject: Subject) -> Markup:
    parts = [f"Imagery and labels: {subject.attribution}"] if subject.attribution else []
    parts += [f"Licence of the data: {subject.licence}"] if subject.licence else []
    parts.append("Written by swath describe. This page is one file and loads nothing from anywhere.")
    return join(element("p", part) for part in parts)
