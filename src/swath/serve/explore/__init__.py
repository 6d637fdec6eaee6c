"""Stage: run -> a page in the browser: the archive on a map and in a plot, neighbours, labels by example."""

import logging
import socket
from dataclasses import dataclass
from pathlib import Path

from swath.config import ExploreConfig
from swath.errors import MachineError
from swath.location import Location
from swath.results import Result
from swath.runtime.mirror import run_here
from swath.runtime.run import Run
from swath.serve.explore.access import Access
from swath.serve.explore.archive import open_archive
from swath.serve.explore.label_files import FOLDER
from swath.serve.explore.routes import make_app
from swath.serve.explore.server import Server, listen

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExploreResult(Result):
    """What was shown, where labels are, and the signal that ended it."""

    tiles: int
    labels: tuple[Location, ...]
    stopped_by: str | None


def run(config: ExploreConfig) -> ExploreResult:
    """Serve the page until Ctrl-C or SIGTERM.

    Raises:
        UsageError: `run` is not a run, or its tiles are not known.
        DataError: tiles are missing, damaged or do not fit; the run has no whole checkpoint.
        MachineError: the port is taken, FastAPI is not installed, or the disk is full.
    """
    with run_here(config.run) as folder:
        return _explored(config, folder)


def _explored(config: ExploreConfig, folder: Path) -> ExploreResult:
    """`folder` is that of the run, or a copy."""
    opened = Run.open(folder)
    with listen(config.host, config.port) as listener:
        port = int(listener.getsockname()[1])
        names = frozenset({config.host.lower(), socket.gethostname().lower()})
        access = Access(port, any_address=not config.is_loopback, names=names)
        archive = open_archive(opened, config.tiles)
        with Server(make_app(archive, access), listener) as server:
            # A warning, so that --quiet shows it too: without the link nobody gets in.
            log.warning(f"open  http://{_shown(config.host)}:{port}/?token={access.token}")
            log.info(f"{len(archive):,} tiles; Ctrl-C ends it")
            signal = server.wait()
    if signal is None:
        raise MachineError("the page's server ended by itself; --debug and the lines above say more")
    marked = sorted(path.name for path in (folder / FOLDER).glob("*.parquet"))
    labels = tuple(config.run / FOLDER / name for name in marked)
    return ExploreResult(tiles=len(archive), labels=labels, stopped_by=signal)


def _shown(host: str) -> str:
    """An address that a browser can open."""
    everywhere = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}  # noqa: S104 -- only named here
    return everywhere.get(host, f"[{host}]" if ":" in host else host)
