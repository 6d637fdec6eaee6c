import io
import logging
import subprocess
import sys

import pytest

from swath.runtime import progress as module
from swath.runtime.progress import Progress, duration


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def monotonic(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(clock, steps, *, step_s, total, start=0):
    with Progress(total, unit="tiles", label="packing", start=start) as progress:
        for count in steps:
            clock.now_s += step_s
            progress.advance(count, loss=5.4321)


def test_elsewhere_a_plain_line_comes_every_ten_seconds_and_one_at_the_end(clock, caplog):
    with caplog.at_level(logging.INFO):
        run(clock, [1000] * 21 + [624], step_s=1.0, total=21_624)
    assert caplog.messages == [
        "packing 10000/21624 tiles, 1000 tiles/s, 12 s left, loss 5.43",
        "packing 20000/21624 tiles, 1000 tiles/s, 2 s left, loss 5.43",
        "packing 21624/21624 tiles, 983 tiles/s, took 22 s, loss 5.43",
    ]


def test_the_rate_is_that_of_the_last_minute_and_at_the_end_of_all(clock, caplog):
    with caplog.at_level(logging.INFO), Progress(1000, unit="tiles", label="packing") as progress:
        clock.now_s += 100
        progress.advance(10)
        for _ in range(100):
            clock.now_s += 1
            progress.advance(2)
    assert caplog.messages[0].endswith("10/1000 tiles, 0.1 tiles/s, 2 h 45 min left")
    assert caplog.messages[-2].endswith("210/1000 tiles, 2 tiles/s, 6 min 35 s left")
    assert caplog.messages[-1].endswith("210/1000 tiles, 1.05 tiles/s, took 3 min 20 s")


def test_what_was_done_before_a_resume_counts_as_done_but_not_as_speed(clock, caplog):
    with caplog.at_level(logging.INFO):
        run(clock, [10], step_s=10.0, total=100, start=50)
    assert caplog.messages[0] == "packing 60/100 tiles, 1 tiles/s, 40 s left, loss 5.43"


def test_an_unknown_total_promises_no_end(clock, caplog):
    with caplog.at_level(logging.INFO):
        run(clock, [10], step_s=10.0, total=None)
    assert caplog.messages[0] == "packing 10 tiles, 1 tiles/s, loss 5.43"


def test_an_error_is_not_followed_by_a_line_that_looks_like_success(clock, caplog):
    with caplog.at_level(logging.INFO), pytest.raises(ZeroDivisionError):
        run(clock, (1 / 0 for _ in range(2)), step_s=1.0, total=2)
    assert caplog.messages == []


def test_on_a_terminal_there_is_a_bar_and_no_line(clock, caplog, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with caplog.at_level(logging.INFO):
        run(clock, [5, 5], step_s=20.0, total=10)
    assert caplog.messages == []
    assert "packing" in terminal.getvalue()
    assert "10/10 tiles, 0.25 tiles/s, took 40 s, loss 5.43" in terminal.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min 0 s"),
        (200, "3 min 20 s"),
        (1500, "25 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_a_duration_is_said_in_words(seconds, words):
    assert duration(seconds) == words


def test_the_import_needs_neither_torch_nor_rich():
    code = "import sys, swath.runtime.progress; print({'torch', 'rich', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_quiet_has_no_bar(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    logger = logging.getLogger("swath")
    monkeypatch.setattr(logger, "level", logging.WARNING)
    run(clock, [50, 50], step_s=1.0, total=100)
    assert terminal.getvalue() == ""
