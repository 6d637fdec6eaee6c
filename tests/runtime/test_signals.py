import os
import signal
import threading

import pytest

from swath.runtime.signals import StopFlag


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_sets_the_flag_with_its_name(number):
    with StopFlag() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop
        assert stop.signal == number.name


def test_the_first_signal_is_the_one_named():
    with StopFlag() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == "SIGTERM"


def test_a_second_ctrl_c_stops_at_once():
    with StopFlag() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_before_come_back_even_after_an_error():
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    stop = StopFlag()
    with pytest.raises(ZeroDivisionError), stop:
        1 / int(bool(stop))
    assert [signal.getsignal(number) for number in numbers] == before


def test_outside_the_main_thread_it_stays_false_and_touches_nothing():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with StopFlag() as stop:
            seen.append((bool(stop), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]
