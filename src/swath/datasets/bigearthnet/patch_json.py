"""The JSON that lies beside the bands of a v1 patch: labels, day, and corners in UTM."""

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path

from swath.datasets.bigearthnet.labels import to_19
from swath.errors import DataError


@dataclass(frozen=True)
class PatchJson:
    """`labels` are among the 19, in the original order. `bounds_m`: left, bottom, right, top."""

    labels: list[str]
    acquired: dt.date
    bounds_m: tuple[float, float, float, float]


def parse_json(data: bytes, *, where: str) -> PatchJson:
    """Read what `{patch}_labels_metadata.json` holds, of Sentinel-2 or Sentinel-1; `where` begins messages.

    Raises:
        DataError: it is no such JSON, or a label is unknown.
    """
    try:
        value = json.loads(data)
        corners = value["coordinates"]
        lower = corners["lly" if "lly" in corners else "lry"]  # Sentinel-1 has a slip of the pen
        bounds = tuple(float(number) for number in (corners["ulx"], lower, corners["lrx"], corners["uly"]))
        day = value["acquisition_date" if "acquisition_date" in value else "acquisition_time"]
        names, acquired = list(value["labels"]), dt.date.fromisoformat(str(day)[:10])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{where} is not the JSON of a BigEarthNet patch ({error}). Extract it again."
        ) from error
    left, bottom, right, top = bounds
    return PatchJson(to_19(names, where=where), acquired, (left, bottom, right, top))


def read_json(path: Path) -> PatchJson:
    """`parse_json` of a file.

    Raises:
        DataError: the file cannot be read, and as `parse_json`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Extract it again.") from error
    return parse_json(data, where=str(path))
