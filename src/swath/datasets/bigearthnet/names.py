"""Names of patches, parsed strictly: what a folder, a file or a member of the published archives is called.

```
v1 Sentinel-2   S2A_MSIL2A_20170613T101031_87_48                     hour without its 0, h and v not padded
v2 Sentinel-2   S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43   always 50 characters
Sentinel-1      S1A_IW_GRDH_1SDV_20170613T165043_33UUP_87_48         the same in both versions
```

h and v count patches of 1,200 m east and south of the corner of the MGRS tile.
"""

import datetime as dt
import re
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

Version = Literal["v1", "v2"]

JSON_SUFFIX = "_labels_metadata.json"

_DAY = r"(?P<day>20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))"
_TILE = r"(?P<tile>\d\d[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])"
_CELL = r"(?P<h>\d|[1-8]\d|90)_(?P<v>\d|[1-8]\d|90)"
_CELL_PADDED = r"(?P<h>[0-8]\d|90)_(?P<v>[0-8]\d|90)"

# RE2 (pyarrow) and Python read these alike. Match them whole.
S2_V1 = rf"S2[AB]_MSIL2A_{_DAY}T\d{{5,6}}_{_CELL}"
S2_V2 = rf"S2[AB]_MSIL2A_{_DAY}T\d{{6}}_N\d{{4}}_R\d{{3}}_T{_TILE}_{_CELL_PADDED}"
S1 = rf"S1[AB]_IW_GRDH_1SDV_{_DAY}T\d{{6}}_{_TILE}_{_CELL}"

_PATTERNS: tuple[tuple[str, str, Version | None], ...] = (
    (S2_V1, "Sentinel-2", "v1"),
    (S2_V2, "Sentinel-2", "v2"),
    (S1, "Sentinel-1", None),
)


@dataclass(frozen=True)
class PatchName:
    """What a name says. `version` is None for Sentinel-1, `tile` (33UUP) None for Sentinel-2 of v1."""

    name: str
    sensor: str
    version: Version | None
    acquired: dt.date
    tile: str | None
    h: int
    v: int


def parse(name: str) -> PatchName | None:
    """The patch that `name` is, or None where it is not exactly one."""
    for pattern, sensor, version in _PATTERNS:
        match = re.fullmatch(pattern, name, re.ASCII)
        if match:
            held = match.groupdict()
            try:
                day = dt.date.fromisoformat(held["day"])
            except ValueError:  # 31 February
                return None
            return PatchName(name, sensor, version, day, held.get("tile"), int(held["h"]), int(held["v"]))
    return None


def scene_of(name: str) -> str:
    """The folder of v2 that a patch lies in: its name without tile (Sentinel-1), h and v."""
    parts = name.split("_")
    return "_".join(parts[:-3] if name.startswith("S1") else parts[:-2])


def parse_column(names: pa.Array, pattern: str) -> pa.Table:
    """Columns day, h, v and, where the pattern has it, tile; a row of nulls where a name does not match."""
    found = pc.extract_regex(names, rf"^(?:{pattern})$")
    days = pc.strptime(pc.struct_field(found, "day"), format="%Y%m%d", unit="s", error_is_null=True)
    columns = {"day": days.cast(pa.date32())}
    columns |= {cell: pc.struct_field(found, cell).cast(pa.int32()) for cell in ("h", "v")}
    return pa.table(columns | ({"tile": pc.struct_field(found, "tile")} if "<tile>" in pattern else {}))
