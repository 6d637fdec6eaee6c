"""What is done beside the network comes in order, with its errors; torch has its threads back afterwards."""

import threading

import pytest
import torch

from swath.serve.predict.threads import ahead, in_order, one_thread_each


def test_results_come_in_order_although_the_second_is_ready_first():
    second_is_done = threading.Event()

    def work(number):
        if number == 0:
            assert second_is_done.wait(10)
        if number == 1:
            second_is_done.set()
        return number * 10

    assert list(in_order(work, range(6), workers=2)) == [0, 10, 20, 30, 40, 50]


@pytest.mark.parametrize("fails", ["items", "work"])
def test_an_error_is_raised_in_its_place(fails):
    def items():
        yield from (1, 2)
        raise OSError("cut")

    def work(number):
        if fails == "work" and number == 2:
            raise OSError("cut")
        return number

    found = in_order(work, ahead(items(), depth=1), workers=1)
    with pytest.raises(OSError, match="cut"):
        list(found)


def test_what_is_read_ahead_stops_where_nobody_asks_any_more():
    closed = threading.Event()

    def items():
        try:
            yield from range(1_000_000)
        finally:
            closed.set()

    read = ahead(items(), depth=2)
    assert next(read) == 0
    read.close()
    assert closed.wait(10)


def test_torch_keeps_to_one_thread_in_each_worker_and_has_all_again_afterwards():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with one_thread_each():
            found = list(in_order(lambda _: torch.get_num_threads(), range(4), workers=2))
            assert (found, torch.get_num_threads()) == ([1] * 4, 1)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
