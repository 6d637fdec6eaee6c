"""Scenes with their files on this machine: while one is looked at, the next is copied from S3."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from swath.errors import SwathError
from swath.serve.scene.sources import Source


class Fetched:
    """A scene whose files lie in `folder` until it is closed."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._error: SwathError | None = None
        try:
            self._folder = self._stack.enter_context(source.here())
        except SwathError as error:  # raised when the scene has its turn
            self._error = error

    @property
    def folder(self) -> Path:
        """Raises what fetching raised: MachineError where S3 cannot be reached."""
        if self._error is not None:
            raise self._error
        assert self._folder is not None
        return self._folder

    def in_place(self, message: str) -> str:
        """A message about the copies, said of the files themselves."""
        return message.replace(str(self._folder), str(self.source.root))

    def close(self) -> None:
        self._stack.close()


def fetched(sources: Sequence[Source]) -> Iterator[Fetched]:
    """Each scene in order, closed when the next is asked for."""
    with ThreadPoolExecutor(1, thread_name_prefix="swath-fetch") as pool:
        waiting: list[Future[Fetched]] = []
        try:
            for number in range(len(sources)):
                waiting += [
                    pool.submit(Fetched, source) for source in sources[number : number + 2][len(waiting) :]
                ]
                scene = waiting.pop(0).result()
                try:
                    yield scene
                finally:
                    scene.close()
        finally:
            for future in waiting:
                future.result().close()
