"""A stage as it is asked for on SageMaker -> its settings inside the container, and the S3 data it reads.

The settings of a stage are asked for in the same words as here; what they name on S3 becomes a channel, and
the value becomes the folder in which the container finds that channel.
"""

import json
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, create_model

import swath.config
from swath.arguments import validate
from swath.config import Settings
from swath.config.sagemaker import JobConfig
from swath.config.settings import Location, comma_list
from swath.errors import UsageError
from swath.location import S3Path

Locations = Annotated[tuple[Location, ...], BeforeValidator(comma_list)]

BASE = "/opt/ml"  # where a container of SageMaker has everything
VERB = "swath_verb"
Kind = Literal["training", "processing"]
# Characters of a hyperparameter, and of an argument: botocore's models of both kinds of job.
_LONGEST: dict[Kind, int] = {"training": 2500, "processing": 256}
_RESULT = f"{BASE}/model"
OUTPUT = f"{BASE}/processing/output"


@dataclass(frozen=True)
class JobVerb:
    """A stage that can be a job: its settings, where it writes ("" where the user says), and whether a run
    that it reads is copied first, since the stage writes beside it.

    What looks at data once is a processing job, whose machines share the data: `shared` names the setting
    whose files are dealt out among them. `recorded` names the setting whose places the result holds: they
    have to be those of S3, not those of a container that is gone.
    """

    settings: str
    out: str
    beside_run: bool = False
    kind: Kind = "training"
    shared: str = ""
    recorded: str = ""


VERBS = {
    "index": JobVerb("IndexConfig", "", recorded="source"),
    "pack": JobVerb("PackConfig", ""),
    "pretrain": JobVerb("PretrainConfig", f"{BASE}/checkpoints/run"),
    "embed": JobVerb("EmbedConfig", f"{OUTPUT}/features.parquet", kind="processing"),
    "predict": JobVerb("PredictConfig", OUTPUT, kind="processing", shared="scenes"),
    "probe": JobVerb("ProbeConfig", "", beside_run=True),
    "ladder": JobVerb("LadderConfig", f"{_RESULT}/ladder"),
    "finetune": JobVerb("FinetuneConfig", f"{BASE}/checkpoints/run"),
}


@dataclass(frozen=True)
class Channel:
    """Data that a job reads, in a folder of its own in the container; `shared`: each machine gets some of
    its files.
    """

    name: str
    uri: S3Path
    shared: bool = False


@dataclass(frozen=True)
class StageWords:
    """What the container is told: `hyperparameters`, one a setting, and the channels that they point into.

    `reads` is all on S3 that the job reads, be it by a channel or by swath itself; `writes` what it writes
    there itself.
    """

    verb: str
    hyperparameters: dict[str, str]
    channels: tuple[Channel, ...]
    reads: tuple[S3Path, ...]
    writes: tuple[S3Path, ...]

    @property
    def kind(self) -> Kind:
        return VERBS[self.verb].kind


def input_folder(kind: Kind, channel: str) -> str:
    """Where a container finds a channel."""
    return f"{BASE}/input/data/{channel}" if kind == "training" else f"{BASE}/processing/input/{channel}"


def asked_model(verb: str) -> type[Settings]:
    """The settings of a job of this stage: those of the stage, where paths may be on S3, and of the job."""
    stage = _settings(verb)
    fields: dict[str, Any] = {
        name: (_on_s3_too(field.annotation), field)
        for name, field in stage.model_fields.items()
        if name not in JobConfig.model_fields and not (name == "out" and VERBS[verb].out)
    }
    model: type[Settings] = create_model(f"{verb}Job", __base__=JobConfig, __doc__=stage.__doc__, **fields)
    return model


def stage_words(verb: str, asked: BaseModel, *, direct: bool) -> StageWords:
    """Translate; `direct`: what swath can read from S3 itself stays an s3:// address.

    Raises:
        UsageError: a path of this machine, a value too long, or settings that the stage refuses.
    """
    stage, how = _settings(verb), VERBS[verb]
    channels: list[Channel] = []
    read: list[S3Path] = []
    written: list[S3Path] = []
    values: dict[str, Any] = {}
    for name in stage.model_fields:
        if name not in asked.model_fields_set or name in JobConfig.model_fields:
            continue
        is_copied = how.beside_run and name == "run"
        is_direct = direct and not is_copied and _reads_s3(stage.model_fields[name].annotation)
        stays = is_direct or name in {"out", how.recorded}
        (written if name == "out" else read).extend(_places(getattr(asked, name)))
        values[name] = _in_container(name, getattr(asked, name), stays=stays, channels=channels, how=how)
    if how.out:
        values["out"] = how.out
    if how.beside_run:
        values["run"] = f"{_RESULT}/run"
    validate(stage, values)
    told = {VERB: verb, **{name: _as_text(value) for name, value in values.items()}}
    for name, text in told.items():
        if len(text) > _LONGEST[how.kind]:
            raise UsageError(
                f"--{name.replace('_', '-')} has {len(text):,} characters; SageMaker takes "
                f"{_LONGEST[how.kind]:,}. Put it into a file on S3, or name fewer."
            )
    return StageWords(verb, told, tuple(channels), tuple(read), tuple(written))


def _settings(verb: str) -> type[Settings]:
    model: type[Settings] = getattr(swath.config, VERBS[verb].settings)
    return model


def _in_container(name: str, value: object, *, stays: bool, channels: list[Channel], how: JobVerb) -> object:
    """A path on S3 -> the place of its channel; several paths -> several channels."""
    if isinstance(value, tuple) and any(isinstance(item, Path | S3Path) for item in value):
        return tuple(
            _in_container(f"{name}{number}", item, stays=stays, channels=channels, how=how)
            for number, item in enumerate(value)
        )
    if isinstance(value, Path):
        raise UsageError(
            f"--{name.replace('_', '-')} {value} is on this machine, which a job does not see; copy it: "
            f"aws s3 cp --recursive {value} s3://BUCKET/KEY"
        )
    if not isinstance(value, S3Path) or stays:
        return value
    channels.append(Channel(name, value, shared=bool(how.shared) and name.startswith(how.shared)))
    folder = input_folder(how.kind, name)
    return f"{folder}/{value.name}" if is_object(value) else folder


def _places(value: object) -> list[S3Path]:
    items = value if isinstance(value, tuple) else (value,)
    return [item for item in items if isinstance(item, S3Path)]


def is_object(path: S3Path) -> bool:
    """A file, which lies in its channel under its name; a pack is a folder, whatever its suffix."""
    return path.suffix not in {"", ".lance"}


def _as_text(value: object) -> str:
    if isinstance(value, str | Path | S3Path):
        return str(value)
    if isinstance(value, tuple):
        return json.dumps([item if isinstance(item, int | float) else str(item) for item in value])
    return json.dumps(value)


def _parts(annotation: Any) -> list[Any]:
    return [part for option in typing.get_args(annotation) for part in (option, *_parts(option))]


def _reads_s3(annotation: Any) -> bool:
    return S3Path in _parts(annotation)


def _on_s3_too(annotation: Any) -> Any:
    """Path -> Location, also within an option or a list; anything else as it is."""
    if annotation is Path:
        return Location
    parts = _parts(annotation)
    if Path not in parts or S3Path in parts:
        return annotation
    return (
        Locations if tuple in {typing.get_origin(part) for part in (annotation, *parts)} else Location | None
    )
