"""Splits by whole folders: areas, cities or flights that an archive keeps apart, located or not."""

from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from swath.data.index import Index
from swath.data.labels import multi_hot
from swath.errors import UsageError
from swath.geography.leaks import find_leaks
from swath.geography.shares import SPLITS, Shares, share_out
from swath.location import Location

Names = npt.NDArray[np.str_]


def folder_split(index: Index, where: Location, shares: Shares, *, seed: int) -> tuple[Names, Names]:
    """(N,) the split of each tile, and its folder; shares of the labels stay near those of all tiles.

    Raises:
        UsageError: there are too few folders, they are the classes, or tiles of two splits overlap on the
            ground.
    """
    folders = _folders(index, where)
    names, folder = np.unique(folders, return_inverse=True)
    labels = multi_hot(index.table["labels"], index.info.vocabulary)
    positives = np.zeros((len(names), labels.shape[1]), dtype=np.int64)
    np.add.at(positives, folder, labels)
    _check(index, where, names, positives, shares)
    splits = np.asarray(SPLITS)[share_out(np.bincount(folder), positives, shares, seed=seed)][folder]
    _check_ground(index, where, splits)
    return splits, folders


def _folders(index: Index, where: Location) -> Names:
    """(N,) the first folder of each path that tells tiles apart: all/area2 of all/area2/day1/3.tif."""
    paths = [row[0] if row else "" for row in index.table["paths"].to_pylist()]
    parts = [PurePosixPath(path).parts[:-1] for path in paths]
    first, last = min(parts), max(parts)
    shared = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    beside = next((path for path, folders in zip(paths, parts, strict=True) if len(folders) == shared), None)
    if beside is not None:
        raise UsageError(
            f'{where}: "{beside}" lies in no folder that others do not share; expected one for each area. '
            "Move it, or split --by random or blocks."
        )
    return np.asarray(["/".join(folders[: shared + 1]) for folders in parts], dtype=np.str_)


def _check(
    index: Index, where: Location, names: Names, positives: npt.NDArray[np.int64], shares: Shares
) -> None:
    needed = 1 + (shares.test > 0) + (shares.val > 0)
    if len(names) < needed:
        raise UsageError(
            f"{where} has tiles of {len(names)} folders ({', '.join(names)}), the split needs {needed}: "
            "--val-share 0 needs one less; or split --by random or blocks."
        )
    if len(names) == index.table.num_rows:
        raise UsageError(
            f"{where} has a folder for each of its {len(names):,} tiles, so folders keep nothing together; "
            "expected folders of areas. Split --by blocks or random."
        )
    alone = index.info.task == "class" and (np.count_nonzero(positives, axis=0) <= 1).all()
    if alone and (np.count_nonzero(positives, axis=1) <= 1).all():
        raise UsageError(
            f"the folders of {where} are its classes ({', '.join(names[:4])}, ...): test would hold classes "
            "that train has not. Split --by random or blocks."
        )


def _check_ground(index: Index, where: Location, splits: Names) -> None:
    """Two folders may hold one place on two days."""
    table = index.table.set_column(index.table.schema.get_field_index("split"), "split", pa.array(splits))
    located = table.filter(pc.is_valid(table["geometry"]))
    sides = set(located["split"].to_pylist())
    if "train" in sides and len(sides) > 1:
        leaks = find_leaks(located)
        if leaks.overlap:
            count = sum(found.overlapping for found in leaks.splits.values())
            raise UsageError(
                f"{count:,} test or validation tiles of {where} overlap training tiles of other folders on "
                "the ground: folders do not keep places apart. Split --by blocks."
            )
