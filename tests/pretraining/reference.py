"""A stub of facebookresearch/dino's training, in the layout its main_dino.py saves (commit 7c446df).

Written from the documented names and order of operations, not from its code: enough to make a real
checkpoint.pth and to go on with the same training, as an oracle for `swath import`.
"""

import argparse
import warnings

import numpy as np
import torch
from torch import nn

from swath.models.vit import VisionTransformer, shape_of

ARGS = {
    "arch": "vit_micro", "patch_size": 16, "out_dim": 64, "norm_last_layer": True, "momentum_teacher": 0.99,
    "use_bn_in_head": False, "warmup_teacher_temp": 0.04, "teacher_temp": 0.06,
    "warmup_teacher_temp_epochs": 2, "use_fp16": False, "weight_decay": 0.04, "weight_decay_end": 0.4,
    "clip_grad": 3.0, "batch_size_per_gpu": 2, "epochs": 3, "freeze_last_layer": 1, "lr": 5e-4,
    "warmup_epochs": 1, "min_lr": 1e-6, "optimizer": "adamw", "drop_path_rate": 0.0,
    "global_crops_scale": (0.3, 1.0), "local_crops_number": 2, "local_crops_scale": (0.1, 0.3), "seed": 0,
}  # fmt: skip
EPOCH_STEPS, PROCESSES = 2, 2


class Head(nn.Module):
    def __init__(self, width, out_dim):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, 2048), nn.GELU(), nn.Linear(2048, 2048), nn.GELU(), nn.Linear(2048, 256)
        )
        with warnings.catch_warnings():  # torch has another of that name, whose tensors are named otherwise
            warnings.simplefilter("ignore", FutureWarning)
            self.last_layer = nn.utils.weight_norm(nn.Linear(256, out_dim, bias=False))
        self.last_layer.weight_g.data.fill_(1)

    def forward(self, x):
        return self.last_layer(nn.functional.normalize(self.mlp(x), dim=-1))


class Wrapper(nn.Module):
    def __init__(self, backbone, head):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, x):
        return self.head(self.backbone(x))


def cosine(base, final, *, warmup_epochs=0):
    warm = np.linspace(0, base, warmup_epochs * EPOCH_STEPS)
    i = np.arange(ARGS["epochs"] * EPOCH_STEPS - len(warm))
    return np.concatenate([warm, final + 0.5 * (base - final) * (1 + np.cos(np.pi * i / len(i)))])


class Reference:
    """Student, teacher, centre and AdamW, stepped as the reference does, on images that are given."""

    def __init__(self, *, norm_last_layer=True):
        torch.manual_seed(0)
        self.args = ARGS | {"norm_last_layer": norm_last_layer}
        shape = shape_of("vit_micro", 16, in_channels=3, image_px=224)
        self.student = Wrapper(VisionTransformer(shape), Head(128, 64))
        self.teacher = Wrapper(VisionTransformer(shape), Head(128, 64)).requires_grad_(False)
        self.teacher.load_state_dict(self.student.state_dict())
        self.student.head.last_layer.weight_g.requires_grad_(not norm_last_layer)
        self.centre = torch.zeros(1, 64)
        named = [(n, p) for n, p in self.student.named_parameters() if p.requires_grad]
        kept = [p for n, p in named if n.endswith(".bias") or p.ndim == 1]
        decayed = [p for n, p in named if not (n.endswith(".bias") or p.ndim == 1)]
        self.optimizer = torch.optim.AdamW([{"params": decayed}, {"params": kept, "weight_decay": 0.0}])
        peak = ARGS["lr"] * ARGS["batch_size_per_gpu"] * PROCESSES / 256
        self.lr = cosine(peak, ARGS["min_lr"], warmup_epochs=ARGS["warmup_epochs"])
        self.decay = cosine(ARGS["weight_decay"], ARGS["weight_decay_end"])
        self.momentum = cosine(ARGS["momentum_teacher"], 1.0)
        self.temperature = [0.04, ARGS["teacher_temp"], ARGS["teacher_temp"]]  # linspace over 2 epochs

    def step(self, it, views):
        """views: (V, B, 3, 224, 224); the first two are global."""
        epoch = it // EPOCH_STEPS
        for number, group in enumerate(self.optimizer.param_groups):
            group["lr"] = self.lr[it]
            if number == 0:
                group["weight_decay"] = self.decay[it]
        wanted = [self.teacher(view) for view in views[:2]]
        logits = [self.student(view) / 0.1 for view in views]
        targets = [((t - self.centre) / self.temperature[epoch]).softmax(-1).detach() for t in wanted]
        pairs = [
            -(targets[i] * logits[v].log_softmax(-1)).sum(-1).mean()
            for i in range(2)
            for v in range(len(views))
            if v != i
        ]
        loss = sum(pairs) / len(pairs)
        self.centre = self.centre * 0.9 + torch.cat(wanted).mean(0, keepdim=True) * 0.1
        self.optimizer.zero_grad()
        loss.backward()
        for parameter in self.student.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(min(1.0, ARGS["clip_grad"] / (parameter.grad.norm() + 1e-6)))
        if epoch < ARGS["freeze_last_layer"]:
            for name, parameter in self.student.named_parameters():
                if "last_layer" in name:
                    parameter.grad = None
        self.optimizer.step()
        with torch.no_grad():
            for q, k in zip(self.student.parameters(), self.teacher.parameters(), strict=True):
                k.mul_(self.momentum[it]).add_((1 - self.momentum[it]) * q)
        return float(loss.detach())

    def save(self, path, *, epoch):
        torch.save(
            {
                "student": {f"module.{name}": value for name, value in self.student.state_dict().items()},
                "teacher": self.teacher.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "epoch": epoch,
                "args": argparse.Namespace(**self.args),
                "dino_loss": {"center": self.centre},
            },
            path,
        )
