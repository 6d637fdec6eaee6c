"""Did a run see in training what it is tested on? Then a score would say how well it remembers."""

import logging

import numpy as np

from swath.data.store import TileStore
from swath.errors import DataError
from swath.features.backbone import FrozenBackbone
from swath.location import location
from swath.runtime.run import Run

_TOO_GOOD = (
    "and a score would be too good. Use the tiles that it learned on, or pretrain on these: swath pretrain"
)
log = logging.getLogger(__name__)


def check_unseen(run: Run, backbone: FrozenBackbone, store: TileStore) -> None:
    """Compare splits, or test tiles by id and pixels with those that trained where these are other data.

    What cannot be compared is said in the log: the split of imported weights, a pack that is gone.

    Raises:
        DataError: the run may have seen tiles that are test here, or did see them.
    """
    weights = backbone.weights
    if weights.split == store.split_digest:
        return
    if weights.split is None:
        log.info(f"{weights.run} does not say what it learned from: if it saw test tiles is not known")
    elif backbone.scale != "tiles":
        raise DataError(
            f"{weights.run} learned by split {weights.split:.12}, {store.path} has split "
            f"{store.split_digest:.12}: it may have seen test tiles, {_TOO_GOOD}"
        )
    elif (learned := _learned_from(run)) is None:
        log.info(f"the tiles of {weights.run} are not at hand: if it saw test tiles is not known")
    else:
        _check_tiles(run, learned, store)


def _learned_from(run: Run) -> TileStore | None:
    """The pack that the run was trained on; None where it is gone or was made again since."""
    try:
        store = TileStore(location(str(run.config.get("tiles"))))
    except DataError:
        return None
    return store if store.digest == run.asked.get("pack") else None


def _check_tiles(run: Run, learned: TileStore, store: TileStore) -> None:
    trained, tested = _known(learned, "train", ""), _known(store, "test")
    both = sorted(trained & tested)
    if both:
        raise DataError(
            f"{run.path} trained on {len(both):,} of the {len(tested):,} test tiles of {store.path}, such "
            f'as "{both[0][0]}": it has seen them, {_TOO_GOOD}'
        )
    log.info(f"none of the {len(tested):,} test tiles is one that {run.path} trained on, by id and pixels")


def _known(store: TileStore, *splits: str) -> set[tuple[str, int]]:
    """Id and checksum of the pixels of the tiles in some splits."""
    table = store.columns("id", "crc32").filter(np.isin(store.splits(), splits))
    return set(zip(table["id"].to_pylist(), table["crc32"].to_pylist(), strict=True))
