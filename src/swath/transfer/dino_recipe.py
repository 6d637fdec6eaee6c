"""The linear probe of facebookresearch/dino (eval_linear.py): one linear map, trained on random crops.

As there: class tokens of the last blocks, weights drawn with std 0.01, SGD with momentum 0.9 and no weight
decay, learning rate 0.001 x batch / 256 on a cosine to 0 an epoch at a time, crops of 8 to 100 % of the area
and flips. As in the published multi-label runs: 50 epochs, binary cross-entropy. Unlike there: tested on
whole tiles, not on their middle; crops are resized bicubically; and the last epoch is the one that counts.
Legend: B tiles, C bands, D features, K classes.
"""

import logging

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from swath.augment.crop import CROP_DRAWS, CropPolicy, random_crops
from swath.augment.resize import cut
from swath.data.store import TileStore
from swath.draws import permutation, uniforms
from swath.features.backbone import FrozenBackbone
from swath.runtime.progress import Progress
from swath.scores.logistic import LogisticProbe
from swath.transfer.comparison import Scores
from swath.transfer.examples import Examples, Rows
from swath.transfer.prediction import Prediction, answers_of

EPOCHS, BATCH, MOMENTUM, RATE = 50, 256, 0.9, 0.001
_CROPS = CropPolicy(scale=(0.08, 1.0), vertical_flip=False, quarter_turns=False)
log = logging.getLogger(__name__)


def by_dino_recipe(
    backbone: FrozenBackbone, store: TileStore, examples: Examples, *, seed: int, epochs: int = EPOCHS
) -> Prediction:
    """Train on the tiles of train, answer for those of test; nothing is chosen, so val is not looked at."""
    classes = examples.labels.shape[1]
    head = torch.nn.Linear(backbone.dim, classes)
    torch.nn.init.normal_(head.weight, std=0.01, generator=torch.Generator().manual_seed(seed))
    torch.nn.init.zeros_(head.bias)
    optimizer = torch.optim.SGD(head.parameters(), lr=RATE * BATCH / 256, momentum=MOMENTUM)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    train = examples.train
    label = f"dino recipe ({backbone.weights.whose})"
    with Progress(epochs * len(train), unit="crops", label=label) as progress:
        for epoch in range(epochs):
            order = permutation(len(train), seed=seed, epoch=epoch)
            for start in range(0, len(train), BATCH):
                places = train[order[start : start + BATCH]]
                views = _views(backbone, store, examples.rows[places], seed=seed, epoch=epoch)
                loss = _loss(head(backbone.of_images(views).clone()), examples, places)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                progress.advance(len(places))
            schedule.step()
    scores = _scores(head, backbone, store, examples)
    settings = {"recipe": "dino", "epochs": epochs, "lr": RATE * BATCH / 256, "batch_size": BATCH}
    return Prediction(answers_of(scores, examples.task, threshold=0.0), settings, _as_probe(head, examples))


def _views(backbone: FrozenBackbone, store: TileStore, rows: Rows, *, seed: int, epoch: int) -> Tensor:
    """(B, C, S, S) standardised: one random crop of each tile."""
    unit = backbone.unit([torch.from_numpy(pixels) for pixels in store.read(rows)], store.format)
    epochs = np.full(len(rows), epoch, dtype=np.int64)
    draws = uniforms(CROP_DRAWS, seed=seed, epochs=epochs, sample_ids=rows, stream="probe crop")
    crops = random_crops(draws, _CROPS, height_px=unit.shape[2], width_px=unit.shape[3])
    return backbone.standardized(cut(unit, crops, out_px=backbone.image_px).clamp_(0.0, 1.0), store.format)


def _loss(logits: Tensor, examples: Examples, places: Rows) -> Tensor:
    """(B, K) logits of the tiles at `places` to the mean loss."""
    labels = torch.from_numpy(examples.labels[places].astype(np.float32))
    if examples.task == "class":
        return F.cross_entropy(logits, labels.argmax(dim=1))
    return F.binary_cross_entropy_with_logits(logits, labels)


@torch.no_grad()
def _scores(head: torch.nn.Linear, backbone: FrozenBackbone, store: TileStore, examples: Examples) -> Scores:
    """(N, K) logits of whole test tiles."""
    rows, parts = examples.rows[examples.test], []
    for start in range(0, len(rows), BATCH):
        groups = [torch.from_numpy(pixels) for pixels in store.read(rows[start : start + BATCH])]
        parts.append(head(backbone.features(groups, store.format)))
    return torch.cat(parts).double().numpy()


def _as_probe(head: torch.nn.Linear, examples: Examples) -> LogisticProbe:
    """The same map as a logistic probe: no mean, no spread, no penalty."""
    weights = head.weight.detach().double().numpy().T
    bias = head.bias.detach().double().numpy()
    width = len(weights)
    return LogisticProbe(
        weights, bias, np.zeros(width), np.ones(width), strength=float("inf"), task=examples.task
    )
