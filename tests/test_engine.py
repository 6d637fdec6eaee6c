import itertools
import socket
import sys

import pytest

from swath.engine import HERE, engine_of, stretches
from swath.errors import MachineError, UsageError


@pytest.mark.parametrize(
    ("count", "at_once", "workers"), list(itertools.product((0, 1, 7, 1000), (1, 3), (1, 5)))
)
def test_stretches_are_the_whole_in_order_and_begin_at_whole_units(count, at_once, workers):
    found = stretches(count, at_once=at_once, workers=workers)
    assert [number for stretch in found for number in stretch] == list(range(count))
    assert all(stretch.start % at_once == 0 for stretch in found)


def test_many_parts_are_some_tasks_for_each_worker_and_a_task_has_a_bound():
    assert len(stretches(1000, at_once=1, workers=5)) == 20
    assert max(map(len, stretches(10**6, at_once=10, workers=2))) == 2560


def test_this_process_works_on_all_parts_at_once():
    assert list(HERE.over(lambda given, stretch: iter([(given, stretch)]), "a", 9, at_once=2)) == [
        ("a", range(9))
    ]


def test_a_machine_without_ray_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UsageError, match=r'--engine ray needs ray: pip install "swath\[ray\]"'),
        engine_of("ray"),
    ):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "nonsense"])
def test_a_cluster_that_does_not_answer_is_said_at_once(monkeypatch, address):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", address.format(port=unused.getsockname()[1]))
        monkeypatch.setattr("swath.engine._ray", lambda: type("ray", (), {"is_initialized": lambda: False}))
        with pytest.raises(
            MachineError, match=r"RAY_ADDRESS=.* no cluster .* or unset RAY_ADDRESS"
        ) as caught:
            engine_of("ray").__enter__()
    assert "\n" not in str(caught.value)
