"""HTML from plain values."""

import html
import math
import re

import pytest

from swath.pages.markup import Markup, element, join, number


def test_text_and_attributes_are_escaped_and_markup_is_not() -> None:
    inner = element("b", "1 < 2")
    made = element("p", inner, ' & "x"', title='a" onload="b', data_x=None, class_="note")
    assert made == ('<p title="a&quot; onload=&quot;b" class="note"><b>1 &lt; 2</b> &amp; &quot;x&quot;</p>')
    assert html.unescape(re.sub(r"<[^>]+>", "", made)) == '1 < 2 & "x"'


def test_a_join_of_plain_strings_is_escaped_too() -> None:
    joined = join(["<a>", Markup("<br>"), None], "<,")
    assert joined == "&lt;a&gt;&lt;,<br>"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.3716, "0.372"),
        (1152.0, "1,152"),
        (2e-5, "2e-05"),
        (0.0, "0.000"),
        (None, "-"),
        (math.nan, "-"),
        (3.0, "3"),
    ],
)
def test_numbers_read_well(value: float | None, text: str) -> None:
    assert number(value) == text
