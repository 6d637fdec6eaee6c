"""The linear probe: L2-regularised logistic regression on frozen features, solved to convergence.

The objective is scikit-learn's LogisticRegression(C) on standardised features: C x (sum of the losses) +
|w|^2 / 2, biases free. One softmax over the classes (task "class") or one sigmoid a class (task
"multilabel"), all classes in one L-BFGS. Plain L-BFGS needs hundreds of steps where features are correlated,
as a network's are. So features are turned to their principal axes once, and every weight is measured in units
of its expected curvature, which depends on axis, class and strength: tens of steps are enough, and the
optimum is the same. Legend: N tiles, D features, K classes.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special
import torch
from threadpoolctl import ThreadpoolController

from swath.errors import DataError
from swath.products import product
from swath.scores.inputs import Floats, Labels, check_contrast, check_finite, check_rows

Task = Literal["multilabel", "class"]
Array = npt.NDArray[np.float64]

# Largest component of the gradient of the mean loss, in the units of `_Regression.solve`. Measured against
# 1e-9 on 128 correlated features, strengths 1e-3 to 10: 1e-6 moves AP by at most 1e-4, 1e-5 by 7e-4. Choosing
# at 1e-4 takes a third of the time of 1e-5, and chose the same strength on EuroSAT and on the demo.
EXACT, FOR_CHOOSING = 1e-6, 1e-4
_MOST_STEPS = 5000
# Up to this many numbers (512 MiB in float64) are multiplied by one thread: on two cores that is faster than
# two threads (5 ms a product, not 8, of 13,333 x 256 by 10), and on two busy cores much faster (not 12 to
# 150 ms).
_LARGE = 2**26
# Tiles at a time in float32: gradients of more are too coarse to converge. Of 40,000 x 384 with 19 labels at
# strength 0.01, a fit with 512 ends after 12 losses, as in float64; with 4096 after 97, where nothing helps.
_BLOCK = 512
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LogisticProbe:
    """Decision values are (features - mean) / std @ weights + bias; `strength` is scikit-learn's C."""

    weights: Array  # (D, K)
    bias: Array  # (K,)
    mean: Array  # (D,)
    std: Array  # (D,)
    strength: float
    task: Task

    def decisions(self, features: Floats) -> Array:
        """(N, K) decision values: logits of the sigmoids or of the softmax."""
        check_finite(features, what="features")
        if features.shape[1] != len(self.mean):
            raise DataError(
                f"features have {features.shape[1]} numbers, the probe was fitted on {len(self.mean)}."
            )
        scaled = self.weights / self.std[:, None]
        return features.astype(np.float64, copy=False) @ scaled + (self.bias - self.mean @ scaled)

    def scores(self, features: Floats) -> Array:
        """(N, K) numbers to rank tiles by: log-probabilities of the softmax, or logits of the sigmoids."""
        decisions = self.decisions(features)
        if self.task == "multilabel":
            return decisions
        return np.asarray(decisions - scipy.special.logsumexp(decisions, axis=1, keepdims=True))


def fit_logistic(features: Floats, labels: Labels, *, strength: float, task: Task) -> LogisticProbe:
    """Fit on features (N, D) and 0/1 labels (N, K); for task "class" a row has exactly one 1.

    A class that is on all tiles or on none cannot be learned: its weights are zero, its bias the smoothed log
    odds.

    Raises:
        DataError: features are not finite, shapes differ, or all tiles have the same labels.
    """
    return next(fit_path(features, labels, strengths=(strength,), task=task, tolerance=EXACT))


def fit_path(
    features: Floats, labels: Labels, *, strengths: Sequence[float], task: Task, tolerance: float
) -> Iterator[LogisticProbe]:
    """Fit one strength after another, each starting from the one before; the axes are found once."""
    check_rows(features, labels, what="features")
    check_finite(features, what="features")
    check_contrast(labels, what="labels")
    if task == "class" and not (labels.astype(np.int64).sum(axis=1) == 1).all():
        raise DataError('task "class" needs exactly one class a tile; found tiles with none or several.')
    large = features.size > _LARGE
    regression = _Regression(features, labels, task, coarse=large or tolerance >= FOR_CHOOSING)
    start: Array | None = None
    for strength in strengths:
        start = regression.solve(strength, start, tolerance=tolerance)
        yield regression.probe(start, strength)


@cache
def _libraries() -> ThreadpoolController:
    """Those that multiply, looked up once: that takes 2 ms, as long as a few steps on 1,000 tiles."""
    return ThreadpoolController()


