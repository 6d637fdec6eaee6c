"""What fine-tuning asks of its two tasks: labels of whole tiles, and masks with a class a pixel.

Legend: B tiles, C bands, S the network's image side.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from swath.data.loader import Batch
from swath.models.vit import VisionTransformer

FROZEN, TUNED = "frozen + probe", "fine-tuned"

Rows = npt.NDArray[np.int64]


class TaskNetwork(nn.Module):
    """A backbone and a head that reads its tokens; checkpoints name them `backbone.*` and `head.*`."""

    def __init__(self, backbone: VisionTransformer, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head


class Task(Protocol):
    """Rows of the pack by split, what is learned from them, and how it is judged."""

    name: str
    pack: str
    vocabulary: tuple[str, ...]
    train: Rows
    val: Rows
    test: Rows

    def begin(self) -> None:
        """Fit the head of the frozen network, and let that network predict the test tiles."""
        ...

    def save_frozen(self, path: Path) -> None:
        """Write what `begin` found, so that a run that goes on need not find it again."""
        ...

    def load_frozen(self, path: Path) -> None: ...

    def network(self) -> TaskNetwork:
        """The network as `begin` leaves it: the pretrained backbone and the fitted head."""
        ...

    def loss(self, network: TaskNetwork, batch: Batch, keep: Tensor | None) -> Tensor:
        """Mean loss of a batch, its tiles turned and flipped as (seed, epoch, row) say; `keep`: drop path."""
        ...

    def validate(self, network: TaskNetwork) -> float:
        """The score by which the best epoch is chosen, on the split val."""
        ...

    def judged(
        self, network: TaskNetwork, *, rounds: int, seed: int
    ) -> tuple[dict[str, dict[str, Any]], dict[str, list[float]]]:
        """Scores with intervals on the split test, of FROZEN and of TUNED, and the paired gain by measure."""
        ...
