"""Weighted nearest neighbours on frozen features, single-label and multi-label.

As DINO measures it (Caron et al. 2021, arXiv 2104.14294, appendix F; facebookresearch/dino: eval_knn.py).
Legend: N train tiles, Q queries, D features, K classes.
"""

import numpy as np
import numpy.typing as npt
import torch

from swath.errors import DataError
from swath.scores.inputs import Floats, Labels, check_finite, check_rows

_DECIMALS = 6  # float32 similarities say nothing below: equal votes would be ranked by chance
_QUERY_BLOCK, _TRAIN_BLOCK = 1024, 16_384  # 64 MiB of similarities at a time


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
    keys, asked = _unit_rows(train), _unit_rows(queries)
    votes = np.empty((len(queries), labels.shape[1]), dtype=np.float64)
    similarities, rows = nearest(keys, asked, k=min(k, len(train)))
    for start in range(0, len(queries), _QUERY_BLOCK):
        block = slice(start, start + _QUERY_BLOCK)
        similarity, neighbours = similarities[block], rows[block]
        weights = torch.softmax(similarity.double() / temperature, dim=1).numpy()  # (q, k)
        votes[block] = np.einsum("qk,qkc->qc", weights, labels[neighbours.numpy()])
    return votes.round(_DECIMALS)


def nearest(keys: torch.Tensor, asked: torch.Tensor, *, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Similarities and rows (Q, k) of the nearest keys (N, D) of unit rows (Q, D); memory holds one block."""
    found = [_nearest_of(keys, block, k) for block in torch.split(asked, _QUERY_BLOCK)]
    similarities, rows = zip(*found, strict=True)
    return torch.cat(similarities), torch.cat(rows)


def _nearest_of(keys: torch.Tensor, asked: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of one block of queries (q, D), merged over blocks of keys."""
    best = torch.empty(len(asked), 0)
    rows = torch.empty(len(asked), 0, dtype=torch.int64)
    for start in range(0, len(keys), _TRAIN_BLOCK):
        similarity = asked @ keys[start : start + _TRAIN_BLOCK].T  # (q, n)
        near, where = similarity.topk(min(k, similarity.shape[1]), dim=1)
        joined, joined_rows = torch.cat([best, near], dim=1), torch.cat([rows, where + start], dim=1)
        best, choice = joined.topk(min(k, joined.shape[1]), dim=1)
        rows = joined_rows.gather(1, choice)
    return best, rows


def _unit_rows(features: Floats) -> torch.Tensor:
    """Rows of length one, float32; a row of zeros stays zero and is equally far from all."""
    return torch.nn.functional.normalize(torch.from_numpy(np.asarray(features, dtype=np.float32)), dim=1)
