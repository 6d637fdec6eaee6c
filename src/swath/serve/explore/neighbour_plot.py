"""A plot in which tiles that are near in the space of features stay near, as UMAP lays it out.

McInnes et al. 2018 (arXiv 1802.03426): edges to the k nearest neighbours with fuzzy weights pull, random
pairs push; started from the principal components. Up to LANDMARKS tiles are laid out like that; the others of
a large archive are put among their nearest landmarks. Legend: N tiles, D features, M landmarks, E edges.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from swath.scores.knn import nearest

LANDMARKS = 20_000
_NEIGHBOURS = 15
_ROUNDS = 200
_PUSHES = 5  # random pairs for each edge that pulls
_A, _B = 1.577, 0.895  # of the curve 1 / (1 + a d^(2b)) for UMAP's min_dist 0.1
_NEAR_ZERO = 1e-3
_FURTHEST = 4.0  # most that one pull or push may move a tile
_SPAN = 10.0  # width of the plot at the start, as UMAP's
_AMONG = 4  # landmarks that a further tile is put among

Plot = npt.NDArray[np.float32]


def neighbour_plot(features: npt.NDArray[np.float32], start: Plot, *, seed: int = 0) -> Plot:
    """(N, 2) from unit rows (N, D) and a first plot (N, 2), the same for the same seed."""
    order = np.random.default_rng(seed).permutation(len(features))
    chosen = np.sort(order[:LANDMARKS])
    keys = torch.from_numpy(features[chosen])
    with threadpool_limits(1):  # many small products: on a busy machine two threads took 15 times as long
        placed = _laid_out(keys, torch.from_numpy(start[chosen]), torch.Generator().manual_seed(seed))
    plot = np.empty((len(features), 2), dtype=np.float32)
    plot[chosen] = placed.numpy()
    rest = np.sort(order[LANDMARKS:])
    if len(rest):
        plot[rest] = _among(torch.from_numpy(features[rest]), keys, placed).numpy()
    return plot


def _laid_out(keys: Tensor, start: Tensor, generator: torch.Generator) -> Tensor:
    """(M, 2) of the landmarks (M, D)."""
    if len(keys) <= 2:
        return start.clone()
    heads, tails, weights = _edges(keys)
    plot = (start - start.mean(dim=0)) / start.std(dim=0).max().clamp(min=1e-12) * (_SPAN / 4)
    for number in range(_ROUNDS):
        step = 1.0 - number / _ROUNDS
        drawn = torch.rand(len(weights), generator=generator) < weights
        taken = drawn.nonzero()[:, 0]
        taken = taken[torch.randperm(len(taken), generator=generator)]
        for part in torch.split(taken, max(1, len(keys) // 2)):  # few tiles move twice in one part
            _move(plot, heads[part], tails[part], step, generator)
    return plot


def _move(plot: Tensor, heads: Tensor, tails: Tensor, step: float, generator: torch.Generator) -> None:
    """One pull along each edge and a few pushes of its head; `plot` (M, 2) is changed."""
    apart = plot[heads] - plot[tails]
    square = apart.square().sum(dim=1, keepdim=True)
    pull = -2 * _A * _B * square.clamp(min=1e-12) ** (_B - 1) / (1 + _A * square**_B)
    pulled = (pull * apart).clamp(-_FURTHEST, _FURTHEST) * step
    others = torch.randint(len(plot), (len(heads), _PUSHES), generator=generator)
    away = plot[heads][:, None] - plot[others]  # (E, pushes, 2)
    square = away.square().sum(dim=2, keepdim=True)
    push = 2 * _B / ((_NEAR_ZERO + square) * (1 + _A * square**_B))
    pushed = (push * away).clamp(-_FURTHEST, _FURTHEST).sum(dim=1) * step
    plot.index_add_(0, heads, pulled + pushed)
    plot.index_add_(0, tails, -pulled)


def _edges(keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Heads, tails and weights in (0, 1] (E,) of the fuzzy graph of neighbours, each pair once."""
    count = min(_NEIGHBOURS, len(keys) - 1)
    similarity, rows = nearest(keys, keys, k=count + 1)
    heads = torch.arange(len(keys))[:, None].expand(-1, count + 1)
    is_other = rows != heads
    is_other[is_other.all(dim=1), -1] = False  # among copies of a tile it need not be its own nearest
    rows = rows[is_other].reshape(len(keys), count)
    distance = (1 - similarity[is_other].reshape(len(keys), count)).clamp(min=0)
    weights = _fuzzy(distance)
    first = torch.minimum(heads[:, :count], rows).flatten()
    second = torch.maximum(heads[:, :count], rows).flatten()
    pairs, place = torch.unique(first * len(keys) + second, return_inverse=True)
    unlike = torch.zeros(len(pairs)).index_add_(0, place, torch.log1p(-weights.flatten().clamp(max=0.9999)))
    return pairs // len(keys), pairs % len(keys), 1 - unlike.exp()  # one or the other: 1 - (1 - p)(1 - q)


def _fuzzy(distance: Tensor) -> Tensor:
    """(M, k) exp(-(d - nearest) / width), the width such that a row sums to log2(k), by bisection."""
    beyond = distance - distance[:, :1]
    target = math.log2(max(2, distance.shape[1]))
    low, high = torch.zeros(len(distance), 1), torch.full((len(distance), 1), float(distance.max()) + 1.0)
    for _ in range(32):
        width = (low + high) / 2
        is_wide = torch.exp(-beyond / width).sum(dim=1, keepdim=True) > target
        low, high = torch.where(is_wide, low, width), torch.where(is_wide, width, high)
    return torch.exp(-beyond / ((low + high) / 2).clamp(min=1e-12))


def _among(features: Tensor, keys: Tensor, placed: Tensor) -> Tensor:
    """(n, 2) means of the places of the nearest landmarks, the nearer the heavier."""
    similarity, rows = nearest(keys, features, k=min(_AMONG, len(keys)))
    distance = 1 - similarity
    weights = torch.softmax(-distance / distance.mean(dim=1, keepdim=True).clamp(min=1e-12) * 4, dim=1)
    return torch.einsum("nk,nkc->nc", weights, placed[rows])
