"""The report and the page of a ladder as a person sees them, in a headless browser."""

import pytest
from browser import chromium, open_page
from test_report_mistakes import measured

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
BROKEN = "[...document.images].filter(one => !one.complete || !one.naturalWidth).length"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


def test_pages_open_without_a_line_in_the_console_and_fit_every_window(browser, make_pack, make_run):
    store, made = make_pack(task="class"), make_run()
    measured(store, made)
    ladder = store.path.with_name("ladder") / "ladder.html"
    for page, tone, width in (
        (made.path / "report.html", "light", 1200),
        (made.path / "report.html", "dark", 390),
        (ladder, "dark", 1200),
        (ladder, "light", 390),
    ):
        found = open_page(browser, page.as_uri(), ready="footer", width=width, color_scheme=tone)
        assert found.problems == []
        assert {url.partition(":")[0] for url in found.asked} <= {"file", "data"}
        assert found.evaluate(BROKEN) == 0
        assert found.evaluate(OVERFLOW) == 0
        found.close()
