"""DINO (Caron et al. 2021): the student matches the averaged teacher's softmax across views of one tile.

Legend: B tiles, V views (2 global first), K prototypes, D width; views are view-major.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from swath.augment.views import Views
from swath.models.head import DINOHead
from swath.models.precision import at_least_float32, computing_in
from swath.models.vit import VisionTransformer
from swath.pretraining.method import Keep, Means, Network, Outcome, move_average
from swath.pretraining.recipe import Recipe
from swath.pretraining.schedule import StepValues

STUDENT_TEMP = 0.1
CENTRE_MOMENTUM = 0.9


class Dino:
    """Student, teacher and centre; keeps the protocol `Method`."""

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

    def forward(self, views: Views, values: StepValues, keep: Keep | None) -> Outcome:
        with torch.no_grad():
            _, teacher_out = computing_in(self.dtype, self.teacher)(global_part(views))
        features, student_out = computing_in(self.dtype, self.student)(views, keep)
        loss, means = dino_loss(student_out, teacher_out, self.centre, teacher_temp=values.teacher_temp)
        means["teacher_out"] = teacher_out.mean(dim=0, keepdim=True)
        return Outcome(loss, means, at_least_float32(features[: len(views.globals_)].detach()))

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


def global_part(views: Views) -> Views:
    """The views that the teacher sees."""
    return Views(views.globals_, views.locals_[:0])


def dino_loss(
    student_out: Tensor, teacher_out: Tensor, centre: Tensor, *, teacher_temp: float
) -> tuple[Tensor, Means]:
    """Mean over the 2 (V - 1) pairs (teacher view i, student view v != i) of the cross-entropy, averaged over
    tiles.

    student_out: (V * B, K) logits before temperature; teacher_out: (2 * B, K); centre: (1, K). Returns the
    loss, in nats, and the means over tiles of the teacher's softmax (K,) and of its entropy.

    In plain loops, with q = softmax((t - centre) / teacher_temp) and p = softmax(s / 0.1):
        for i in (0, 1): for v in range(V): if v != i: loss += -sum_k q_i[k] log p_v[k]
    Written with one log-softmax a view instead of one a pair: both teachers' targets are added up first, and
    the pairs that do not count are taken off again.
    """
    tiles = teacher_out.shape[0] // 2
    targets = F.softmax((teacher_out - centre) / teacher_temp, dim=-1).view(2, tiles, -1)
    log_p = F.log_softmax((student_out / STUDENT_TEMP).view(-1, tiles, student_out.shape[-1]), dim=-1)
    views = log_p.shape[0]
    every_pair = torch.einsum("vbk,bk->", log_p, targets.sum(dim=0))
    same_view = torch.einsum("vbk,vbk->", log_p[:2], targets)
    loss = (same_view - every_pair) / (tiles * 2 * (views - 1))
    with torch.no_grad():
        entropy = torch.special.entr(targets).sum(dim=-1).mean()
    return loss, {"entropy": entropy, "target": targets.mean(dim=(0, 1))}
