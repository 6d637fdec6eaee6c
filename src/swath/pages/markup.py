"""HTML in which nothing can be forgotten to be escaped: what is not `Markup` is text, and text is escaped.

Names of tiles, classes, files and machines come from other people's archives. `<script>` in a tile name must
be read, not run.
"""

import html
import math
from collections.abc import Iterable

type_of_attribute = str | float | None
_EMPTY = frozenset({"img", "meta", "br", "hr", "source"})


class Markup(str):
    """A string that is HTML already. Only `element` and `join` make it."""

    __slots__ = ()


def element(name: str, /, *children: str | None, **attributes: type_of_attribute) -> Markup:
    """`element("p", "a < b", class_="note")` is '<p class="note">a &lt; b</p>'.

    An attribute of value None is left out, `stroke_width` is written `stroke-width`, floats have two digits.
    """
    words = [
        name,
        *(f'{_attribute(key)}="{_value(value)}"' for key, value in attributes.items() if value is not None),
    ]
    opening = f"<{' '.join(words)}>"
    if name in _EMPTY:
        return Markup(opening)
    return Markup(f"{opening}{join(children)}</{name}>")


def join(children: Iterable[str | None], separator: str = "") -> Markup:
    """One piece of HTML from several; plain strings are escaped, None is nothing."""
    parts = (
        child if isinstance(child, Markup) else html.escape(child) for child in children if child is not None
    )
    return Markup(html.escape(separator).join(parts))


def number(value: float | None, digits: int = 3) -> str:
    """0.3715 is '0.372', 1152.0 is '1,152', 2e-5 is '2e-05'; what is not there or not finite is a dash."""
    if value is None or not math.isfinite(value):
        return "-"
    if abs(value) >= 100 or (abs(value) >= 1 and float(value).is_integer()):
        return f"{value:,.0f}"
    return f"{value:.{digits}f}" if abs(value) >= 10.0**-digits or value == 0 else f"{value:.0e}"


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return html.escape(str(value), quote=True)
