"""What every way of learning gives the loop. A method is one file with one class that keeps this protocol.

Legend: B tiles a step, views are view-major (all B of view 1, then view 2, ...), D width of the backbone.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from swath.augment.views import Views
from swath.models.vit import VisionTransformer
from swath.pretraining.schedule import StepValues


@dataclass(frozen=True)
class Outcome:
    """One forward pass: the loss to minimise, what to log (float32 scalars), what `commit` will need if the
    step is taken, and the student's features of the global views (2 * B, D), without a gradient.
    """

    loss: Tensor
    metrics: dict[str, Tensor]
    pending: dict[str, Tensor]
    features: Tensor


class Network(nn.Module):
    """A backbone and the head that only training needs; checkpoints name them `backbone.*` and `head.*`."""

    def __init__(self, backbone: VisionTransformer, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head


class Method(Protocol):
    """A student that is trained, a teacher that is its average, and the loss between them."""

    student: Network
    teacher: Network

    def forward(self, views: Views, values: StepValues, keep: tuple[Tensor, Tensor] | None) -> Outcome:
        """Loss of one batch; changes nothing. `keep` is the drop-path mask of global and of local views."""
        ...

    def commit(self, outcome: Outcome, values: StepValues) -> None:
        """After the student's step: move the teacher (and whatever else follows it)."""
        ...

    def extra_state(self) -> dict[str, Tensor]:
        """Tensors beyond student and teacher that a checkpoint must hold; changed in place when loading."""
        ...


@torch.no_grad()
def move_average(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Teacher = momentum * teacher + (1 - momentum) * student, for every parameter."""
    torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1.0 - momentum)
