"""Two tables that age: container images by version and region, prices by instance. Users may replace both."""

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from swath import storage
from swath.config.sagemaker import TablesConfig
from swath.errors import DataError, UsageError, did_you_mean
from swath.location import Location
from swath.results import Result

_GPUS = ("g4", "g5", "g6", "g7", "p3", "p4", "p5", "p6")
_VOLTA = ("ml.p3.", "ml.p3dn.")


@dataclass(frozen=True)
class Image:
    """A container image, and what it holds; `cuda` is None where that is not known (an image of the user)."""

    uri: str
    cuda: str | None = None


@dataclass(frozen=True)
class Price:
    """US dollars an hour of one machine, and whose word that is."""

    usd_per_hour: float
    as_of: str
    source: str


@dataclass(frozen=True)
class Tables(Result):
    """All tables, in the layout that --tables takes."""

    tables: dict[str, Any]

    def lines(self) -> list[str]:
        return json.dumps(self.tables, indent=2).splitlines()


def shown(_: TablesConfig) -> Tables:
    """What ships with swath."""
    return Tables(read_tables())


def has_gpu(instance: str) -> bool:
    """Whether machines of a type like ml.g5.xlarge carry an NVIDIA GPU."""
    return instance.split(".")[1].startswith(_GPUS)


def choose_image(asked: str | None, *, instance: str, region: str, tables: dict[str, Any]) -> Image:
    """The image asked for, by its URI or as the version of PyTorch; else the newest of the table.

    Raises:
        UsageError: an unknown version, or an image whose CUDA has no code for the GPU of the instance.
    """
    if asked is not None and "/" in asked:
        return Image(asked)
    rows = {row["torch"]: row for row in tables["images"]}
    version = max(rows, key=_as_numbers) if asked is None else asked
    if version not in rows:
        raise UsageError(
            f"--image {version}: the table has PyTorch {', '.join(rows)}; name one of them or a whole image "
            f"URI, or add yours with --tables.{did_you_mean(version, rows)}"
        )
    row = rows[version]
    gpu = has_gpu(instance)
    if instance.startswith(_VOLTA) and int(str(row["cuda"]).split(".")[0]) >= 13:
        raise UsageError(
            f"{instance} has V100 GPUs, for which CUDA 13 has no code, and PyTorch {version} comes with CUDA "
            f"{row['cuda']}; take ml.g5, ml.g6, ml.g6e or ml.p4d, or an image with CUDA 12 by --image URI"
        )
    return Image(_uri(row["gpu" if gpu else "cpu"], region, tables["accounts"]), row["cuda"] if gpu else None)


def price_of(instance: str, tables: dict[str, Any]) -> Price | None:
    """What the table says of an instance, None where it is silent."""
    prices = tables["prices"]
    found = prices["usd_per_hour"].get(instance)
    return None if found is None else Price(float(found), prices["as_of"], prices["source"])


def read_tables(own: Location | None = None) -> dict[str, Any]:
    """The tables that come with swath, with those of the JSON file `own` in their place.

    Raises:
        DataError: no such file, or no JSON with `accounts`, `images` or `prices`.
    """
    shipped = {name: _shipped(name) for name in ("images", "prices")}
    tables: dict[str, Any] = {
        "accounts": shipped["images"]["accounts"],
        "images": shipped["images"]["images"],
        "prices": shipped["prices"],
    }
    if own is None:
        return tables
    try:
        given = json.loads(storage.read_bytes(own))
        unknown = sorted(set(given) - set(tables))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{own} is no table: {error}. `swath sagemaker tables` prints the layout.") from error
    if unknown or not given:
        raise DataError(f"{own}: expected {', '.join(tables)}, found {', '.join(unknown) or 'nothing'}")
    merged: dict[str, Any] = tables | given
    return merged


def _shipped(name: str) -> dict[str, Any]:
    text = resources.files("swath.launch.sagemaker").joinpath(f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _uri(tag: str, region: str, accounts: dict[str, str]) -> str:
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{accounts.get(region, accounts['default'])}.dkr.ecr.{region}.{domain}/{tag}"


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
