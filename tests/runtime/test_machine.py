"""What the sampler says of the machine, against the machine."""

import sys
import time
from types import SimpleNamespace

import psutil
import pytest
import torch

from swath.runtime.machine import MachineSampler

CPU = torch.device("cpu")


def wait_for(sampler, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := sampler.read():
            return found
        time.sleep(0.02)
    pytest.fail("no sample was taken")


def test_processor_and_memory_are_those_of_this_machine():
    with MachineSampler(CPU, every_s=0.02) as sampler:
        found = wait_for(sampler)
    assert set(found) == {"cpu_percent", "memory_percent", "process_mib"}
    assert 0 <= found["cpu_percent"] <= 100
    assert found["process_mib"] == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.2)
    assert found["memory_percent"] == pytest.approx(psutil.virtual_memory().percent, abs=20)


def test_reading_starts_anew_and_the_thread_ends_with_the_block():
    with MachineSampler(CPU, every_s=30.0) as sampler:
        assert sampler.read() == {}
        thread = sampler._thread
        assert thread.is_alive()
        began = time.monotonic()
    assert not thread.is_alive()
    assert time.monotonic() - began < 10, "it does not wait for its next look"


class DriverError(Exception):
    pass


@pytest.fixture
def gpu(monkeypatch):
    """A driver that says 80 % and 2,048 MiB of the card whose uuid is asked for."""
    driver = SimpleNamespace(
        NVMLError=DriverError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=80 if handle == "GPU-seven" else 0),
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(used=2**31),
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="seven"))
    return driver


def test_the_gpu_in_use_is_sampled_where_there_is_one(gpu):  # noqa: ARG001 -- sets up the driver
    with MachineSampler(torch.device("cuda"), every_s=0.02) as sampler:
        found = wait_for(sampler)
    assert found["gpu_percent"] == 80
    assert found["gpu_memory_mib"] == 2048


def test_a_driver_that_does_not_answer_costs_the_columns_and_no_more(gpu, caplog):
    def refuse():
        raise DriverError("driver not loaded")

    gpu.nvmlInit = refuse
    caplog.set_level("INFO", logger="swath")
    with MachineSampler(torch.device("cuda"), every_s=0.02) as sampler:
        assert "gpu_percent" not in wait_for(sampler)
    assert "not sampled: driver not loaded" in caplog.text
