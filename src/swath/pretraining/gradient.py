"""The gradient of a whole batch, put together from parts: micro-batches in turn, shares of several ranks.

Legend: B tiles a step over all ranks, b tiles of this rank, P projection; views are view-major.
"""

import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from swath.augment.views import Views
from swath.data.loader import Batch
from swath.errors import MachineError, is_out_of_memory
from swath.models.precision import at_least_float32
from swath.pretraining.method import Additive, Contrast, Keep, Method, Outcome
from swath.pretraining.schedule import StepValues
from swath.runtime import faults
from swath.runtime.ranks import Ranks

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """Tiles that go through the networks together: their number, their views, their drop-path masks."""

    tiles: int
    views: Views
    keep: Keep | None


@dataclass(frozen=True)
class Step:
    """A batch, the scheduled values of its step, and how its views are made."""

    batch: Batch
    values: StepValues
    make: Callable[[Batch], Part]
    spoilt: float = 1.0  # a factor on the loss, for faults on purpose

    def parts(self, tiles: int) -> Iterator[Part]:
        for part in self.batch.parts(tiles):
            faults.fire("part", len(part.rows))
            yield self.make(part)


class BatchGradient:
    """Leaves this rank's share of the gradient in `student.grad` and returns its share of the means.

    Summed over the ranks both are those of one pass over all B tiles, up to rounding, however many parts and
    ranks there are: a loss that is a mean over tiles adds up; one that compares tiles (`Contrast`) is taken
    of the projections of all of them, and its gradient is carried back part by part (GradCache: Gao et al.
    2021, arXiv 2101.06983).

    `micro_batch` is the most tiles that go through the networks at once. Where memory runs out it is halved
    and the part is done again.
    """

    def __init__(self, method: Method, ranks: Ranks, *, micro_batch: int) -> None:
        self.method = method
        self.ranks = ranks
        self.micro_batch = micro_batch

    def __call__(self, step: Step) -> Outcome:
        """Loss and means count by this rank's share of the batch; features are those of its tiles.

        Raises:
            MachineError: out of memory with a single tile.
            LostRankError: another rank has ended.
        """
        if isinstance(self.method, Contrast):
            return self._across_tiles(self.method, step)
        method = self.method
        assert isinstance(method, Additive)
        return self._fitting(lambda size: self._tile_by_tile(method, step, size))

    def _tile_by_tile(self, method: Additive, step: Step, size: int) -> Outcome:
        self.method.student.zero_grad(set_to_none=True)
        shares = []
        for part in step.parts(size):
            share = part.tiles / step.batch.of
            take_back = functools.partial(_take_back, scale=share * step.spoilt)
            outcome = method.learn(part.views, step.values, part.keep, take_back)
            shares.append(_share(outcome, share, step.spoilt))
        return _sum(shares)

    def _across_tiles(self, method: Contrast, step: Step) -> Outcome:
        """Every rank takes the same loss of the projections of all B tiles; each carries back its own."""
        own, features, graph = self._fitting(lambda size: self._project(method, step, size))
        projected = self.ranks.gather(own, step.batch.of).requires_grad_()
        outcome = method.contrast(projected, features)
        (gradient,) = torch.autograd.grad(outcome.loss * step.spoilt, projected)
        gradient = gradient[self.ranks.share(step.batch.of)]
        self._fitting(lambda size: self._carry_back(method, step, graph, gradient, size))
        return _share(outcome, len(own) / step.batch.of, step.spoilt)

    def _project(self, method: Contrast, step: Step, size: int) -> tuple[Tensor, Tensor, list[Tensor]]:
        """(b, V, P) and features of this rank's tiles; and the first with its graph, if all fit at once."""
        at_once = size >= len(step.batch.rows)
        rows: list[Tensor] = []
        features: list[Tensor] = []
        with torch.set_grad_enabled(at_once):
            for part in step.parts(size):
                projected, seen = method.project(part.views, part.keep)
                rows.append(projected)
                features.append(seen.detach())
        return torch.cat(rows).detach(), torch.cat(features), rows if at_once else []

    def _carry_back(
        self, method: Contrast, step: Step, graph: list[Tensor], gradient: Tensor, size: int
    ) -> None:
        """From the gradient (b, V, P) of the projections to that of the student."""
        self.method.student.zero_grad(set_to_none=True)
        if graph:  # taken out: should memory run out in it, the next try finds none and goes by parts
            torch.autograd.backward(graph.pop(), gradient)
            return
        for part, rows in zip(step.parts(size), torch.split(gradient, size), strict=True):
            projected, _ = method.project(part.views, part.keep)
            torch.autograd.backward(projected, rows)

    def _fitting(self, run: Callable[[int], T]) -> T:
        """Run with the size of a part; where memory runs out, again with half of it."""
        while True:
            try:
                return run(self.micro_batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.micro_batch == 1:
                    raise MachineError(
                        "out of memory with one tile at a time; use a smaller --model, --global-px or "
                        "--local-views"
                    ) from error
            # Here and not in the handler, where the error still holds what the failed pass had made.
            self._halve()

    def _halve(self) -> None:
        before, self.micro_batch = self.micro_batch, self.micro_batch // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        log.warning(
            f"out of memory: {before} -> {self.micro_batch} tiles at a time from here on; batch, learning "
            "rate and loss stay as they are"
        )


def _take_back(loss: Tensor, *, scale: float) -> None:
    torch.autograd.backward(loss * scale)


def _share(outcome: Outcome, share: float, spoilt: float) -> Outcome:
    """The outcome of some tiles as an addend of the whole batch's."""
    means = {name: at_least_float32(value) * share for name, value in outcome.means.items()}
    return Outcome(outcome.loss.detach() * (share * spoilt), means, outcome.features)


def _sum(shares: list[Outcome]) -> Outcome:
    means = {name: torch.stack([share.means[name] for share in shares]).sum(0) for name in shares[0].means}
    loss = torch.stack([share.loss for share in shares]).sum()
    return Outcome(loss, means, torch.cat([share.features for share in shares]))
