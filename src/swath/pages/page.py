"""The skeleton of the page: one file, its style inside, its pictures inside, no script, nothing fetched."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from swath.pages.markup import Markup, element, join

# The page may show what it carries and nothing else, even if a name should ever slip through unescaped.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = Path(__file__).with_name("style.css")


@dataclass(frozen=True)
class Section:
    """One part of the page: `anchor` is its place in links, `lede` the sentence under its title."""

    anchor: str
    title: str
    lede: str
    body: Markup

    def render(self) -> Markup:
        return element(
            "section",
            element("h2", self.title),
            element("p", self.lede, class_="lede"),
            self.body,
            id=self.anchor,
        )


def page(title: str, *, masthead: Markup, sections: Sequence[Section], footer: Markup) -> str:
    """The whole HTML document."""
    links = (element("a", section.title, href=f"#{section.anchor}") for section in sections)
    body = element(
        "body",
        element("div", masthead, element("nav", join(links)), class_="wrap"),
        element("main", *(section.render() for section in sections), class_="wrap"),
        element("footer", footer, class_="wrap"),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(_STYLE.read_text(encoding="utf-8"))),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def missing(what: str, command: str) -> Markup:
    """One line in place of a section that cannot be filled yet: what is not there and what to type."""
    return element("p", f"{what} To fill this: ", element("code", command), class_="missing")


def table(head: Iterable[str | Markup], rows: Iterable[Markup], *, fit: bool = False) -> Markup:
    """A table that scrolls sideways on a narrow screen; `fit` makes it no wider than its words."""
    cells = (cell if isinstance(cell, Markup) else element("th", cell) for cell in head)
    top, body = element("thead", element("tr", *cells)), element("tbody", *rows)
    return element("div", element("table", top, body), class_="card scroll fit" if fit else "card scroll")
