"""DINO (Caron et al. 2021): the student matches the averaged teacher's softmax across views of one tile.

Legend: B tiles, V views (2 global first), K prototypes, D width; views are view-major.
"""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from swath.augment.views import Views
from swath.models.head import DINOHead
from swath.models.precision import at_least_float32, computing_in
from swath.models.vit import VisionTransformer
from swath.pretraining.method import Keep, Means, Network, Outcome, by_size, move_average
from swath.pretraining.recipe import Recipe
from swath.pretraining.schedule import StepValues

STUDENT_TEMP = 0.1
CENTRE_MOMENTUM = 0.9


class Dino:
    """Student, teacher and centre; keeps the protocols `Method` and `Additive`."""

    def __init__(self, backbone: VisionTransformer, recipe: Recipe, *, generator: torch.Generator) -> None:
        head = DINOHead(
            backbone.shape.width,
            recipe.out_dim,
            hidden=recipe.head_hidden,
            norm_last_layer=recipe.norm_last_layer,
            generator=generator,
        )
        self.dtype: torch.dtype = getattr(torch, recipe.precision)
        self.student = Network(backbone, head)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.centre = torch.zeros(1, recipe.out_dim, device=backbone.cls_token.device)

    def learn(
        self, views: Views, values: StepValues, keep: Keep | None, take_back: Callable[[Tensor], None]
    ) -> Outcome:
        with torch.no_grad():
            _, teacher_out = computing_in(self.dtype, self.teacher)(views.globals_)
            targets, means = dino_targets(teacher_out, self.centre, teacher_temp=values.teacher_temp)
        student = computing_in(self.dtype, self.student)
        features, losses = [], []
        for (images, factors), wanted in zip(by_size(views, keep), wanted_by_size(targets), strict=False):
            seen, student_out = student(images, factors)
            loss = dino_loss(student_out, wanted, pairs=pairs_of(views))
            take_back(loss)
            features.append(at_least_float32(seen.detach()))
            losses.append(loss.detach())
        return Outcome(torch.stack(losses).sum(), means, features[0])

    def measures(self, loss: Tensor, means: Means) -> dict[str, Tensor]:
        """Teacher entropy and KL divergence (their sum is the loss), and prototypes in use."""
        return {
            "entropy": means["entropy"],
            "kl": loss - means["entropy"],
            "prototypes": torch.special.entr(means["target"]).sum().exp(),
        }

    @torch.no_grad()
    def commit(self, means: Means, values: StepValues) -> None:
        move_average(self.teacher, self.student, values.momentum)
        self.centre.mul_(CENTRE_MOMENTUM).add_(means["teacher_out"], alpha=1 - CENTRE_MOMENTUM)

    def extra_state(self) -> dict[str, Tensor]:
        return {"centre": self.centre}


def pairs_of(views: Views) -> int:
    """Pairs of a teacher's and another student's view of one tile: 2 (V - 1)."""
    return 2 * (1 + len(views.locals_) // (len(views.globals_) // 2))


def dino_targets(teacher_out: Tensor, centre: Tensor, *, teacher_temp: float) -> tuple[Tensor, Means]:
    """What the teacher wants: its softmax after centring and sharpening, (2 * B, K) logits -> (2, B, K).

    centre: (1, K). Also the means over tiles of that softmax (K,), of its entropy, and of the logits (1, K).
    """
    targets = F.softmax((teacher_out - centre) / teacher_temp, dim=-1)
    means = {
        "entropy": torch.special.entr(targets).sum(dim=-1).mean(),
        "target": targets.mean(dim=0),
        "teacher_out": teacher_out.mean(dim=0, keepdim=True),
    }
    return targets.view(2, -1, targets.shape[1]), means


def wanted_by_size(targets: Tensor) -> tuple[Tensor, Tensor]:
    """The targets (2, B, K) that student views learn, added up: of global views (2, B, K) that of the other
    one, of each local view (1, B, K) both.
    """
    return targets.flip(0), targets.sum(dim=0, keepdim=True)


def dino_loss(student_out: Tensor, wanted: Tensor, *, pairs: int) -> Tensor:
    """Cross-entropy in nats of n views of B tiles, (n * B, K) logits before temperature, an addend of the
    loss: that is the mean over the `pairs` of a tile and over tiles. wanted: (n or 1, B, K).

    In plain loops, with q = softmax((t - centre) / teacher_temp) and p = softmax(s / 0.1):
        for i in (0, 1): for v in range(V): if v != i: loss += -sum_k q_i[k] log p_v[k]
    Written with one log-softmax a view instead of one a pair: what both teachers want is added up first.
    """
    _, tiles, prototypes = wanted.shape
    log_p = F.log_softmax(student_out / STUDENT_TEMP, dim=-1).view(-1, tiles, prototypes)
    return -(log_p * wanted).sum() / (tiles * pairs)
