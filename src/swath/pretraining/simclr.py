"""SimCLR (Chen et al. 2020): views of one tile are nearer to each other than to views of any other tile.

Beside the two global views, local ones find their tile among the global ones, which gains 2 to 3 points at
equal cost (docs/results/recipe.md). It learns several times faster than DINO in the first minutes of a small
archive, so the recipe may choose it there. Legend: B tiles, V views a tile, D width, P projection.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from swath.augment.views import Views
from swath.models.head import ProjectionHead
from swath.models.precision import at_least_float32, computing_in
from swath.models.vit import VisionTransformer
from swath.pretraining.method import Keep, Means, Network, Outcome, by_size, move_average
from swath.pretraining.recipe import Recipe
from swath.pretraining.schedule import StepValues

TEMPERATURE = 0.2


class SimClr:
    """A student trained by contrast; its average is the teacher, so that features are taken from one place in
    every run.
    """

    def __init__(self, backbone: VisionTransformer, recipe: Recipe, *, generator: torch.Generator) -> None:
        head = ProjectionHead(backbone.shape.width, 256, hidden=recipe.head_hidden, generator=generator)
        self.dtype: torch.dtype = getattr(torch, recipe.precision)
        self.student = Network(backbone, head)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    def project(self, views: Views, keep: Keep | None) -> tuple[Tensor, Tensor]:
        """(B, V, P) of the two global views of each tile and then its local ones; features (2 * B, D) of the
        global ones.
        """
        student = computing_in(self.dtype, self.student)
        passed = [student(images, factors) for images, factors in by_size(views, keep)]
        features, _ = passed[0]
        projected = torch.cat([out for _, out in passed])  # (V * B, P)
        by_tile = projected.view(-1, len(features) // 2, projected.shape[1]).transpose(0, 1)
        return by_tile, at_least_float32(features)

    def contrast(self, projected: Tensor, features: Tensor) -> Outcome:
        by_view = projected.transpose(0, 1)  # (V, B, P)
        loss, hit_rate = contrastive_loss(by_view[:2].flatten(0, 1), temperature=TEMPERATURE)
        if len(by_view) > 2:
            loss = (loss + local_loss(by_view[2:], by_view[:2], temperature=TEMPERATURE)) / 2
        return Outcome(loss, {"hit_rate": hit_rate}, features.detach())

    def measures(self, loss: Tensor, means: Means) -> dict[str, Tensor]:  # noqa: ARG002 -- the loss has no parts
        """How often the partner is found."""
        return {"hit_rate": means["hit_rate"]}

    def commit(self, means: Means, values: StepValues) -> None:  # noqa: ARG002 -- the teacher follows the student alone
        move_average(self.teacher, self.student, values.momentum)

    def extra_state(self) -> dict[str, Tensor]:
        return {}


def contrastive_loss(projected: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
    """NT-Xent of unit vectors (2 * B, P), row b and row B + b being views of one tile.

    For each row: cross-entropy of picking its partner among the 2B - 1 other rows by similarity /
    temperature. Returns the mean and the share of rows whose nearest other row is the partner.
    """
    rows = projected.shape[0]
    similarity = projected @ projected.T / temperature
    similarity = similarity.masked_fill(
        torch.eye(rows, dtype=torch.bool, device=projected.device), float("-inf")
    )
    partner = (torch.arange(rows, device=projected.device) + rows // 2) % rows
    with torch.no_grad():
        hit_rate = (similarity.argmax(dim=1) == partner).float().mean()
    return F.cross_entropy(similarity, partner), hit_rate


def local_loss(locals_: Tensor, globals_: Tensor, *, temperature: float) -> Tensor:
    """Each local view (n, B, P) finds its tile among the B views of either global kind (2, B, P).

    Mean cross-entropy over all n * 2 * B pairs, as the multi-crop of SwAV and DINO does with prototypes.
    """
    similarity = torch.einsum("nbp,gcp->ngbc", locals_, globals_) / temperature
    tiles = torch.arange(locals_.shape[1], device=locals_.device).repeat(2 * len(locals_))
    return F.cross_entropy(similarity.flatten(0, 2), tiles)
