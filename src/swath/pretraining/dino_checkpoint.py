"""The checkpoint of facebookresearch/dino's main_dino.py (commit 7c446df), as a training of ours and back.

    student     module.backbone.*, module.head.*      teacher    backbone.*, head.*
    optimizer   AdamW by number of the parameter      dino_loss  center (1, K)
    epoch       the next one                          args       the Namespace of its command line

One step here is one iteration there, and every schedule goes on at the same iteration. The file names neither
the iterations of an epoch nor the number of processes: the first is AdamW's own count of steps divided by the
epochs, the second follows from the learning rate of the last iteration.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from swath.errors import DataError
from swath.models.foreign import size_name
from swath.models.vit import ViTShape
from swath.pretraining.recipe import Recipe
from swath.pretraining.schedule import peak_of, values_at
from swath.pretraining.state import TensorFiles

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_PARTS = ("student", "teacher", "optimizer", "epoch", "args", "dino_loss")
_GLOBAL_PX, _LOCAL_PX = 224, 96  # fixed in its code


@dataclass(frozen=True)
class Training:
    """A training to go on with: its recipe, every tensor by file and name, and the step it stands at."""

    recipe: Recipe
    tensors: TensorFiles
    step: int


def is_training(content: Mapping[str, Any]) -> bool:
    """True for a checkpoint of main_dino.py, False for weights alone."""
    return all(part in content for part in _PARTS)


def to_training(content: Mapping[str, Any], shape: ViTShape) -> Training:
    """The training in a checkpoint; `shape` is that of its backbone.

    Raises:
        DataError: a setting that swath has no equal of, or parts that do not fit each other.
    """
    args = content["args"] if isinstance(content["args"], dict) else vars(content["args"])
    _check_settings(args, shape)
    student = _network(content["student"])
    tensors: TensorFiles = {
        "student": student,
        "teacher": _network(content["teacher"]),
        "optimizer": _named_moments(content["optimizer"], student, learn_length=not args["norm_last_layer"]),
        "extra": {"centre": content["dino_loss"]["center"].float()},
    }
    step = _steps_taken(tensors["optimizer"])
    recipe = _recipe(args, content, shape, step=step)
    return Training(recipe, tensors, step)


def from_training(recipe: Recipe, tensors: TensorFiles, *, step: int) -> dict[str, Any]:
    """The same as main_dino.py would have saved it; `args` is a plain dictionary, as torch.load refuses more.

    A training by another method than DINO gives its backbones alone.
    """
    backbones = {
        "student": {f"module.{name}": value for name, value in tensors["student"].items()},
        "teacher": dict(tensors["teacher"]),
    }
    if recipe.method != "dino":
        return {
            whose: {name: value for name, value in network.items() if "backbone." in name}
            for whose, network in backbones.items()
        }
    return backbones | {
        "optimizer": _numbered_moments(tensors, recipe, step=step),
        "epoch": step // recipe.steps_per_epoch,
        "args": _args(recipe),
        "dino_loss": {"center": tensors["extra"]["centre"]},
    }


def _check_settings(args: Mapping[str, Any], shape: ViTShape) -> None:
    expected = {"optimizer": "adamw", "use_bn_in_head": False}
    for name, value in expected.items():
        if args[name] != value:
            raise DataError(f"it was trained with {name} {args[name]}; swath can go on with {name} {value}")
    if size_name(shape) is None:
        raise DataError(f"a network {shape.width} wide and {shape.depth} deep has no name in swath")


def _network(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("module."): value.float() for name, value in tensors.items()}


def _named_moments(
    optimizer: Mapping[str, Any], student: Mapping[str, Tensor], *, learn_length: bool
) -> dict[str, Tensor]:
    """'backbone.norm.bias.exp_avg' and so on, from AdamW's state by number."""
    names = list(_by_number(student, learn_length=learn_length))
    numbers = [number for group in optimizer["param_groups"] for number in group["params"]]
    if len(names) != len(numbers):
        raise DataError(f"the optimizer has {len(numbers)} tensors, the student {len(names)} to train")
    named = {}
    for name, number in zip(names, numbers, strict=True):
        for moment, value in optimizer["state"].get(number, {}).items():
            if moment in MOMENTS:
                named[f"{name}.{moment}"] = torch.as_tensor(value, dtype=torch.float32)
        mean = named.get(f"{name}.exp_avg")
        if mean is not None and mean.shape != student[name].shape:
            raise DataError(
                f"the optimizer's {name} is {tuple(mean.shape)}, not {tuple(student[name].shape)}"
            )
    return named


