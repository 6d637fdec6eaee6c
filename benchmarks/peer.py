"""facebookresearch/dino on a processor: its own modules, called in the order of its train_one_epoch.

main_dino.py exits without CUDA and asks torch.hub for a list when it is imported, so the list is answered
here and its modules (vision_transformer, utils, DINOLoss, ...) are driven from outside. Nothing
of that project is copied; a checkout of it lies wherever `--peer` says.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from torch import Tensor

REVISION = "7c446df5b9f45747937fb0d72314eb9f7b66930a"


@dataclass(frozen=True)
class Rates:
    """What main_dino.py reads from its schedules at one iteration."""

    lr: float
    weight_decay: float
    momentum: float


def load(checkout: Path) -> ModuleType:
    """Its main_dino, with vision_transformer as `.vits` and utils as `.utils`, in a process group of one."""
    if not (checkout / "main_dino.py").is_file():
        sys.exit(f"{checkout} has no main_dino.py; git clone https://github.com/facebookresearch/dino there")
    sys.path.insert(0, str(checkout))
    try:
        with mock.patch("torch.hub.list", return_value=[]):
            main_dino = importlib.import_module("main_dino")
    finally:
        sys.path.remove(str(checkout))
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group(
            "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
        )
    return main_dino


class PeerTraining:
    """Student, teacher, centre and optimizer as main_dino.py builds them with its defaults, in float32."""

    def __init__(
        self,
        main_dino: ModuleType,
        arch: str | dict[str, Any],
        *,
        out_dim: int = 65_536,
        local_views: int = 8,
        freeze_last_layer: bool = True,
    ) -> None:
        self.utils, self.vits = main_dino.utils, main_dino.vits
        self.student = self._network(arch, main_dino, out_dim, drop_path_rate=0.1)
        self.teacher = self._network(arch, main_dino, out_dim)
        self.teacher.load_state_dict(self.student.state_dict())
        self.teacher.requires_grad_(False)
        self.loss = main_dino.DINOLoss(out_dim, local_views + 2, 0.04, 0.04, 0, 1)
        self.optimizer = torch.optim.AdamW(self.utils.get_params_groups(self.student))
        self.freeze_last_layer = int(freeze_last_layer)

    def step(self, views: Sequence[Tensor], rates: Rates, *, kept: Sequence[Tensor] | None = None) -> float:
        """One iteration in the order of train_one_epoch without its GradScaler; returns the loss.

        views: the global ones first, each (B, C, P, P). kept: the factor (B,) of every residual branch that
        can be dropped, in the order of the calls, in place of torch's draws.
        """
        for index, group in enumerate(self.optimizer.param_groups):
            group["lr"] = rates.lr
            if index == 0:
                group["weight_decay"] = rates.weight_decay
        with self._dropping(kept):
            teacher_output = self.teacher(list(views[:2]))
            student_output = self.student(list(views))
            loss = self.loss(student_output, teacher_output, 0)
        value = loss.item()
        self.optimizer.zero_grad()
        loss.backward()
        self.utils.clip_gradients(self.student, 3.0)
        self.utils.cancel_gradients_last_layer(0, self.student, self.freeze_last_layer)
        self.optimizer.step()
        with torch.no_grad():
            m = rates.momentum
            for param_q, param_k in zip(self.student.parameters(), self.teacher.parameters(), strict=True):
                param_k.data.mul_(m).add_((1 - m) * param_q.detach().data)
        return float(value)

    def double(self) -> "PeerTraining":
        """The same in float64."""
        for module in (self.student, self.teacher, self.loss):
            module.double()
        return self

    def _network(self, arch: str | dict[str, Any], main_dino: ModuleType, out_dim: int, **more: float) -> Any:
        if isinstance(arch, str):
            backbone = getattr(self.vits, arch)(patch_size=16, **more)
        else:
            backbone = self.vits.VisionTransformer(qkv_bias=True, **arch, **more)
        head = main_dino.DINOHead(backbone.embed_dim, out_dim)
        return self.utils.MultiCropWrapper(backbone, head)

    @contextlib.contextmanager
    def _dropping(self, kept: Sequence[Tensor] | None) -> Iterator[None]:
        if kept is None:
            yield
            return
        factors = iter(kept)

        def drop_path(x: Tensor, drop_prob: float = 0.0, training: bool = False) -> Tensor:
            if drop_prob == 0.0 or not training:
                return x
            return x * next(factors).to(x.dtype)[:, None, None]

        with mock.patch.object(self.vits, "drop_path", drop_path):
            yield
        assert next(factors, None) is None, "a factor was left over"
