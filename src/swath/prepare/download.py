"""Stage: a published data set -> its files here, whole and checked."""

import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from swath.config import DownloadConfig
from swath.datasets.fetch import RemoteFile, fetch
from swath.errors import Stopped, UsageError, did_you_mean
from swath.results import Result
from swath.runtime.progress import Progress
from swath.settings_file import read_settings

_NOT_ASKED_FOR = {"s1"}  # as large as all the rest; most do without


@dataclass(frozen=True)
class DownloadResult(Result):
    """`files` by part; all are whole and have the published md5 where it is known."""

    out: Path
    files: dict[str, str]
    bytes: int
    seconds: float


def run(config: DownloadConfig) -> DownloadResult:
    """Fetch what is missing of the parts asked for.

    Raises:
        UsageError: a part is unknown, or the table is not one.
        DataError: the server has not got a file, or another one.
        MachineError: the server cannot be reached, or there is no space.
        Stopped: by a signal; what was fetched is kept.
    """
    started = time.monotonic()
    wanted = _wanted(config)
    sizes = [remote.num_bytes for remote in wanted.values()]
    total = sum(size for size in sizes if size is not None) / 1e6 if None not in sizes else None
    paths: dict[str, Path] = {}
    with Progress(None if total is None else round(total), unit="MB", label="downloading") as progress:
        counter = _Megabytes(progress)
        try:
            for part, remote in wanted.items():
                paths[part] = fetch(remote, config.out, on_bytes=counter.add)
        except KeyboardInterrupt:
            raise Stopped(
                f"stopped; what was fetched is kept in {config.out}, and the same command goes on from there"
            ) from None
    return DownloadResult(
        out=config.out,
        files={part: str(path) for part, path in paths.items()},
        bytes=sum(path.stat().st_size for path in paths.values()),
        seconds=round(time.monotonic() - started, 3),
    )


class _Megabytes:
    def __init__(self, progress: Progress) -> None:
        self._progress, self._bytes = progress, 0

    def add(self, num_bytes: int) -> None:
        before, self._bytes = self._bytes // 1_000_000, self._bytes + num_bytes
        self._progress.advance(self._bytes // 1_000_000 - before)


def _wanted(config: DownloadConfig) -> dict[str, RemoteFile]:
    known = read_table(config.table)
    if config.source not in known:
        raise UsageError(f"{config.table} has no {config.source}; it has {', '.join(known)}.")
    parts = known[config.source]
    for part in config.only:
        if part not in parts:
            raise UsageError(
                f'{config.source} has no part "{part}"; parts: {", ".join(parts)}.{did_you_mean(part, parts)}'
            )
    asked = config.only or [part for part in parts if part not in _NOT_ASKED_FOR]
    return {part: parts[part] for part in asked}


def read_table(path: Path | None) -> dict[str, dict[str, RemoteFile]]:
    """Addresses by data set and part: the table that comes with swath, or another in its form.

    Raises:
        UsageError: it has another form, or an address that is not http or https.
    """
    if path is None:
        with resources.as_file(resources.files("swath.datasets.bigearthnet") / "downloads.yaml") as ours:
            return read_table(ours)
    table: dict[str, Any] = read_settings(path)
    try:
        return {
            source: {part: _remote(path, entry) for part, entry in parts.items()}
            for source, parts in table.items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no table of addresses ({error}); expected data set, part, then url, "
            "md5 and bytes, as in downloads.yaml of swath."
        ) from error


def _remote(path: Path, entry: dict[str, Any]) -> RemoteFile:
    url = str(entry["url"])
    if not url.startswith(("https://", "http://")):
        raise UsageError(f"{path}: {url} is no address of a file; expected https://... or http://...")
    return RemoteFile(url, entry.get("md5"), entry.get("bytes"))
