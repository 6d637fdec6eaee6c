"""Weighted nearest neighbours on frozen features, single-label and multi-label.

As DINO measures it (Caron et al. 2021, arXiv 2104.14294, appendix F; facebookresearch/dino: eval_knn.py).
Legend: N train tiles, Q queries, D features, K classes.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from swath.errors import DataError
from swath.products import product
from swath.scores.half_products import half_products
from swath.scores.inputs import Floats, Labels, check_finite, check_rows

_DECIMALS = 6  # float32 similarities say nothing below: equal votes would be ranked by chance
_QUERY_BLOCK, _KEY_BLOCK = 1024, 16_384  # 64 MiB of similarities at a time
_KEY_BYTES = 6 << 20  # of keys in float32, which stay in the cache
_FEW = 4  # queries: products with keys of float16 then take less time than to widen the keys


def knn_scores(
    train: Floats, labels: Labels, queries: Floats, *, k: int = 20, temperature: float = 0.07
) -> npt.NDArray[np.float64]:
    """(Q, K) votes in [0, 1]: the labels (N, K) of the k train tiles nearest by cosine similarity s.

    A neighbour weighs exp(s / temperature); the weights sum to one. Fewer than k train tiles: all of them
    vote.

    Raises:
        DataError: a feature is not finite, or the shapes do not fit.
    """
    check_rows(train, labels, what="train features")
    check_finite(train, what="train features")
    check_finite(queries, what="query features")
    if train.shape[1] != queries.shape[1]:
        raise DataError(
            f"train features have {train.shape[1]} numbers and queries {queries.shape[1]}; expected the same."
        )
    keys, asked = unit_rows(train), unit_rows(queries)
    votes = np.empty((len(queries), labels.shape[1]), dtype=np.float64)
    similarities, rows = nearest(keys, asked, k=min(k, len(train)))
    for start in range(0, len(queries), _QUERY_BLOCK):
        block = slice(start, start + _QUERY_BLOCK)
        similarity, neighbours = similarities[block], rows[block]
        weights = torch.softmax(similarity.double() / temperature, dim=1).numpy()  # (q, k)
        votes[block] = np.einsum("qk,qkc->qc", weights, labels[neighbours.numpy()])
    return votes.round(_DECIMALS)


def nearest(
    keys: torch.Tensor, asked: torch.Tensor, *, k: int, among: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Similarities and rows (Q, k) of the nearest keys (N, D) of queries (Q, D) float32, unit rows all, or of
    those keys alone whose rows (M,) are `among`.

    Keys may be float16, which halves the memory that one query goes through. None are copied for a few
    queries of these, else a block at a time.
    """
    rows_at_once = min(_KEY_BLOCK, max(1, _KEY_BYTES // (4 * keys.shape[1])))
    if keys.dtype == torch.float16 and len(asked) <= _FEW:
        best = (torch.empty(len(asked), 0), torch.empty(len(asked), 0, dtype=torch.int64))
        similarities, rows = _better(best, half_products(keys, asked, among), 0, k)
    elif among is None:
        similarities, rows = nearest_in(torch.split(keys, rows_at_once), asked, k=k)
    else:
        blocks = (keys[some] for some in torch.split(among, rows_at_once))
        similarities, rows = nearest_in(blocks, asked, k=k)
    return similarities, rows if among is None else among[rows]


def nearest_in(
    blocks: Iterable[torch.Tensor], asked: torch.Tensor, *, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `nearest`, of keys that come in blocks (n, D); memory holds one of them."""
    parts = torch.split(asked, _QUERY_BLOCK)
    best = [(torch.empty(len(part), 0), torch.empty(len(part), 0, dtype=torch.int64)) for part in parts]
    start = 0
    for keys in blocks if len(asked) <= _FEW else _widened(blocks):
        best = [
            _better(found, _products(part, keys), start, k) for found, part in zip(best, parts, strict=True)
        ]
        start += len(keys)
    similarities, rows = zip(*best, strict=True)
    return torch.cat(similarities), torch.cat(rows)


def _products(asked: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    return half_products(keys, asked) if keys.dtype == torch.float16 else product(asked, keys)


def _widened(blocks: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The same in float32; those of float16 one after another in the same memory, which is found once."""
    memory = torch.empty(0)
    for block in blocks:
        if block.dtype == torch.float32:
            yield block
            continue
        if memory.numel() < block.numel():
            memory = torch.empty(block.numel())
        yield memory[: block.numel()].view(block.shape).copy_(block)


def _better(
    best: tuple[torch.Tensor, torch.Tensor], similarity: torch.Tensor, start: int, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The best (q, <= k) so far and those among keys from row `start`, whose similarities are (q, n)."""
    found, rows = best
    if found.shape[1] < k <= _KEY_BLOCK < similarity.shape[1]:  # these say what the others must be above
        best = _better(best, similarity[:, :_KEY_BLOCK], start, k)
        return _better(best, similarity[:, _KEY_BLOCK:], start + _KEY_BLOCK, k)
    near, where = _nearer(similarity, found[:, -1:]) if found.shape[1] == k else (similarity, None)
    near, choice = near.topk(min(k, near.shape[1]), dim=1)
    where = choice if where is None else where.gather(1, choice)
    joined, joined_rows = torch.cat([found, near], dim=1), torch.cat([rows, where + start], dim=1)
    found, choice = joined.topk(min(k, joined.shape[1]), dim=1)
    return found, joined_rows.gather(1, choice)


def _nearer(similarity: torch.Tensor, least: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(q, m) the similarities (q, n) above `least` (q, 1), -inf where a row has fewer, and their columns.

    After the first blocks they are few: to find these and to sort them alone is several times as fast as to
    look for the k nearest of every block.
    """
    # numpy finds the few that are true of a flat array much faster than of a table, and than torch does.
    found = torch.from_numpy(np.flatnonzero((similarity > least).numpy()))
    query, column = found // similarity.shape[1], found % similarity.shape[1]
    counts = query.bincount(minlength=len(similarity))
    place = torch.arange(len(query)) - (counts.cumsum(0) - counts)[query]
    near = torch.full((len(similarity), int(counts.max())), -torch.inf)
    where = torch.zeros(near.shape, dtype=torch.int64)
    near[query, place], where[query, place] = similarity[query, column], column
    return near, where


def unit_rows(features: Floats) -> torch.Tensor:
    """Rows of length one, float32; a row of zeros stays zero and is equally far from all."""
    return torch.nn.functional.normalize(torch.from_numpy(np.asarray(features, dtype=np.float32)), dim=1)
