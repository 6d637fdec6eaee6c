"""How busy the machine is: a thread looks every two seconds, and the log takes the mean since its last row.

A look takes 0.1 ms without a GPU.
"""

import contextlib
import logging
import statistics
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import psutil
import torch

EVERY_S = 2.0

Look = Callable[[], dict[str, float]]
log = logging.getLogger(__name__)


class MachineSampler:
    """Samples while the `with` block runs; `read` gives the means since the last call.

    `cpu_percent` and `memory_percent` are of the whole machine (of 100), `process_mib` is this process's
    resident memory; `gpu_percent` and `gpu_memory_mib` are of the GPU it uses, as its driver tells them,
    where there is one.
    """

    def __init__(self, device: torch.device, *, every_s: float = EVERY_S) -> None:
        self._looks = [_processor_look(), *_gpu_look(device)]
        self._every_s = every_s
        self._samples: list[dict[str, float]] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="swath-machine", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def read(self) -> dict[str, float]:
        """Means by name; {} where no sample was taken since the last call."""
        with self._lock:
            samples, self._samples = self._samples, []
        names = samples[0] if samples else {}
        return {name: round(statistics.fmean(sample[name] for sample in samples), 2) for name in names}

    def _run(self) -> None:
        psutil.cpu_percent()  # sets the mark of this thread, from which the next call counts
        while not self._stop.wait(self._every_s):
            sample: dict[str, float] = {}
            for look in self._looks:
                sample |= look()
            with self._lock:
                self._samples.append(sample)


def _processor_look() -> Look:
    process = psutil.Process()

    def look() -> dict[str, float]:
        return {
            "cpu_percent": psutil.cpu_percent(),
            "memory_percent": psutil.virtual_memory().percent,
            "process_mib": process.memory_info().rss / 2**20,
        }

    return look


def _gpu_look(device: torch.device) -> list[Look]:
    """One that asks the driver, or none: without a GPU, or with a driver that does not answer."""
    if device.type != "cuda":
        return []
    import pynvml  # type: ignore[import-untyped]  # noqa: PLC0415 -- needed only where there is a GPU

    try:
        pynvml.nvmlInit()
        uuid = str(
            torch.cuda.get_device_properties(device).uuid
        )  # CUDA_VISIBLE_DEVICES renumbers, a uuid stays
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
    except pynvml.NVMLError as error:
        log.info(f"the use of the GPU is not sampled: {error}")
        return []

    def look() -> dict[str, float]:
        with contextlib.suppress(pynvml.NVMLError):
            use = float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
            return {"gpu_percent": use, "gpu_memory_mib": pynvml.nvmlDeviceGetMemoryInfo(handle).used / 2**20}
        return {"gpu_percent": float("nan"), "gpu_memory_mib": float("nan")}

    return [look]
