"""Work that goes on at the same time: what is read ahead of a network, and the network itself."""

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")
_WAIT_S = 0.1


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterable[T], *, depth: int) -> Generator[T, None, None]:
    """The same items, made in a thread, up to `depth` of them before they are asked for.

    An error of `items` is raised here, in its place. A consumer that stops early stops the thread.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(depth)
    stop = threading.Event()
    thread = threading.Thread(target=_make, args=(items, waiting, stop), name="swath-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        thread.join()


def _make(items: Iterable[T], waiting: "queue.Queue[T | _End]", stop: threading.Event) -> None:
    def put(item: T | _End) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(item, timeout=_WAIT_S)
                return

    try:
        for item in items:
            put(item)
            if stop.is_set():
                return
        put(_End())
    except BaseException as error:  # noqa: BLE001 -- raised in the thread that asks
        put(_End(error))


def in_order(work: Callable[[T], R], items: Iterable[T], *, workers: int) -> Generator[R, None, None]:
    """`work` on each item in one of `workers` threads; its results in the order of the items."""
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers, "swath-work", torch.set_num_threads, (torch.get_num_threads(),)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > workers + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Within it torch keeps to one thread, here and in each thread of `in_order`.

    An operation that is shared out over all processors waits for the slowest of them; where they have other
    work too it is faster to give each processor batches of its own.
    """
    whole = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(whole)
