"""Fine-tuning on masks: a class a pixel.

Legend: B tiles, C bands, H tile side, W window side, S the network's image side, K classes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from swath.data.loader import Batch
from swath.data.masks import IGNORE
from swath.data.normalize import resized, standardize, to_unit
from swath.data.store import TileStore
from swath.draws import uniforms
from swath.features.backbone import FrozenBackbone
from swath.features.token_maps import BackboneTokens, tokens_of
from swath.models.dense_head import ConvDenseHead, pixel_loss
from swath.models.weights import load_weights, save_weights
from swath.scores.average_precision import once
from swath.scores.intervals import Resampling
from swath.scores.segmentation import Counts, SegmentationTable
from swath.transfer.finetune.task import FROZEN, TUNED, Rows, TaskNetwork
from swath.transfer.segmentation.examples import masked_tiles
from swath.transfer.segmentation.fit import fit_head
from swath.transfer.segmentation.judge import judge_masks
from swath.transfer.segmentation.predict import tested

_TURNS = 4


class MaskTask:
    """A class a pixel, by the head of the segmentation probe that convolves; `Task` says what it does."""

    name = "masks"

    def __init__(self, store: TileStore, backbone: FrozenBackbone, *, seed: int) -> None:
        self._store, self._backbone, self._seed = store, backbone, seed
        self._tiles = masked_tiles(store)
        self.pack = store.digest
        self.vocabulary = store.mask_vocabulary
        self.train, self.val, self.test = self._tiles.train, self._tiles.val, self._tiles.test

    def begin(self) -> None:
        maps = BackboneTokens(self._backbone)
        head, _ = fit_head("conv", maps, self._tiles, seed=self._seed)
        tables = tested(FROZEN, head, maps, self._tiles, self.test)
        state = {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
        self._frozen = {"test": torch.from_numpy(tables), **state}

    def save_frozen(self, path: Path) -> None:
        save_weights(path, self._frozen, {})

    def load_frozen(self, path: Path) -> None:
        self._frozen = load_weights(path)

    def network(self) -> TaskNetwork:
        head = ConvDenseHead(self._backbone.network.shape.width, len(self.vocabulary))
        head.load_state_dict(
            {k.removeprefix("head."): v for k, v in self._frozen.items() if k.startswith("head.")}
        )
        return TaskNetwork(self._backbone.network, head)

    def loss(self, network: TaskNetwork, batch: Batch, keep: Tensor | None) -> Tensor:
        with torch.no_grad():
            images, masks = self._augmented(batch)
        logits = network.head(tokens_of(network.backbone, images, keep)).float()
        return pixel_loss(logits, masks, ignore=IGNORE)

    def validate(self, network: TaskNetwork) -> float:
        table = SegmentationTable(self._tested(network, self.val))
        return float(table.statistics(once(len(self.val)))[0, 0])

    def judged(
        self, network: TaskNetwork, *, rounds: int, seed: int
    ) -> tuple[dict[str, dict[str, Any]], dict[str, list[float]]]:
        _, groups = self._tiles.groups(self.test, at_least=2)
        resampling = Resampling.of_groups(groups, rounds=rounds, seed=seed)
        frozen = judge_masks(self._frozen["test"].numpy(), resampling, self.vocabulary)
        tuned = judge_masks(self._tested(network, self.test), resampling, self.vocabulary)
        return {FROZEN: frozen.to_json(), TUNED: tuned.to_json()}, tuned.gain_over(frozen)

    def _tested(self, network: TaskNetwork, rows: Rows) -> Counts:
        assert network.backbone is self._backbone.network, "tokens would be those of other weights"
        return tested(TUNED, network.head, BackboneTokens(self._backbone), self._tiles, rows)

    def _augmented(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Images (B, C, S, S) and masks (B, W, W): a window at a drawn place, turned and flipped."""
        trained, device = self._backbone.trained, self._backbone.device
        unit = to_unit(batch.groups, trained, device=device)
        masks = torch.from_numpy(self._store.masks(batch.rows)).to(device)
        draws = uniforms(
            4, seed=self._seed, epochs=batch.epochs, sample_ids=batch.rows, stream="window of fine-tuning"
        )
        window = min(trained.size_px, unit.shape[-1])
        corners = np.floor(draws[:, :2] * (unit.shape[-1] - window + 1)).astype(int)
        pairs = [
            _turned(image, mask, draw, corner, window)
            for image, mask, draw, corner in zip(unit, masks, draws[:, 2:], corners, strict=True)
        ]
        images = torch.stack([image for image, _ in pairs])
        side = self._backbone.network.shape.image_px
        return standardize(resized(images, side), trained), torch.stack([mask for _, mask in pairs])


def _turned(
    image: Tensor, mask: Tensor, draw: np.ndarray[Any, Any], corner: np.ndarray[Any, Any], window: int
) -> tuple[Tensor, Tensor]:
    """The same window of (C, H, H) and (H, H), mirrored or not, after 0 to 3 quarter turns."""
    top, left = corner
    turns, mirrored = int(draw[0] * _TURNS), draw[1] < 0.5
    parts = []
    for pixels in (image, mask):
        part = torch.rot90(pixels[..., top : top + window, left : left + window], turns, dims=(-2, -1))
        parts.append(part.flip(-1) if mirrored else part)
    return parts[0], parts[1]
