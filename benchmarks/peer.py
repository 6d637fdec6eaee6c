"""facebookresearch/dino on a processor: its own modules, called in the order of its train_one_epoch.

main_dino.py exits without CUDA and asks torch.hub for a list when it is imported, so the list is answered
here and its modules (vision_transformer, utils, DINOLoss, ...) are driven from outside: float32, one process.
Nothing of that project is copied; a checkout of it (commit 7c446df) lies wherever `--peer` says.
"""

import contextlib
import importlib
import math
import sys
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from torch import Tensor, distributed, nn

from swath.models.vit import ViTShape


class Checkout:
    """The modules of a checkout, and what its command line and networks are by default."""

    def __init__(self, path: Path) -> None:
        if not (path / "main_dino.py").is_file():
            sys.exit(f"{path} has no main_dino.py; git clone https://github.com/facebookresearch/dino there")
        sys.path.insert(0, str(path))
        with self._offline():
            self.main: ModuleType = importlib.import_module("main_dino")
        self.networks: ModuleType = importlib.import_module("vision_transformer")
        self.tools: ModuleType = importlib.import_module("utils")
        if not distributed.is_initialized():  # its loss asks for a group of processes
            distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)

    def args(self, words: Sequence[str] = (), **defaults: Any) -> Namespace:
        """Its settings from words of its command line; `defaults` stand in for its own."""
        with self._offline():
            parser = ArgumentParser(parents=[self.main.get_args_parser()], add_help=False, allow_abbrev=False)
        parser.set_defaults(use_fp16=False, **defaults)
        return parser.parse_args(list(words))

    def network(self, shape: str | ViTShape, *, drop_path: float) -> nn.Module:
        """One of its networks by name, patch 16, or its VisionTransformer of a shape."""
        if isinstance(shape, str):
            made: nn.Module = getattr(self.networks, shape)(patch_size=16, drop_path_rate=drop_path)
            return made
        return self.networks.VisionTransformer(
            img_size=[shape.image_px], patch_size=shape.patch_size, in_chans=shape.in_channels,
            embed_dim=shape.width, depth=shape.depth, num_heads=shape.heads, mlp_ratio=shape.mlp_ratio,
            qkv_bias=True, drop_path_rate=drop_path, norm_layer=partial(nn.LayerNorm, eps=1e-6),
        )  # fmt: skip

    def views(self, args: Namespace, *, global_px: int = 224, local_px: int = 96) -> Any:
        """Its DataAugmentationDINO; sides other than its own replace those of its crops."""
        made = self.main.DataAugmentationDINO(
            args.global_crops_scale, args.local_crops_scale, args.local_crops_number
        )
        for pipeline, side_px in (
            (made.global_transfo1, global_px),
            (made.global_transfo2, global_px),
            (made.local_transfo, local_px),
        ):
            pipeline.transforms[0].size = (side_px, side_px)
        return made

    @staticmethod
    def _offline() -> Any:
        return mock.patch("torch.hub.list", return_value=[])


@dataclass(frozen=True)
class Rates:
    """What main_dino.py reads from its schedules at one iteration."""

    lr: float
    weight_decay: float
    momentum: float


class PeerTraining:
    """Student, teacher, centre and optimizer as main_dino.py builds them from its arguments."""

    def __init__(self, checkout: Checkout, args: Namespace, shape: str | ViTShape) -> None:
        self.checkout, self.args = checkout, args
        self.student = self._with_head(shape, args.drop_path_rate, norm_last_layer=args.norm_last_layer)
        self.teacher = self._with_head(shape, 0.0)
        self.teacher.load_state_dict(self.student.state_dict())
        self.teacher.requires_grad_(requires_grad=False)
        self.loss = checkout.main.DINOLoss(
            args.out_dim, args.local_crops_number + 2, args.warmup_teacher_temp, args.teacher_temp,
            args.warmup_teacher_temp_epochs, args.epochs,
        )  # fmt: skip
        self.optimizer = torch.optim.AdamW(checkout.tools.get_params_groups(self.student))

    def step(
        self, views: Sequence[Tensor], rates: Rates, *, epoch: int = 0, kept: Sequence[Tensor] | None = None
    ) -> float:
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
            loss = self.loss(self.student(list(views)), teacher_output, epoch)
        value = loss.item()
        if not math.isfinite(value):
            sys.exit(f"the loss is {value}; its training stops here too")
        self.optimizer.zero_grad()
        loss.backward()
        if self.args.clip_grad:
            self.checkout.tools.clip_gradients(self.student, self.args.clip_grad)
        self.checkout.tools.cancel_gradients_last_layer(epoch, self.student, self.args.freeze_last_layer)
        self.optimizer.step()
        with torch.no_grad():
            for learned, averaged in zip(self.student.parameters(), self.teacher.parameters(), strict=True):
                averaged.mul_(rates.momentum).add_((1 - rates.momentum) * learned)
        return float(value)

    def double(self) -> "PeerTraining":
        """The same in float64."""
        for module in (self.student, self.teacher, self.loss):
            module.double()
        return self

    def save(self, path: Path, *, epoch: int) -> None:
        """The parts of its checkpoint.pth; its student is saved under DistributedDataParallel's prefix."""
        student = {f"module.{name}": tensor for name, tensor in self.student.state_dict().items()}
        torch.save(
            {
                "student": student, "teacher": self.teacher.state_dict(),
                "optimizer": self.optimizer.state_dict(), "epoch": epoch,
                "args": self.args, "dino_loss": self.loss.state_dict(),
            },
            path,
        )  # fmt: skip

    def _with_head(self, shape: str | ViTShape, drop_path: float, *, norm_last_layer: bool = True) -> Any:
        backbone: Any = self.checkout.network(shape, drop_path=drop_path)
        with warnings.catch_warnings():  # the head uses torch's older weight_norm
            warnings.simplefilter("ignore", FutureWarning)
            head = self.checkout.networks.DINOHead(
                backbone.embed_dim, self.args.out_dim, norm_last_layer=norm_last_layer
            )
        return self.checkout.tools.MultiCropWrapper(backbone, head)

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

        with mock.patch.object(self.checkout.networks, "drop_path", drop_path):
            yield
        assert next(factors, None) is None, "a factor was left over"
