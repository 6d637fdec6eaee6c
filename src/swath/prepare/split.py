"""Stage: an index whose tiles know whether they train, validate or test."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from swath.config import SplitConfig
from swath.data.index import Index, IndexWriter, read_index
from swath.data.labels import multi_hot
from swath.errors import DataError, UsageError, did_you_mean
from swath.geography.blocks import BlockGrid, BlockSplit, block_split, overlaps_on_ground
from swath.geography.places import Places, find_places
from swath.geography.shares import SPLITS, Shares, divergence, label_shares, random_split
from swath.location import Location
from swath.prepare.folders import folder_split
from swath.results import Result

log = logging.getLogger(__name__)

_MOST_OFF = 0.05  # of the tiles, between what a split was asked to hold and what it holds
_HALVINGS = 7  # of a block, tried for shares that are nearer
_SPELLINGS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "gap": "gap",
}


@dataclass(frozen=True)
class SplitResult(Result):
    """`counts`: tiles by split. `labels`: of each, its share of all tiles and of those of each split, and how
    far these are apart (geography.shares.divergence); `label_divergence` is the mean of the last.
    """

    out: Location
    by: str
    counts: dict[str, int]
    blocks: int | None
    label_divergence: float | None
    labels: dict[str, dict[str, float]]

    @property
    def next_command(self) -> str:
        return f"swath pack {self.out} --out {self.out.with_name('tiles.lance')}"

    def lines(self) -> list[str]:
        return [*replace(self, labels={}).short(), "", *self._table()] if self.labels else self.short()

    def short(self) -> list[str]:
        return super().lines()

    def _table(self) -> list[str]:
        """A row a label, the one that is shared out worst first."""
        names = list(next(iter(self.labels.values())))
        width = max(map(len, self.labels))
        rows = [f"{'label, share of tiles':{width}}" + "".join(f"  {name:>10}" for name in names)]
        for label, found in sorted(self.labels.items(), key=lambda item: -item[1]["divergence"]):
            cells = [f"{found[name]:10.2%}" for name in names[:-1]] + [f"{found['divergence']:10.4f}"]
            rows.append(f"{label:{width}}" + "".join(f"  {cell}" for cell in cells))
        return rows


@dataclass(frozen=True)
class _Columns:
    splits: pa.Array
    blocks: pa.Array
    num_blocks: int | None = None


def run(config: SplitConfig) -> SplitResult:
    """Write the index again with its `split` (and `block`) columns filled.

    Raises:
        UsageError: the split cannot be made as asked; the message says which one can.
        DataError: the index is bad, or holds a split that is none of train, val, test and gap.
    """
    index = read_index(config.index)
    ways = {"official": _official, "random": _random, "blocks": _blocks, "folders": _folders}
    columns = ways[config.by](index, config)
    table = _replaced(index.table, split=columns.splits, block=columns.blocks)
    with IndexWriter(config.out, index.info, more=index.more) as writer:
        writer.append(table)
    found = Counter(name or "none" for name in columns.splits.to_pylist())
    counts = {name: found[name] for name in ("train", "val", "test", "gap", "none") if name in found}
    _warn_of_other_shares(index, columns, config)
    _warn_of_untested_labels(index, columns.splits)
    labels = _labels(index, columns.splits)
    mean = float(np.mean([found["divergence"] for found in labels.values()])) if labels else None
    return SplitResult(config.out, config.by, counts, columns.num_blocks, mean, labels)


def _labels(index: Index, splits: pa.Array) -> dict[str, dict[str, float]]:
    """Shares of each label by split, and their divergence; {} where nothing is labelled or split."""
    here = np.asarray(splits.fill_null("").to_pylist(), dtype=np.str_)
    if not index.info.vocabulary or not np.isin(here, SPLITS).any():
        return {}
    shares = label_shares(here, multi_hot(index.table["labels"], index.info.vocabulary))
    columns = {**shares, "divergence": divergence(shares)}
    return {
        label: {name: float(values[k]) for name, values in columns.items()}
        for k, label in enumerate(index.info.vocabulary)
    }


def _official(index: Index, config: SplitConfig) -> _Columns:
    names = index.table.column_names
    if config.split_column not in names:
        raise UsageError(
            f'{config.index} has no column "{config.split_column}"; columns: {", ".join(names)}.'
            f"{did_you_mean(config.split_column, names)}"
        )
    found = index.table[config.split_column].to_pylist()
    if all(value is None for value in found):
        raise UsageError(f'the column "{config.split_column}" of {config.index} is empty. {_instead(config)}')
    splits = []
    for row, value in enumerate(found):
        known = None if value is None else _SPELLINGS.get(str(value).strip().lower())
        if value is not None and known is None:
            raise DataError(
                f'{config.index}: "{value}" in row {row} of column "{config.split_column}" is none of '
                f"{', '.join(_SPELLINGS)}.{did_you_mean(str(value).lower(), _SPELLINGS)}"
            )
        splits.append(known)
    return _Columns(pa.array(splits, pa.string()), index.table["block"])


def _random(index: Index, config: SplitConfig) -> _Columns:
    num_known = index.table.num_rows - index.table["geometry"].null_count
    if not config.force and overlaps_on_ground(_places(index), num_tiles=num_known):
        raise UsageError(
            f"tiles of {config.index} overlap on the ground: a random split tests on what it trained on. "
            f"Type: swath split {config.index} --out {config.out} --by blocks   (or add --force)"
        )
    tile_px, stride_px = index.info.tile_px, index.info.stride_px
    if not config.force and num_known < index.table.num_rows and 0 < stride_px < tile_px:
        raise UsageError(
            f"tiles of {config.index} are {tile_px} px wide and cut every {stride_px} px: a random split "
            "tests on what it trained on, and blocks need a location. "
            f"Index again with --stride-px {tile_px} (or add --force)"
        )
    splits = random_split(index.table["id"].to_pylist(), _shares(config), seed=config.seed)
    return _Columns(pa.array(splits.tolist(), pa.string()), pa.nulls(len(splits), pa.string()))


def _blocks(index: Index, config: SplitConfig) -> _Columns:
    geometry = index.table["geometry"]
    if geometry.null_count:
        raise UsageError(
            f"{geometry.null_count} of {len(geometry)} tiles of {config.index} have no location, "
            f"which blocks need. {_instead(config)}"
        )
    found = _block_split(index, config, config.block_m)
    for split, share in (("train", 1.0), ("val", config.val_share), ("test", config.test_share)):
        if share > 0 and split not in found.splits:
            raise UsageError(
                f"no tile is left for {split}: those near the borders of {found.num_blocks} blocks went to "
                f"the gap. Choose another --block-m than {config.block_m:g}, or a smaller --gap-m."
            )
    return _Columns(
        pa.array(found.splits.tolist(), pa.string()),
        pa.array(found.blocks.tolist(), pa.string()),
        found.num_blocks,
    )


def _block_split(index: Index, config: SplitConfig, block_m: float) -> BlockSplit:
    labels = multi_hot(index.table["labels"], index.info.vocabulary)
    grid = BlockGrid(block_m, config.gap_m)
    return block_split(_places(index), labels, grid, _shares(config), seed=config.seed)


def _folders(index: Index, config: SplitConfig) -> _Columns:
    splits, folders = folder_split(index, config.index, _shares(config), seed=config.seed)
    count = len(np.unique(folders))
    return _Columns(pa.array(splits.tolist(), pa.string()), pa.array(folders.tolist(), pa.string()), count)


def _places(index: Index) -> Places:
    return find_places(index.table["geometry"], index.table["crs"])


def _instead(config: SplitConfig) -> str:
    return f"Type: swath split {config.index} --out {config.out} --by random"


def _shares(config: SplitConfig) -> Shares:
    return Shares(test=config.test_share, val=config.val_share)


def _replaced(table: pa.Table, **columns: pa.Array) -> pa.Table:
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, values)
    return table


def _warn_of_other_shares(index: Index, columns: _Columns, config: SplitConfig) -> None:
    """Few blocks or folders cannot be shared out as asked; smaller blocks are tried until they can."""
    reached = _reached(columns.splits.to_pylist())
    if columns.num_blocks is None or _is_near(reached, config):
        return
    asked = _in_words({"val": config.val_share, "test": config.test_share})
    parts = "folders" if config.by == "folders" else f"blocks of {config.block_m:,.0f} m"
    better = _smaller_blocks(index, config) if config.by == "blocks" else ""
    log.warning(
        f"{_in_words(reached)} of the tiles, asked were {asked}: {columns.num_blocks} {parts} come no nearer"
        f"{better}"
    )


def _smaller_blocks(index: Index, config: SplitConfig) -> str:
    """Those that come near to what was asked, and how near; '' where none do that are larger than a tile."""
    for halvings in range(1, _HALVINGS):
        block_m = config.block_m / 2**halvings
        try:
            shares = _reached(_block_split(index, config, block_m).splits.tolist())
        except UsageError:
            return ""
        if _is_near(shares, config):
            return f"; --block-m {block_m:g} gives {_in_words(shares)}"
    return ""


def _reached(splits: Sequence[str | None]) -> dict[str, float]:
    return {name: splits.count(name) / len(splits) for name in ("val", "test")}


def _is_near(reached: dict[str, float], config: SplitConfig) -> bool:
    off = (reached["val"] - config.val_share, reached["test"] - config.test_share)
    return max(map(abs, off)) <= _MOST_OFF


def _in_words(shares: dict[str, float]) -> str:
    return " and ".join(f"{name} {share:.0%}" for name, share in shares.items())


def _warn_of_untested_labels(index: Index, splits: pa.Array) -> None:
    labels = multi_hot(index.table["labels"], index.info.vocabulary)
    here = np.asarray(splits.to_pylist(), dtype=object)
    for split in ("train", "test"):
        if (here == split).any():
            without = np.flatnonzero(~labels[here == split].any(axis=0) & labels.any(axis=0))
            names = ", ".join(index.info.vocabulary[k] for k in without)
            if names:
                log.warning("no %s tile is labelled: %s", split, names)
