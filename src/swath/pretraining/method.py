"""What every way of learning gives the loop. A method is one file with one class that keeps this protocol.

Legend: B tiles a step, views are view-major (all B of view 1, then view 2, ...), D width of the backbone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from swath.augment.views import Views
from swath.models.precision import at_least_float32
from swath.models.vit import VisionTransformer
from swath.pretraining.schedule import StepValues

Means = dict[str, Tensor]
# Drop-path factors of global and of local views (see `drop_path_keep`).
Keep = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Outcome:
    """Of one pass over some tiles: its loss, and whatever else must be known of the batch.

    loss and means (float32 of any shape, without gradient) are means over those tiles, so that parts of a
    batch add up to the whole; what is no mean (an entropy of means) is worked out in `Method.measures`.
    features: of the student's global views (2 * B, D), float32 without gradient.
    """

    loss: Tensor
    means: Means
    features: Tensor


class Network(nn.Module):
    """A backbone and the head that only training needs; checkpoints name them `backbone.*` and `head.*`."""

    def __init__(self, backbone: VisionTransformer, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Features (N, D) of N images of one size, and what the head makes of them (N, K), in float32 at
        least.
        """
        features = self.backbone(images, keep)
        return features, at_least_float32(self.head(features))


def by_size(views: Views, keep: Keep | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Images of one size and their drop path: those of the global views, then of the local ones if any."""
    keep_globals, keep_locals = keep or (None, None)
    yield views.globals_, keep_globals
    if len(views.locals_):
        yield views.locals_, keep_locals


class Method(Protocol):
    """A student that is trained, a teacher that is its average, and the loss between them, which is either
    `Additive` or a `Contrast`. Their passes compute in the format that the recipe says.
    """

    student: Network
    teacher: Network

    def measures(self, loss: Tensor, means: Means) -> dict[str, Tensor]:
        """What to log besides the loss (float32 scalars), from loss and means over a whole batch."""
        ...

    def commit(self, means: Means, values: StepValues) -> None:
        """After the student's step: move the teacher (and whatever else follows it)."""
        ...

    def extra_state(self) -> dict[str, Tensor]:
        """Tensors beyond student and teacher that a checkpoint must hold; changed in place when loading."""
        ...


@runtime_checkable
class Additive(Protocol):
    """What a `Method` has besides whose loss is a mean over tiles."""

    def learn(
        self, views: Views, values: StepValues, keep: Keep | None, take_back: Callable[[Tensor], None]
    ) -> Outcome:
        """Give the loss of some tiles to `take_back`, which adds its gradient to the student's: in addends,
        each as soon as it is known, so that what one needs is not held beside the next. Changes nothing else.
        """
        ...


@runtime_checkable
class Contrast(Protocol):
    """What a `Method` has besides whose loss compares tiles, so that it cannot be added up from parts."""

    def project(self, views: Views, keep: Keep | None) -> tuple[Tensor, Tensor]:
        """What the loss compares, (B, V, P), tile by tile; and the features (2 * B, D)."""
        ...

    def contrast(self, projected: Tensor, features: Tensor) -> Outcome:
        """Loss of all tiles of a step (B, V, P); the features are passed on."""
        ...


@torch.no_grad()
def move_average(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Teacher = momentum * teacher + (1 - momentum) * student, for every parameter."""
    torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1.0 - momentum)
