"""What several machines made, each in a folder of its own, put together to what one machine makes.

2-of-8/  SCENE/ ...  bad_scenes.csv         of predict: scenes lie side by side, lists follow each other
2-of-8/  features.parquet                   of embed: stretches of the tiles, one after the other
"""

import csv
import re
from pathlib import Path
from typing import Any

from swath.errors import DataError

BAD_SCENES = "bad_scenes.csv"
_FEATURES = "features.parquet"
_PART = re.compile(r"(\d+)-of-(\d+)")


def part_name(number: int, of: int) -> str:
    """Of the folder of the machine `number`, counted from 1."""
    return f"{number}-of-{of}"


def joined(folder: Path, *, of_job: str) -> int:
    """Put the parts in a folder together, where there are any, and say how many scenes were left out.

    Raises:
        DataError: a part of the features is missing, or two machines have a scene of one name.
    """
    parts = {int(match[1]): path for path in folder.iterdir() if (match := _PART.fullmatch(path.name))}
    in_order = [parts[number] for number in sorted(parts)]
    features = [part / _FEATURES for part in in_order if (part / _FEATURES).exists()]
    if features:
        _check_all(features, of_job)
        _join_tables(features, folder / _FEATURES)
    _join_lists([part / BAD_SCENES for part in in_order], folder / BAD_SCENES)
    for part in in_order:
        for entry in sorted(part.iterdir()):
            if (folder / entry.name).exists():
                raise DataError(
                    f'{of_job}: two machines have a scene called "{entry.name}"; send a job for each.'
                )
            entry.rename(folder / entry.name)
        part.rmdir()
    return sum(1 for _ in _rows(folder / BAD_SCENES))


def _check_all(features: list[Path], of_job: str) -> None:
    """A machine whose part has no tile writes a file without rows; none is a part that was lost."""
    count = int(_PART.fullmatch(features[0].parent.name)[2])  # type: ignore[index]  # it is a part
    if len(features) < count:
        there = {path.parent.name for path in features}
        lost = next(name for k in range(count) if (name := part_name(k + 1, count)) not in there)
        raise DataError(f"{of_job}: the features of machine {lost} are missing; send the job again")


def _join_tables(parts: list[Path], whole: Path) -> None:
    """Memory holds one group of rows; what the first says of itself, all say."""
    import pyarrow.parquet as pq  # noqa: PLC0415 -- only features of several machines need it

    with pq.ParquetWriter(whole, pq.read_schema(parts[0]), compression="zstd") as writer:
        for part in parts:
            with pq.ParquetFile(part) as stored:
                for group in range(stored.num_row_groups):
                    writer.write_table(stored.read_row_group(group))
            part.unlink()


def _join_lists(parts: list[Path], whole: Path) -> None:
    rows: list[dict[str, Any]] = [row for part in parts for row in _rows(part)]
    for part in parts:
        part.unlink(missing_ok=True)
    if rows:
        with whole.open("w", newline="", encoding="utf-8") as stream:
            table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(rows)


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
