"""One update: views, loss, gradient, then student, teacher and centre together or not at all.

Legend: B tiles a step, C bands, V views; images (B, C, H, W).
"""

import math
from dataclasses import replace

import numpy as np
import torch

from swath.augment.views import Views, make_views, policy_of
from swath.data.bands import TileFormat
from swath.data.loader import Batch
from swath.data.normalize import standardize, to_unit
from swath.draws import uniforms
from swath.models.vit import VisionTransformer, ViTShape, drop_path_keep, shape_of
from swath.pretraining.dino import Dino
from swath.pretraining.gradient import BatchGradient, Part, Step
from swath.pretraining.health import feature_health
from swath.pretraining.method import Keep, Method, Outcome
from swath.pretraining.optimizer import build_optimizer, clip_each, set_rates
from swath.pretraining.recipe import Recipe
from swath.pretraining.schedule import StepValues, values_at
from swath.pretraining.simclr import SimClr
from swath.runtime import faults
from swath.runtime.device import choose_compiling
from swath.runtime.ranks import Ranks

METHODS: dict[str, type[Dino] | type[SimClr]] = {"dino": Dino, "simclr": SimClr}


class Trainer:
    """A method, its optimizer and the tiles' format on one device; `step` is the whole mathematics of
    training.
    """

    def __init__(
        self, recipe: Recipe, tile_format: TileFormat, *, ranks: Ranks, micro_batch: int | None = None
    ) -> None:
        """`micro_batch`: tiles that go through the networks at once; this rank's whole share where None."""
        generator = torch.Generator().manual_seed(recipe.seed)
        backbone = VisionTransformer(vit_shape(recipe, len(tile_format.bands)), generator=generator)
        device = ranks.device
        self.recipe = recipe
        self.tile_format = tile_format
        self.ranks = ranks
        self.device = device
        self.policy = policy_of(recipe.model_dump())
        self.method: Method = METHODS[recipe.method](backbone.to(device), recipe, generator=generator)
        for network in (self.method.student, self.method.teacher):
            network.to(device)
            if choose_compiling(device).wanted:
                network.backbone.compile_blocks()
        self.optimizer = build_optimizer(self.method.student)
        self.rollbacks = 0  # each halves the learning rate
        self.gradient = BatchGradient(
            self.method, ranks, micro_batch=micro_batch or recipe.batch_size // ranks.world
        )

    def step(self, batch: Batch, step: int) -> dict[str, float]:
        """Take one step in place and return what to log; a step whose loss or gradient is not finite changes
        nothing, and says `skipped`.
        """
        values = self.values_at(step)
        self.ranks.pulse.begin(step)
        self.ranks.pulse.at("in the networks")
        spoilt = math.nan if "nan" in faults.fire("step", step) else 1.0
        outcome = self.gradient(Step(batch, values, lambda part: self._part(part, step), spoilt))
        with self.ranks.pulse.waiting():  # on a GPU it is the numbers below that the host waits for
            self._add_over_ranks(outcome, values)
            grad_norm = clip_each(self.method.student.parameters(), self.recipe.clip_grad)
            measured = {"loss": outcome.loss, "grad_norm": grad_norm}
            measured |= self.method.measures(outcome.loss, outcome.means)
            # The one wait for the device in a step: whether to take it is a decision of the host.
            row = dict(zip(measured, torch.stack(list(measured.values())).tolist(), strict=True))
        if not (math.isfinite(row["loss"]) and math.isfinite(row["grad_norm"])):
            return {"skipped": 1.0, "loss": row["loss"], "grad_norm": row["grad_norm"]}
        set_rates(self.optimizer, lr=values.lr, weight_decay=values.weight_decay)
        self.optimizer.step()
        self.method.commit(outcome.means, values)
        if self.recipe.is_logged(step + 1):
            row |= feature_health(self.ranks.gather(outcome.features, batch.of))
        return row | self._scheduled(values)

    def values_at(self, step: int) -> StepValues:
        """The scheduled values of a step, as roll-backs have changed them."""
        values = values_at(step, self.recipe)
        return replace(values, lr=values.lr * 0.5**self.rollbacks)

    def _add_over_ranks(self, outcome: Outcome, values: StepValues) -> None:
        """Make gradient, loss and means those of the whole batch, in place. What is not finite on one rank is
        so on all of them then, and all decide alike.
        """
        if values.last_layer_frozen:
            self._drop_last_layer_gradient()
        gradients = [p.grad for p in self.method.student.parameters() if p.grad is not None]
        self.ranks.add_([*gradients, outcome.loss, *outcome.means.values()])

    def _part(self, batch: Batch, step: int) -> Part:
        self.ranks.pulse.at("in the networks")
        with torch.no_grad():
            return Part(len(batch.rows), self.views(batch), self._drop_path(batch, step))

    def views(self, batch: Batch) -> Views:
        """Standardised views of a batch, on the device: the pixels the network sees."""
        tiles = to_unit(batch.groups, self.tile_format, device=self.device)
        views = make_views(
            tiles, self.policy, seed=self.recipe.seed, epochs=batch.epochs, sample_ids=batch.rows
        )
        return replace(
            views,
            globals_=standardize(views.globals_, self.tile_format),
            locals_=standardize(views.locals_, self.tile_format),
        )

    def _drop_path(self, batch: Batch, step: int) -> Keep | None:
        """Masks for global and for local views: a pure function of (seed, step, sample id)."""
        if self.recipe.drop_path == 0:
            return None
        shape = self.method.student.backbone.shape
        steps = np.full(len(batch.rows), step, dtype=np.int64)
        masks = [
            uniforms(
                2 * shape.depth,
                seed=self.recipe.seed,
                epochs=steps,
                sample_ids=batch.rows,
                stream=f"drop path of view {view}",
            )
            for view in range(2 + self.recipe.local_views)
        ]
        both = (np.concatenate(masks[:2]), np.concatenate(masks[2:] or [masks[0][:0]]))
        keep_globals, keep_locals = (
            drop_path_keep(shape, torch.from_numpy(draws).to(self.device)) for draws in both
        )
        return keep_globals, keep_locals

    def _scheduled(self, values: StepValues) -> dict[str, float]:
        always = {"lr": values.lr, "weight_decay": values.weight_decay, "momentum": values.momentum}
        return always | ({"teacher_temp": values.teacher_temp} if self.recipe.method == "dino" else {})

    def _drop_last_layer_gradient(self) -> None:
        for name, parameter in self.method.student.named_parameters():
            if "last_layer" in name:
                parameter.grad = None


def vit_shape(recipe: Recipe, bands: int) -> ViTShape:
    shape = shape_of(
        recipe.model,
        recipe.patch_size,
        in_channels=bands,
        image_px=recipe.image_px,
        drop_path=recipe.drop_path,
    )
    return replace(shape, position=recipe.position)