class _Regression:
    """One training set on its principal axes. Parameters are (D + 1, K): weights on the axes, then biases."""

    def __init__(self, features: Floats, labels: Labels, task: Task, *, coarse: bool) -> None:
        """`coarse`: products in float32, enough for choosing: 7 ms a loss, not 16 (13,839 x 512 by 10)."""
        self.task: Task = task
        self.coarse = coarse
        self.mean = features.mean(axis=0, dtype=np.float64)
        std = features.std(axis=0, dtype=np.float64)
        self.std = np.where(std > 0, std, 1.0)
        self.large = features.size > _LARGE
        dtype = np.float32 if coarse else np.float64
        standard = ((features - self.mean.astype(features.dtype)) / self.std.astype(features.dtype)).astype(
            dtype, copy=False
        )
        self.spread, self.axes = np.linalg.eigh((standard.T @ standard).astype(np.float64) / len(standard))
        self.turned = standard @ self.axes.astype(dtype)  # (N, D)
        count = labels.astype(np.float64).sum(axis=0)
        self.learnable = (count > 0) & (count < len(labels))
        self.labels = np.ascontiguousarray(labels[:, self.learnable].T, dtype=dtype)  # (K, N)
        self.log_odds = np.log(count + 0.5) - np.log(len(labels) - count + 0.5)  # (K,)

    def solve(self, strength: float, start: Array | None, *, tolerance: float) -> Array:
        """Parameters (D + 1, learnable classes) at the optimum; `start`: that of another strength."""
        decay = np.full((len(self.spread) + 1, 1), 1.0 / (strength * self.labels.shape[1]))
        decay[-1] = 0.0  # biases are free
        unit = 1.0 / np.sqrt(self._curvature() + decay)
        if start is None:
            start = np.zeros(unit.shape)
            start[-1] = self.log_odds[self.learnable]

        def objective(flat: Array) -> tuple[float, Array]:
            parameters = flat.reshape(unit.shape) * unit
            loss, gradient = self._loss(parameters)
            loss += 0.5 * float((decay * parameters**2).sum())
            return loss, ((gradient + decay * parameters) * unit).ravel()

        options = {
            "maxiter": _MOST_STEPS,
            "maxfun": 2 * _MOST_STEPS,
            "ftol": 1e-12 if self.coarse else 0.0,  # below it float32 products are noise
            "gtol": tolerance,
            "maxcor": 20,
        }
        with _libraries().limit(limits=None if self.large else 1):
            found = scipy.optimize.minimize(
                objective, (start / unit).ravel(), jac=True, method="L-BFGS-B", options=options
            )
        _log.debug("strength %g: %d evaluations, %s", strength, found.nfev, found.message)
        return np.asarray(found.x.reshape(unit.shape) * unit)

    def _curvature(self) -> Array:
        """(D + 1, K) expected curvature of the mean loss: spread of the axis (bias: 1) x p (1 - p)."""
        prevalence = self.labels.mean(axis=1, dtype=np.float64)
        spread = np.append(np.maximum(self.spread, 0.0), 1.0)
        return np.outer(spread, prevalence * (1 - prevalence))

    def probe(self, parameters: Array, strength: float) -> LogisticProbe:
        """Back from the axes to the features, with the classes that could not be learned."""
        weights, bias = np.zeros((len(self.mean), len(self.learnable))), self.log_odds.copy()
        if self.task == "class":
            # A softmax does not see what is added to all classes; at the optimum their mean is zero.
            parameters = parameters - parameters.mean(axis=1, keepdims=True)
            bias[:] = parameters[-1].min() - np.log(2 * self.labels.shape[1])  # never seen: below the others
        weights[:, self.learnable] = self.axes @ parameters[:-1]
        bias[self.learnable] = parameters[-1]
        return LogisticProbe(weights, bias, self.mean, self.std, strength, self.task)

    def _loss(self, parameters: Array) -> tuple[float, Array]:
        """Mean loss a tile and its gradient (D + 1, K)."""
        if self.coarse:
            return self._loss_in_float32(parameters)
        logits = parameters[:-1].T @ self.turned.T + parameters[-1][:, None]  # (K, N)
        if self.task == "class":
            logits -= logits.max(axis=0)
            odds = np.exp(logits)
            total = odds.sum(axis=0)
            loss = np.log(total).sum() - (logits * self.labels).sum()
            residual = odds / total - self.labels
        else:
            loss = np.logaddexp(0.0, logits).sum() - (logits * self.labels).sum()
            residual = scipy.special.expit(logits) - self.labels
        gradient = np.empty_like(parameters)
        gradient[:-1] = (residual @ self.turned).T
        gradient[-1] = residual.sum(axis=1)
        count = self.labels.shape[1]
        return float(loss) / count, gradient / count

    def _loss_in_float32(self, parameters: Array) -> tuple[float, Array]:
        """The same with products in float32, the tiles read once: what a block needs stays in the cache.

        Losses in float32 too would be too coarse to converge: the line search would find no way down.
        """
        weights = torch.from_numpy(np.ascontiguousarray(parameters[:-1].T, dtype=np.float32))  # (K, D)
        bias = torch.from_numpy(parameters[-1].astype(np.float32))[:, None]
        gradient = torch.zeros(parameters.T.shape, dtype=torch.float64)  # (K, D + 1)
        loss, turned, labels = 0.0, torch.from_numpy(self.turned), torch.from_numpy(self.labels)
        for start in range(0, len(turned), _BLOCK):
            block, truth = turned[start : start + _BLOCK], labels[:, start : start + _BLOCK]
            logits = product(weights, block) + bias  # (K, n)
            exact = logits.double()
            if self.task == "class":
                losses, residual = exact.logsumexp(dim=0), logits.softmax(dim=0)
            else:
                losses, residual = torch.nn.functional.softplus(exact), logits.sigmoid()
            loss += float(losses.sum() - (exact * truth).sum())
            residual -= truth
            gradient[:, :-1] += product(residual, block.T)
            gradient[:, -1] += residual.sum(dim=1)
        return loss / len(turned), gradient.T.numpy() / len(turned)
