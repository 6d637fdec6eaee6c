import logging
import resource

import pytest

from swath.errors import DataError, MachineError
from swath.runtime.runlog import MetricsLog, read_metrics


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def fill(path, steps):
    log = MetricsLog(path)
    for step in steps:
        log.append({"step": step, "loss": 1 / (step + 1)})
    return log


def test_rows_come_back_equal(path):
    fill(path, range(5))
    assert read_metrics(path) == [{"step": step, "loss": 1 / (step + 1)} for step in range(5)]
    assert read_metrics(path.with_name("missing")) == []


def test_after_a_resume_each_step_stands_once(path):
    fill(path, range(1, 8))
    log = MetricsLog(path)
    assert log.truncate_after(6) == 1
    log.append({"step": 7, "loss": 0.5})
    assert [row["step"] for row in read_metrics(path)] == [1, 2, 3, 4, 5, 6, 7]
    assert read_metrics(path)[-1]["loss"] == 0.5
    assert MetricsLog(path).truncate_after(0) == 7
    assert read_metrics(path) == []


def test_a_step_that_is_there_already_is_a_bug(path):
    log = fill(path, [1, 2])
    with pytest.raises(AssertionError, match="step 2 after step 2"):
        log.append({"step": 2})


def test_numbers_that_are_not_finite_become_null(path):
    MetricsLog(path).append({"step": 0, "loss": float("nan"), "lr": float("inf")})
    assert read_metrics(path) == [{"step": 0, "loss": None, "lr": None}]


def test_a_last_line_cut_short_is_left_out_and_removed_on_resume(path):
    fill(path, [1, 2])
    with path.open("a") as stream:
        stream.write('{"step": 3, "lo')
    assert [row["step"] for row in read_metrics(path)] == [1, 2]
    log = MetricsLog(path)
    log.truncate_after(2)
    log.append({"step": 3})
    assert [row["step"] for row in read_metrics(path)] == [1, 2, 3]


@pytest.mark.parametrize("line", ["not json", "[1]", '{"loss": 1}', '{"step": "x"}'])
def test_a_damaged_line_is_named(path, line):
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
    with pytest.raises(DataError, match=r"metrics.jsonl:2: expected a JSON object"):
        read_metrics(path)


def test_a_full_disk_leaves_only_whole_lines_and_no_row_is_lost(path, caplog, monkeypatch):
    logger = logging.getLogger("swath")  # the command line's handler may write to a file, also limited
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", True)
    log = fill(path, range(5))
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 9, limits[1]))
    try:
        log.append({"step": 5, "loss": 0.5})
        log.append({"step": 6, "loss": 0.25})
        with pytest.raises(MachineError, match="no space left for"):
            log.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert caplog.text.count("Rows wait in memory; training goes on") == 1
    log.append({"step": 7, "loss": 0.5})
    assert [row["step"] for row in read_metrics(path)] == list(range(8))


def test_rows_that_wait_are_truncated_as_those_on_the_disk(path, monkeypatch):
    log = fill(path, [1, 2])
    monkeypatch.setattr(log, "flush", lambda: None)  # as if the disk were full
    for step in (3, 4):
        log.append({"step": step})
    monkeypatch.undo()
    log.truncate_after(3)
    log.append({"step": 4, "loss": 0.5})
    assert [row["step"] for row in read_metrics(path)] == [1, 2, 3, 4]
