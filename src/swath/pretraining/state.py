"""A training as plain tensors and back, for checkpoints: student, teacher, extra (centre) and optimizer."""

import torch
from torch import Tensor

from swath.errors import DataError
from swath.pretraining.method import Method, Network

TensorFiles = dict[str, dict[str, Tensor]]
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def gather(method: Method, optimizer: torch.optim.AdamW) -> TensorFiles:
    """Every tensor that the next step depends on, by file and name; these are views, not copies."""
    files = {
        "student": dict(method.student.state_dict()),
        "teacher": dict(method.teacher.state_dict()),
        "optimizer": _moments(method.student, optimizer),
    }
    extra = method.extra_state()
    return files | ({"extra": extra} if extra else {})


@torch.no_grad()
def restore(files: TensorFiles, method: Method, optimizer: torch.optim.AdamW) -> None:
    """Set a freshly built training to a saved state.

    Raises:
        DataError: the names do not match; the first that differ are named.
    """
    for name, network in (("student", method.student), ("teacher", method.teacher)):
        _same_names(name, set(network.state_dict()), set(files[name]))
        network.load_state_dict(files[name])
    for key, tensor in method.extra_state().items():
        tensor.copy_(files["extra"][key])
    optimizer.state.clear()
    names = {id(parameter): name for name, parameter in method.student.named_parameters()}
    saved = files["optimizer"]
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            if f"{name}.step" in saved:
                optimizer.state[parameter] = {
                    moment: saved[f"{name}.{moment}"].to(parameter.device, copy=True) for moment in _MOMENTS
                }


def _moments(student: Network, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    moments = {}
    for name, parameter in student.named_parameters():
        for moment, value in optimizer.state.get(parameter, {}).items():
            moments[f"{name}.{moment}"] = value
    return moments


def _same_names(what: str, ours: set[str], saved: set[str]) -> None:
    different = sorted(ours ^ saved)
    if different:
        raise DataError(
            f"the {what} of this checkpoint is another network: {', '.join(different[:5])} differ"
        )
