"""What reads a frozen network's tokens: classes of whole tiles, or a class a pixel.

Legend: B tiles, S the network's image side, D numbers a feature, K classes, n tokens along a side, m cells
along a side of a map (n, or 2n where a head is finer), W pixels along a side of a tile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.special
import torch
from torch import Tensor

from swath.errors import DataError
from swath.features.backbone import FrozenBackbone
from swath.features.content import Content
from swath.features.token_maps import tokens_of
from swath.models.dense_head import DenseHead, dense_head_of, enlarged
from swath.scores.logistic import LogisticProbe
from swath.serve.bundle.description import Description, Task

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """Of B tiles: decisions (B, K) of the whole where the head gives them, and a map of them (B, K, m, m)."""

    decisions: Array | None
    maps: Tensor

    def of(self, numbers: list[int]) -> "Seen":
        """Of some of them."""
        return Seen(None if self.decisions is None else self.decisions[numbers], self.maps[numbers])


class Head(Protocol):
    task: Task

    def look(self, backbone: FrozenBackbone, images: Tensor) -> Seen:
        """Standardised images (B, C, S, S) -> decisions before softmax or sigmoid, on the CPU."""
        ...

    def answers(self, seen: Seen, *, tile_px: int) -> Floats:
        """Probabilities (B, K) of tiles, or (B, K, W, W) of their pixels."""
        ...


class TileHead:
    """A linear probe of whole tiles. Its map says which tokens speak for a class.

    A decision is linear in the mean of the patch tokens, so it is the mean over the tokens of what the same
    weights say of each one beside the class token: the map takes the decision apart, and adds nothing to it.
    """

    def __init__(self, probe: LogisticProbe, content: Content) -> None:
        self.task: Task = probe.task
        self._probe = probe
        self._content = content
        scaled = probe.weights / probe.std[:, None]
        self._weights = torch.from_numpy(scaled).float()  # (D, K)
        self._bias = torch.from_numpy(probe.bias - probe.mean @ scaled).float()

    def look(self, backbone: FrozenBackbone, images: Tensor) -> Seen:
        tokens = backbone.tokens(images)
        features = self._content.joined(tokens).cpu().numpy()
        return Seen(self._probe.decisions(features), self._map(tokens).cpu())

    def answers(self, seen: Seen, *, tile_px: int) -> Floats:  # noqa: ARG002 -- of pixels only
        assert seen.decisions is not None
        return probabilities(seen.decisions, self.task)

    @torch.inference_mode()
    def _map(self, tokens: list[Tensor]) -> Tensor:
        """(B, 1 + n * n, D') of each block -> (B, K, n, n)."""
        parts = self._content.parts
        split = self._weights.to(tokens[0].device).chunk(len(parts) * len(tokens))
        said = self._bias.to(tokens[0].device)  # broadcasts to (B, n * n, K)
        for number, weights in enumerate(split):
            of_block, part = tokens[number // len(parts)], parts[number % len(parts)]
            said = said + (of_block[:, :1] if part == "cls" else of_block[:, 1:]) @ weights
        count = tokens[0].shape[1] - 1
        side = round(count**0.5)
        whole = said.expand(len(tokens[0]), count, -1)  # a class token alone says the same everywhere
        return whole.mT.reshape(len(whole), -1, side, side)


class PixelHead:
    """A head of a segmentation."""

    task: Task = "segmentation"

    def __init__(self, head: DenseHead) -> None:
        self._head = head.eval()

    @torch.inference_mode()
    def look(self, backbone: FrozenBackbone, images: Tensor) -> Seen:
        tokens = tokens_of(backbone.network, images, None).float()
        return Seen(None, self._head.to(tokens.device)(tokens).cpu())

    def answers(self, seen: Seen, *, tile_px: int) -> Floats:
        return enlarged(seen.maps, tile_px).softmax(dim=1).numpy()


def probabilities(decisions: Array, task: Task) -> Floats:
    """(B, K) decisions -> float32, by a softmax over the classes or a sigmoid a class."""
    if task == "multilabel":
        return np.asarray(scipy.special.expit(decisions), dtype=np.float32)
    return np.asarray(scipy.special.softmax(decisions, axis=1), dtype=np.float32)


def head_of(about: Description, tensors: Mapping[str, Tensor]) -> Head:
    """The head of a bundle.

    Raises:
        DataError: its tensors are not those that the description calls for.
    """
    facts = about.head
    assert facts is not None
    classes = len(facts.class_names)
    if facts.task == "segmentation":
        dense = dense_head_of(tensors)
        with torch.inference_mode():
            found = dense(torch.zeros(1, about.network.width, 2, 2)).shape[1]
        _check(found == classes, f"tells {found} classes apart, its description names {classes}")
        return PixelHead(dense)
    shapes = {name: tuple(tensor.shape) for name, tensor in sorted(tensors.items())}
    wanted: dict[str, tuple[int, ...]] = {
        "weights": (about.dim, classes),
        "bias": (classes,),
        "mean": (about.dim,),
        "std": (about.dim,),
    }
    _check(shapes == wanted, f"has shapes {shapes}; its description asks for {wanted}")
    arrays: dict[str, Any] = {name: tensor.numpy().astype(np.float64) for name, tensor in tensors.items()}
    _check(bool((arrays["std"] > 0).all()), "has a spread of 0 or less")
    return TileHead(LogisticProbe(**arrays, strength=float("nan"), task=facts.task), about.content)


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DataError(f"the head {otherwise}")
