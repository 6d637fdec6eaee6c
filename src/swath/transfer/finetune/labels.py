"""Fine-tuning on the labels of whole tiles.

Legend: B tiles, C bands, S the network's image side, D numbers a feature, K classes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.augment.crop import CROP_DRAWS, CropPolicy, random_crops
from swath.augment.resize import cut
from swath.data.loader import Batch
from swath.data.normalize import resized, standardize, to_unit
from swath.data.store import TileStore
from swath.draws import uniforms
from swath.features.backbone import FrozenBackbone
from swath.features.embedding import kept_features
from swath.models.weights import load_weights, save_weights
from swath.scores.average_precision import macro
from swath.scores.classes import accuracy
from swath.scores.intervals import Resampling
from swath.transfer.comparison import Exam, Scores, judge
from swath.transfer.examples import labelled_examples
from swath.transfer.finetune.task import FROZEN, TUNED, Rows, TaskNetwork
from swath.transfer.prediction import answers_of, by_logistic_regression

CROPS = CropPolicy(scale=(0.5, 1.0), vertical_flip=True, quarter_turns=True)
_BLOCK = 256


class LabelTask:
    """One label a tile (cross-entropy) or several (a sigmoid a class); the task as `Task` describes it."""

    name = "labels"

    def __init__(self, store: TileStore, backbone: FrozenBackbone, *, features: Path, seed: int) -> None:
        self._store, self._backbone = store, backbone
        self._features, self._seed = features, seed
        self._examples = labelled_examples(store)
        self.pack = store.digest
        self.vocabulary = self._examples.vocabulary
        rows = self._examples.rows
        self.train, self.val, self.test = (
            rows[part] for part in (self._examples.train, self._examples.val, self._examples.test)
        )
        self._labels = store.labels()

    def begin(self) -> None:
        features = kept_features(self._features, self._store, self._backbone, self._examples.rows)
        found = by_logistic_regression(features, self._examples, seed=self._seed)
        assert found.probe is not None
        scaled = found.probe.weights / found.probe.std[:, None]
        self._frozen = {
            "test": torch.from_numpy(np.ascontiguousarray(found.answers.scores)),
            "head.weight": torch.from_numpy(scaled.T).float().contiguous(),
            "head.bias": torch.from_numpy(found.probe.bias - found.probe.mean @ scaled).float(),
        }

    def save_frozen(self, path: Path) -> None:
        save_weights(path, self._frozen, {})

    def load_frozen(self, path: Path) -> None:
        self._frozen = load_weights(path)

    def network(self) -> TaskNetwork:
        head = nn.Linear(self._backbone.dim, len(self.vocabulary))
        head.load_state_dict({"weight": self._frozen["head.weight"], "bias": self._frozen["head.bias"]})
        return TaskNetwork(self._backbone.network, head)

    def loss(self, network: TaskNetwork, batch: Batch, keep: Tensor | None) -> Tensor:
        device = self._backbone.device
        with torch.no_grad(), torch.autocast(device.type, enabled=False):  # products here are of pixels
            images = self._augmented(batch)
        logits = _logits(network, images, keep).float()
        truth = torch.from_numpy(self._labels[batch.rows]).to(device)
        if self._examples.task == "class":
            return F.cross_entropy(logits, truth.argmax(dim=1))
        return F.binary_cross_entropy_with_logits(logits, truth.float())

    def validate(self, network: TaskNetwork) -> float:
        truth, scores = self._labels[self.val], self._predicted(network, self.val)
        return accuracy(scores, truth) if self._examples.task == "class" else macro(scores, truth)

    def judged(
        self, network: TaskNetwork, *, rounds: int, seed: int
    ) -> tuple[dict[str, dict[str, Any]], dict[str, list[float]]]:
        by, groups = self._examples.groups(self._examples.test, at_least=2)
        exam = Exam(
            labels=self._labels[self.test],
            vocabulary=self.vocabulary,
            single_label=self._examples.task == "class",
            resampling=Resampling.of_groups(groups, rounds=rounds, seed=seed),
            by=by,
            min_positives=1,
        )
        scores = {FROZEN: self._frozen["test"].numpy(), TUNED: self._predicted(network, self.test)}
        found = {
            name: judge(answers_of(values, self._examples.task, threshold=0.0), exam)
            for name, values in scores.items()
        }
        gain = found[TUNED].gain_over(found[FROZEN])
        return (
            {name: one.to_json() for name, one in found.items()},
            {name: estimate.interval.to_json() for name, estimate in gain.items()},
        )

    def _augmented(self, batch: Batch) -> Tensor:
        """(B, C, S, S): a crop of half the tile or more, flipped and turned."""
        unit = to_unit(batch.groups, self._backbone.trained, device=self._backbone.device)
        draws = uniforms(
            CROP_DRAWS,
            seed=self._seed,
            epochs=batch.epochs,
            sample_ids=batch.rows,
            stream="crop of fine-tuning",
        )
        crops = random_crops(draws, CROPS, height_px=unit.shape[2], width_px=unit.shape[3])
        views = cut(unit, crops, out_px=self._backbone.network.shape.image_px).clamp_(0.0, 1.0)
        return standardize(views, self._backbone.trained)

    @torch.no_grad()
    def _predicted(self, network: TaskNetwork, rows: Rows) -> Scores:
        """(len(rows), K) logits of whole tiles."""
        parts = []
        for start in range(0, len(rows), _BLOCK):
            groups = [torch.from_numpy(g) for g in self._store.read(rows[start : start + _BLOCK])]
            unit = to_unit(groups, self._backbone.trained, device=self._backbone.device)
            images = standardize(resized(unit, self._backbone.network.shape.image_px), self._backbone.trained)
            parts.append(_logits(network, images, None).float().cpu().numpy())
        return np.concatenate(parts).astype(np.float64)


def _logits(network: TaskNetwork, images: Tensor, keep: Tensor | None) -> Tensor:
    """(B, C, S, S) -> (B, K), from the feature that probes read: class token beside mean of the others."""
    tokens = network.backbone.tokens(images, keep)  # (B, T, D / 2)
    logits: Tensor = network.head(torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1))
    return logits
