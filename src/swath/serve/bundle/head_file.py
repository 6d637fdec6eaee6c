"""The head that goes into a bundle: of a probe, or of a run that was fine-tuned."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from swath.data.bands import TileFormat
from swath.errors import DataError, UsageError
from swath.features.content import Content
from swath.features.head import head_path, read_contract
from swath.models.dense_head import dense_head_of
from swath.models.vit import ViTShape
from swath.models.weights import load_weights, read_metadata
from swath.runtime.checkpoint import Checkpoint, digest
from swath.serve.bundle.description import HeadFacts, Scores, Task

_EXPECTED = "expected RUN/probe-linear.json or RUN/probe-segmentation.json"
MEASURES = ("map_macro", "map_micro", "f1_macro", "accuracy", "miou", "pixel_accuracy")


@dataclass(frozen=True)
class FoundHead:
    """Tensors and facts of a head, and what it reads: whose weights, which feature, pixels of which scale."""

    tensors: Mapping[str, Tensor]
    facts: HeadFacts
    whose: str
    content: Content
    tiles: TileFormat


def probed_head(probe_json: Path, checkpoint: Checkpoint) -> FoundHead:
    """The head beside the file that `swath probe` wrote.

    Raises:
        UsageError: not such a file, or the probe has no head (knn).
        DataError: the head is damaged, or was fitted on another checkpoint.
    """
    probe = _read_probe(probe_json)
    whose = str(probe.get("settings", {}).get("weights", "teacher"))
    if probe["task"] == "segmentation":
        return _dense(probe_json, probe, checkpoint, whose)
    path = head_path(probe_json)
    contract = read_contract(path)
    _check_checkpoint(path, contract.checkpoint, checkpoint)
    shape = ViTShape.from_json(checkpoint.state["vit"])
    return FoundHead(
        tensors=load_weights(path),
        facts=_facts(probe, contract.class_names, contract.split),
        whose=whose,
        content=Content.said(contract.features, depth=shape.depth),
        tiles=TileFormat.from_json(contract.tiles),
    )


def tuned_head(checkpoint: Checkpoint, folder: Path) -> FoundHead | None:
    """The head that a fine-tuning trained with the network, None where the run is no fine-tuning.

    Raises:
        DataError: the run was fine-tuned by a version that did not say on what kind of labels.
    """
    state = checkpoint.state
    if not str(state.get("method", "")).startswith("finetune"):
        return None
    if state.get("task") not in get_args(Task):
        raise DataError(f"{checkpoint.path} does not say its task; fine-tune again with this swath.")
    whole = "head."
    teacher = checkpoint.tensors["teacher"]
    head = {name.removeprefix(whole): value for name, value in teacher.items() if name.startswith(whole)}
    result = folder / "finetune.json"
    tested = json.loads(result.read_bytes()) if result.is_file() else {}
    facts = HeadFacts(
        task=state["task"],
        class_names=tuple(state["vocabulary"]),
        split=str(state.get("split_digest", "")),
        scores=_measured(tested.get("scores", {}).get("fine-tuned", {})),
        n_train=int(tested.get("n_train", 0)),
        n_test=int(tested.get("n_test", 0)),
    )
    tensors = head if facts.task == "segmentation" else _as_probe(head)
    return FoundHead(tensors, facts, "teacher", Content(), TileFormat.from_json(state["tiles"]))


def _as_probe(linear: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A linear map (K, D) in the names of a probe: no mean, no spread."""
    weights, bias = linear["weight"].T.contiguous(), linear["bias"]
    return {
        "weights": weights,
        "bias": bias,
        "mean": torch.zeros(len(weights)),
        "std": torch.ones(len(weights)),
    }


def _read_probe(path: Path) -> dict[str, Any]:
    try:
        probe = json.loads(path.read_bytes())
        known = isinstance(probe, dict) and {"task", "probe", "digests"} <= set(probe)
    except FileNotFoundError as error:
        raise UsageError(f"no file {path}; {_EXPECTED}") from error
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read as JSON; expected the .json that swath probe wrote"
        ) from error
    if not known:
        raise UsageError(f"{path} is not what swath probe wrote; {_EXPECTED}")
    if probe["probe"] == "knn":
        raise UsageError(f"{path}: neighbours have no head; bundle a linear probe: swath probe RUN TILES")
    return dict(probe)


def _dense(path: Path, probe: dict[str, Any], checkpoint: Checkpoint, whose: str) -> FoundHead:
    where = path.with_suffix(".safetensors")
    metadata = read_metadata(where)
    if metadata.get("task") != "segmentation":
        raise DataError(f"{where} is no head of a segmentation; probe again: swath probe RUN TILES")
    _check_checkpoint(where, metadata["checkpoint"], checkpoint)
    tensors = load_weights(where)
    dense_head_of(tensors)
    names = tuple(json.loads(metadata["class_names"]))
    tiles = TileFormat.from_json(checkpoint.state["tiles"])
    split = str(probe["digests"].get("split", ""))
    return FoundHead(tensors, _facts(probe, names, split), whose, Content(), tiles)


def _facts(probe: dict[str, Any], class_names: tuple[str, ...], split: str) -> HeadFacts:
    return HeadFacts(
        task=probe["task"],
        class_names=class_names,
        split=split,
        scores=_measured(probe),
        n_train=int(probe["n_train"]),
        n_test=int(probe["n_test"]),
    )


def _measured(values: Mapping[str, Any]) -> Scores:
    return {name: values[name] for name in MEASURES if values.get(name) is not None}


def _check_checkpoint(path: Path, fitted_on: str, checkpoint: Checkpoint) -> None:
    if fitted_on != digest(checkpoint.path):
        raise DataError(
            f"{path} was fitted on checkpoint {fitted_on[:12]}; the run's newest is "
            f"{digest(checkpoint.path)[:12]} (step {checkpoint.step}). Probe again: swath probe RUN TILES"
        )
