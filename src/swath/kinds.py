"""What lies at a path, by its marks: for messages that name what was given where something else is wanted."""

import re
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from swath import storage
from swath.errors import did_you_mean
from swath.location import Location

RUN_MARK = "swath_run"
# Kind -> what to call it, what makes it, and of what kind.
_MADE_BY = {
    "index": ("an index", "swath index {} --out index.parquet", "imagery"),
    "tiles": ("packed tiles", "swath pack {} --out tiles.lance", "index"),
    "run": ("a run", "swath pretrain {} --out runs/first", "tiles"),
    "features": ("features", "swath embed {} TILES --out features.parquet", "run"),
    "bundle": ("a bundle", "swath bundle {} --out first-bundle", "run"),
}
_PROBES = ("probe-linear.json", "probe-segmentation.json")
_LOOKED_AT = 1000  # names beside a mistyped one


def kind_of(path: Location) -> str | None:
    """One of the kinds above, or None for anything else."""
    if storage.is_file(path):
        return _table_kind(path) if isinstance(path, Path) and path.suffix == ".parquet" else None
    if storage.is_folder(path / "_versions"):  # what every Lance dataset has
        return "tiles"
    if is_run(path):
        return "run"
    return "bundle" if storage.is_file(path / "bundle.json") else None


def is_run(path: Location) -> bool:
    """Whether its config.yaml begins as that of a run; another program's is not even parsed."""
    config = path / "config.yaml"
    if not storage.is_file(config):
        return False
    return re.match(rb"%b: \d" % RUN_MARK.encode(), storage.read_range(config, 0, 64)) is not None


def mistaken(path: Location, wanted: str) -> str:
    """A message for whoever gave `path` where one of the kinds is wanted, with the command that makes one."""
    name, command, source = _MADE_BY[wanted]
    given = kind_of(path)
    if given:
        said = f"{path} is {_MADE_BY[given][0]}; expected {name}"
    elif storage.exists(path):
        said = f"{path} is not {name}"
    else:
        said = f"{path} does not exist.{_near(path)} Expected {name}"
    command = command.format(path if given == source else source.upper())
    return f"{said}, as made by: {command}{_head(path) if wanted == 'bundle' else ''}"


def _table_kind(path: Path) -> str | None:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError):
        return None
    if b"swath" not in (schema.metadata or {}):
        return None
    return "features" if "features" in schema.names else "index"


def _near(path: Location) -> str:
    if not isinstance(path, Path) or not path.parent.is_dir():
        return ""
    beside = (entry.name for entry in path.parent.iterdir() if entry.name != path.name)
    return did_you_mean(path.name, islice(beside, _LOOKED_AT))


def _head(run: Location) -> str:
    """A bundle predicts where it has a head."""
    head = next((name for name in _PROBES if storage.is_file(run / name)), None)
    return f" --head {head}" if head else ""
