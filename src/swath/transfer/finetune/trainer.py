"""One update of a fine-tuning, and its state as plain tensors."""

import logging
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from swath.data.bands import TileFormat
from swath.data.loader import Batch
from swath.draws import uniforms
from swath.errors import TrainingError
from swath.models.vit import drop_path_keep
from swath.runtime import faults
from swath.runtime.device import Precision, autocast, choose_device
from swath.transfer.finetune.recipe import FinetuneRecipe, lr_at
from swath.transfer.finetune.task import Task, TaskNetwork

BAD_STEPS_IN_A_ROW = 3
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
log = logging.getLogger(__name__)

TensorFiles = dict[str, dict[str, Tensor]]


class Trainer:
    """A task's network and its optimizer. `best` are the weights of the best epoch so far."""

    def __init__(self, recipe: FinetuneRecipe, task: Task, *, tile_format: TileFormat) -> None:
        self.recipe = recipe
        self.task = task
        self.tile_format = tile_format
        self.device = choose_device()
        self.network: TaskNetwork = task.network().to(self.device).requires_grad_(requires_grad=True)
        self.optimizer = torch.optim.AdamW(layer_groups(self.network, recipe), lr=0.0, fused=True)
        self.best = _copied(self.network)
        self.best_score, self.best_epoch = -1.0, 0
        self._precision = Precision(getattr(torch, recipe.precision), reason="as the recipe says")
        self._bad_in_a_row = 0

    def step(self, batch: Batch, step: int) -> dict[str, float]:
        """Take one step in place and return what to log; one that is not finite changes nothing.

        Raises:
            TrainingError: three steps in a row were not finite.
        """
        self.network.train()
        with autocast(self.device, self._precision):
            loss = self.task.loss(self.network, batch, self._drop_path(batch, step))
        if "nan" in faults.fire("step", step):
            loss = loss * float("nan")
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_grad)
        row = {"loss": loss.item(), "grad_norm": norm.item()}  # whether to step is a decision of the host
        if not all(map(math.isfinite, row.values())):
            self._skip(step, batch)
            return {"skipped": 1.0}
        lr = lr_at(step, self.recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]
        self.optimizer.step()
        self._bad_in_a_row = 0
        return row | {"lr": lr}

    @torch.no_grad()
    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Score the split val and keep the weights if they are the best; the last ones where it is empty."""
        if not len(self.task.val):
            self.best, self.best_epoch = _copied(self.network), epoch
            return {}
        score = self.task.validate(self.network.eval())
        if score > self.best_score:
            self.best, self.best_score, self.best_epoch = _copied(self.network), score, epoch
        return {"val_score": score}

    def gather(self) -> TensorFiles:
        """Files of tensors: `teacher` are the best weights, so that embed, probe and report take those of a
        fine-tuned run as they take a pretrained one's; `student` are the weights now.
        """
        moments = {}
        for name, parameter in self.network.named_parameters():
            for moment, value in self.optimizer.state.get(parameter, {}).items():
                moments[f"{name}.{moment}"] = value
        return {"teacher": self.best, "student": dict(self.network.state_dict()), "optimizer": moments}

    @torch.no_grad()
    def restore(self, files: TensorFiles, state: dict[str, Any]) -> None:
        """Set a freshly built training to a saved one."""
        self.network.load_state_dict(files["student"])
        self.best = {name: tensor.clone() for name, tensor in files["teacher"].items()}
        self.best_score, self.best_epoch = state["best_score"], state["best_epoch"]
        for name, parameter in self.network.named_parameters():
            if f"{name}.step" in files["optimizer"]:
                self.optimizer.state[parameter] = {
                    moment: files["optimizer"][f"{name}.{moment}"].to(parameter.device, copy=True)
                    for moment in _MOMENTS
                }

    def _drop_path(self, batch: Batch, step: int) -> Tensor | None:
        """(depth, 2, B) factors: a pure function of (seed, step, sample id)."""
        shape = self.network.backbone.shape
        if shape.drop_path == 0:
            return None
        steps = np.full(len(batch.rows), step, dtype=np.int64)
        draws = uniforms(
            2 * shape.depth,
            seed=self.recipe.seed,
            epochs=steps,
            sample_ids=batch.rows,
            stream="drop path of fine-tuning",
        )
        return drop_path_keep(shape, torch.from_numpy(draws).to(self.device))

    def _skip(self, step: int, batch: Batch) -> None:
        self._bad_in_a_row += 1
        log.warning(
            f"step {step}: loss or gradient is not finite (tiles {batch.rows[:4].tolist()} ...); "
            "step skipped, nothing changed"
        )
        if self._bad_in_a_row >= BAD_STEPS_IN_A_ROW:
            raise TrainingError(
                f"{BAD_STEPS_IN_A_ROW} steps in a row up to step {step} were not finite; the last checkpoint "
                "is good. Try --precision float32, or a lower --lr, in a new --out."
            )


def layer_groups(network: TaskNetwork, recipe: FinetuneRecipe) -> list[dict[str, Any]]:
    """Parameter groups with their `lr_scale`: 1 for head and last norm, less by layer_decay a layer.

    Biases, norms, positions and the class token have no weight decay.
    """
    depth = network.backbone.shape.depth
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        layer = layer_of(name, depth)
        decays = parameter.ndim > 1 and not name.endswith(("cls_token", "pos_embed"))
        scale = recipe.layer_decay ** (depth + 1 - layer)
        decay = recipe.weight_decay if decays else 0.0
        group = groups.setdefault((layer, decays), {"params": [], "lr_scale": scale, "weight_decay": decay})
        group["params"].append(parameter)
    return list(groups.values())


def layer_of(name: str, depth: int) -> int:
    """0 for what embeds patches and places, i + 1 for block i, depth + 1 for the last norm and the head."""
    parts = name.split(".")
    if parts[:2] == ["backbone", "blocks"]:
        return int(parts[2]) + 1
    embeds = parts[0] == "backbone" and parts[1] in {"cls_token", "pos_embed", "patch_embed"}
    return 0 if embeds else depth + 1


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
