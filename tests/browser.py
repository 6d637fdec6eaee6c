"""A headless Chromium of this machine, and a page of it that notes what went wrong."""

import shutil
import time
from contextlib import contextmanager

import pytest

from swath.serve.explore.access import Access
from swath.serve.explore.routes import make_app
from swath.serve.explore.server import Server, listen

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium():
    """The browser, or a skip where there is none."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser here: none of {', '.join(NAMES)} is on the path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def served(archive):
    """The address of a server of the archive, with its token."""
    listener = listen("127.0.0.1", None)
    access = Access(listener.getsockname()[1])
    with Server(make_app(archive, access), listener):
        yield f"http://127.0.0.1:{access.port}/?token={access.token}"


def open_page(browser, address, *, ready="body[data-ready]", width=1200, **settings):
    """A page that is ready; `page.problems` fills with errors, `page.asked` with addresses."""
    page = browser.new_page(viewport={"width": width, "height": 900}, **settings)
    page.set_default_timeout(10_000)
    page.problems, page.asked = [], []
    page.on("console", lambda line: page.problems.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(address)
    page.wait_for_selector(ready)
    return page


def until(page, condition):
    """Wait for a condition in JavaScript, asked from outside: the page evaluates no text."""
    ends = time.monotonic() + 10
    while not page.evaluate(condition):
        assert time.monotonic() < ends, f"still not: {condition}"
        page.wait_for_timeout(20)