def _numbered_moments(tensors: TensorFiles, recipe: Recipe, *, step: int) -> dict[str, Any]:
    student, saved = tensors["student"], tensors["optimizer"]
    names = list(_by_number(student, learn_length=not recipe.norm_last_layer))
    state = {
        number: {moment: saved[f"{name}.{moment}"] for moment in MOMENTS}
        for number, name in enumerate(names)
        if f"{name}.step" in saved
    }
    decayed = sum(_is_decayed(name, student[name]) for name in names)
    last = values_at(max(0, step - 1), recipe)
    shared = {"lr": last.lr, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False}
    groups = [
        shared | {"weight_decay": last.weight_decay, "params": list(range(decayed))},
        shared | {"weight_decay": 0.0, "params": list(range(decayed, len(names)))},
    ]
    return {"state": state, "param_groups": groups}


def _by_number(student: Mapping[str, Tensor], *, learn_length: bool) -> Iterator[str]:
    """Names in the order of AdamW's numbers: what decays, then biases and everything of one dimension."""
    trained = [name for name in student if learn_length or not name.endswith("last_layer.weight_g")]
    yield from (name for name in trained if _is_decayed(name, student[name]))
    yield from (name for name in trained if not _is_decayed(name, student[name]))


def _is_decayed(name: str, value: Tensor) -> bool:
    return not (name.endswith(".bias") or value.ndim == 1)


def _steps_taken(moments: Mapping[str, Tensor]) -> int:
    counts = [int(value) for name, value in moments.items() if name.endswith(".step")]
    if not counts:
        raise DataError("its optimizer has taken no step; there is nothing to go on with")
    return max(counts)


def _recipe(args: Mapping[str, Any], content: Mapping[str, Any], shape: ViTShape, *, step: int) -> Recipe:
    epoch_steps, rest = divmod(step, max(1, content["epoch"]))
    if rest:
        raise DataError(f"its {step} steps are no whole number for each of its {content['epoch']} epochs")
    steps, warmup = args["epochs"] * epoch_steps, args["warmup_epochs"] * epoch_steps
    last_lr = float(content["optimizer"]["param_groups"][0]["lr"])
    peak = peak_of(last_lr, step - 1, end=args["min_lr"], warmup=warmup, steps=steps)
    processes = max(1, round(peak * 256 / (args["lr"] * args["batch_size_per_gpu"])))
    return Recipe(
        method="dino", preset="paper", model=str(size_name(shape)), patch_size=shape.patch_size,
        position="dino", drop_path=args["drop_path_rate"],
        image_px=_GLOBAL_PX, global_px=_GLOBAL_PX, local_px=_LOCAL_PX,
        local_views=args["local_crops_number"], gentle_jitter=False,
        global_scale=tuple(args["global_crops_scale"]), local_scale=tuple(args["local_crops_scale"]),
        batch_size=processes * args["batch_size_per_gpu"], steps=steps, steps_per_epoch=epoch_steps,
        warmup_steps=warmup, lr=peak, min_lr=args["min_lr"],
        weight_decay=args["weight_decay"], weight_decay_end=args["weight_decay_end"],
        clip_grad=args["clip_grad"], momentum=args["momentum_teacher"], momentum_end=1.0,
        out_dim=args["out_dim"], head_hidden=content["student"]["module.head.mlp.0.weight"].shape[0],
        norm_last_layer=args["norm_last_layer"],
        freeze_last_layer_steps=args["freeze_last_layer"] * epoch_steps,
        teacher_temp=args["teacher_temp"], warmup_teacher_temp=args["warmup_teacher_temp"],
        warmup_teacher_temp_epochs=args["warmup_teacher_temp_epochs"],
        monitor_every=max(10, steps // 10), log_every=math.ceil(steps / 2000), seed=args["seed"],
        precision="float32",
        reasons={"batch_size": f"{args['batch_size_per_gpu']} a process, and the learning rate was that of "
                               f"{processes} processes"},
    )  # fmt: skip


def _args(recipe: Recipe) -> dict[str, Any]:
    epochs = recipe.steps / recipe.steps_per_epoch
    return {
        "arch": recipe.model, "patch_size": recipe.patch_size, "out_dim": recipe.out_dim,
        "norm_last_layer": recipe.norm_last_layer, "momentum_teacher": recipe.momentum,
        "use_bn_in_head": False, "warmup_teacher_temp": recipe.warmup_teacher_temp,
        "teacher_temp": recipe.teacher_temp, "warmup_teacher_temp_epochs": recipe.warmup_teacher_temp_epochs,
        "weight_decay": recipe.weight_decay, "weight_decay_end": recipe.weight_decay_end,
        "clip_grad": recipe.clip_grad, "batch_size_per_gpu": recipe.batch_size,
        "epochs": math.ceil(epochs),
        "freeze_last_layer": math.ceil(recipe.freeze_last_layer_steps / recipe.steps_per_epoch),
        "lr": recipe.lr * 256 / recipe.batch_size,
        "warmup_epochs": round(recipe.warmup_steps / recipe.steps_per_epoch), "min_lr": recipe.min_lr,
        "optimizer": "adamw", "drop_path_rate": recipe.drop_path,
        "global_crops_scale": list(recipe.global_scale), "local_crops_number": recipe.local_views,
        "local_crops_scale": list(recipe.local_scale), "seed": recipe.seed,
    }  # fmt: skip
