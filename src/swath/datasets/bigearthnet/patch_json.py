"""The JSON that lies beside the bands of a v1 patch: labels, day, and corners in UTM."""

import datetime as dt
import json
import re
from dataclasses import dataclass
from pathlib import Path

from swath.datasets.bigearthnet.labels import to_19
from swath.errors import DataError

_TILE_OF_SOURCE = re.compile(r"_T(\d\d[A-Z]{3})_")


@dataclass(frozen=True)
class PatchJson:
    """`labels` are among the 19, in the original order, `labels_43` as they stand there. `bounds_m`: left,
    bottom, right, top. `source`: the product that the patch was cut from. `s2_name`: of Sentinel-1 alone.
    """

    labels: list[str]
    labels_43: list[str]
    acquired: dt.date
    acquired_at: str
    bounds_m: tuple[float, float, float, float]
    source: str
    s2_name: str | None

    @property
    def tile(self) -> str | None:
        """MGRS tile (33UUP) that the source of a Sentinel-2 patch names."""
        match = _TILE_OF_SOURCE.search(self.source)
        return match[1] if match else None


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
        at = str(value["acquisition_date" if "acquisition_date" in value else "acquisition_time"])
        names, acquired = list(value["labels"]), dt.date.fromisoformat(at[:10])
        source = str(value["tile_source" if "tile_source" in value else "scene_source"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{where} is not the JSON of a BigEarthNet patch ({error}). Extract it again."
        ) from error
    left, bottom, right, top = bounds
    return PatchJson(
        labels=to_19(names, where=where),
        labels_43=names,
        acquired=acquired,
        acquired_at=at,
        bounds_m=(left, bottom, right, top),
        source=source,
        s2_name=value.get("corresponding_s2_patch"),
    )


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
