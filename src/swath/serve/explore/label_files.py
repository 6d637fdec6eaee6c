"""Labels given by example, on disk: RUN/labels/NAME.parquet (GeoParquet) and NAME.csv, a row a marked tile.

Columns: `id`, a column called like the label with 1 or 0, and in the GeoParquet file the footprint.
`swath index --labels` takes both.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from swath import storage
from swath.copies import put_file
from swath.errors import UsageError
from swath.files import file_aside
from swath.location import Location, S3Path
from swath.runtime.run import address_of

FOLDER = "labels"
_NAME = re.compile(r"\w(?:[\w -]{0,62}\w)?")
# Names of columns that mean something else to swath index.
_TAKEN = {
    "id", "path", "file", "filename", "file_name", "filepath", "image", "image_path", "name", "tile", "split",
    "geometry",
}  # fmt: skip
_GEO = (
    '{"version": "1.1.0", "primary_column": "geometry", '
    '"columns": {"geometry": {"encoding": "WKB", "geometry_types": ["Polygon"]}}}'
)


@dataclass(frozen=True)
class Marks:
    """Tiles by row number that have a label, and tiles that have not."""

    label: str
    positive: tuple[int, ...]
    negative: tuple[int, ...]

    def __post_init__(self) -> None:
        check_label(self.label)
        if len({*self.positive, *self.negative}) != len(self.positive) + len(self.negative):
            raise UsageError("a tile is marked twice; take one of its marks away")

    @property
    def rows(self) -> list[int]:
        return sorted({*self.positive, *self.negative})


def check_label(name: str) -> None:
    """Refuse a name that could not be a file's and a column's.

    Raises:
        UsageError: says which names are good.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f'"{name[:64]}" is no name for a label: 1 to 64 letters, digits, spaces, - and _')
    if name.lower() in _TAKEN:
        raise UsageError(f'a label cannot be called "{name}": swath index has a column of that name')


class LabelFolder:
    """The label files of a run; `ids` and `geometry` (WKB or None) of its tiles by row number.

    Those of a run on S3, of which `run` is a copy, are put there too.
    """

    def __init__(self, run: Path, ids: Sequence[str], geometry: Sequence[bytes | None]) -> None:
        self.path, self._address = run / FOLDER, address_of(run) / FOLDER
        self._ids, self._geometry = ids, geometry

    def file(self, label: str) -> Path:
        """The GeoParquet file of a label."""
        check_label(label)
        return self.path / f"{label}.parquet"

    def write(self, marks: Marks) -> None:
        """Write both files whole; without any marks take them away.

        Raises:
            MachineError: the disk is full or cannot be written, and the files that were there stay; or S3
                cannot be reached.
        """
        path = self.file(marks.label)
        table = path.with_suffix(".csv")
        if marks.rows:
            with file_aside(path) as aside:
                pq.write_table(self._table(marks), aside)
            with file_aside(table) as aside:
                aside.write_text(self.csv(marks), encoding="utf-8")
        for file in (path, table):
            if not marks.rows:
                file.unlink(missing_ok=True)
            self._put(file)

    def address(self, label: str) -> Location:
        """Where the GeoParquet file of a label lies for who comes later."""
        return self._address / self.file(label).name

    def _put(self, file: Path) -> None:
        """What is marked by hand is not left to the end of the page."""
        there = self._address / file.name
        if not isinstance(there, S3Path):
            return
        if file.exists():
            put_file(file, there)
        else:
            storage.remove(there)

    def csv(self, marks: Marks) -> str:
        """The same as text."""
        positive = set(marks.positive)
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", marks.label])
        writer.writerows([self._ids[row], int(row in positive)] for row in marks.rows)
        return stream.getvalue()

    def read(self) -> list[Marks]:
        """The marks of earlier sessions; other files and unknown tiles are passed over."""
        rows = {name: row for row, name in enumerate(self._ids)}
        found = []
        for path in sorted(self.path.glob("*.parquet")) if self.path.is_dir() else []:
            label = path.stem
            if not _NAME.fullmatch(label) or label.lower() in _TAKEN:
                continue
            try:
                table = pq.read_table(path, columns=["id", label])
            except (pa.ArrowInvalid, pa.ArrowKeyError, OSError):
                continue
            pairs = list(zip(table["id"].to_pylist(), table[label].to_pylist(), strict=True))
            positive = tuple(sorted({rows[name] for name, value in pairs if value == 1 and name in rows}))
            negative = tuple(sorted({rows[name] for name, value in pairs if value == 0 and name in rows}))
            found.append(Marks(label, positive, negative))
        return found

    def _table(self, marks: Marks) -> pa.Table:
        positive = set(marks.positive)
        columns = {
            "id": pa.array([self._ids[row] for row in marks.rows], pa.string()),
            marks.label: pa.array([int(row in positive) for row in marks.rows], pa.int8()),
            "geometry": pa.array([self._geometry[row] for row in marks.rows], pa.binary()),
        }
        return pa.table(columns).replace_schema_metadata({"geo": _GEO})
