"""Work that goes on beside the network: what is made ahead of it, and what is done behind it."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")
_WAIT_S = 0.1


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterable[T], *, depth: int) -> Iterator[T]:
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


class Behind(Generic[T]):
    """`with Behind(work, depth=4) as behind: behind.put(item)`: `work` on each item, in order, in a thread.

    An error of `work` is raised by the next `put`, or at the end of the block.
    """

    def __init__(self, work: Callable[[T], None], *, depth: int) -> None:
        self._work = work
        self._waiting: queue.Queue[T | _End] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._go, name="swath-behind", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def put(self, item: T) -> None:
        while self._error is None:
            with contextlib.suppress(queue.Full):
                self._waiting.put(item, timeout=_WAIT_S)
                return
        raise self._error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._error = self._error or error  # what waits is dropped
        self._waiting.put(_End())
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _go(self) -> None:
        while not isinstance(item := self._waiting.get(), _End):
            if self._error is None:
                try:
                    self._work(item)
                except BaseException as error:  # noqa: BLE001 -- raised in the thread that puts
                    self._error = error
