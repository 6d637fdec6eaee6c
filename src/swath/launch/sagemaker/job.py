"""A job, described and checked: everything that its request is made of, and nothing of AWS."""

import datetime as dt
import secrets
from dataclasses import dataclass
from typing import Any

from swath.config.sagemaker import JobConfig
from swath.errors import UsageError
from swath.launch.sagemaker.stage_words import StageWords
from swath.launch.sagemaker.tables import Image, choose_image
from swath.location import S3Path

_HOUR_S = 3600


@dataclass(frozen=True)
class Job:
    """One job, as it will be asked for. `folder` on S3 is its own: code, checkpoints and results."""

    name: str
    role: str
    region: str
    folder: S3Path
    image: Image
    words: StageWords
    asked: JobConfig

    @property
    def code(self) -> S3Path:
        return self.folder / "code"

    @property
    def checkpoints(self) -> S3Path:
        """Of the job's own, unless others were named: what is there is all downloaded at each start."""
        named = self.asked.checkpoints
        return named if isinstance(named, S3Path) else self.folder / "checkpoints"

    @property
    def max_s(self) -> int:
        return round(self.asked.max_hours * _HOUR_S)

    @property
    def max_wait_s(self) -> int | None:
        return None if self.asked.max_wait_hours is None else round(self.asked.max_wait_hours * _HOUR_S)


def describe_job(words: StageWords, asked: JobConfig, *, region: str, tables: dict[str, Any]) -> Job:
    """Put a job together.

    Raises:
        UsageError: role or store missing, settings that contradict each other, an image that does not fit.
    """
    problems = [*_missing(asked), *_contradictions(asked, words)]
    if problems:
        raise UsageError("\n".join(problems))
    store = asked.store
    assert isinstance(store, S3Path), "settings refuse anything else"
    name = asked.job_name or _new_name(words.verb)
    return Job(
        name=name,
        role=asked.role,
        region=region,
        folder=store / name,
        image=choose_image(asked.image, instance=asked.instance, region=region, tables=tables),
        words=words,
        asked=asked,
    )


def pairs(texts: tuple[str, ...], *, flag: str) -> dict[str, str]:
    """("a=1", "b=2") -> {"a": "1", "b": "2"}.

    Raises:
        UsageError: one without "=".
    """
    wrong = [text for text in texts if "=" not in text]
    if wrong:
        raise UsageError(f'{flag} "{wrong[0]}": expected NAME=VALUE')
    return dict(text.split("=", 1) for text in texts)


def _missing(asked: JobConfig) -> list[str]:
    lines = []
    if not asked.role:
        lines.append(
            "--role is missing: the ARN of the role that the job runs as (arn:aws:iam::ACCOUNT:role/NAME); "
            "what it must be allowed: swath sagemaker policy --store s3://BUCKET/PREFIX"
        )
    elif not asked.role.startswith("arn:"):
        lines.append(f"--role {asked.role}: expected an ARN, arn:aws:iam::ACCOUNT:role/NAME")
    if asked.store is None:
        lines.append("--store is missing: s3://BUCKET/PREFIX, where code, checkpoints and results go")
    return lines


def _contradictions(asked: JobConfig, words: StageWords) -> list[str]:
    lines = []
    if asked.spot and asked.max_wait_hours is None:
        lines.append(
            f"--spot needs --max-wait-hours, {asked.max_hours:g} or more: waiting for machines and running "
            "together"
        )
    elif asked.spot and asked.max_wait_hours is not None and asked.max_wait_hours < asked.max_hours:
        lines.append(
            f"--max-wait-hours {asked.max_wait_hours:g} is less than --max-hours {asked.max_hours:g}, which "
            "it includes"
        )
    if asked.max_wait_hours is not None and not asked.spot:
        lines.append("--max-wait-hours changes nothing without --spot")
    if asked.spot and asked.keep_alive_minutes:
        lines.append("--keep-alive-minutes with --spot: spot machines are not kept; leave one of them out")
    if bool(asked.subnets) != bool(asked.security_groups):
        lines.append("--subnets and --security-groups go together")
    if (asked.images_per_s is None) != (asked.images is None):
        lines.append("--images-per-s and --images go together: images / rate is the time")
    if asked.checkpoints is not None and words.verb not in {"pretrain", "finetune"}:
        lines.append(f"--checkpoints changes nothing for {words.verb}, which makes none")
    if asked.count > 1 and words.verb != "pretrain" and words.kind == "training":
        lines.append(f"--count {asked.count}: {words.verb} runs on one machine")
    if words.kind == "processing":
        lines += _not_of_processing(asked, words)
    return [*lines, *_around_store(asked, words)]


def _not_of_processing(asked: JobConfig, words: StageWords) -> list[str]:
    given = [
        flag
        for flag, value in (("--spot", asked.spot), ("--keep-alive-minutes", asked.keep_alive_minutes))
        if value
    ]
    lines = [f"{flag}: {words.verb} is a processing job, which has none; leave it out" for flag in given]
    if asked.input == "FastFile":
        lines.append(
            f"--input FastFile: {words.verb} is a processing job, which has none; leave it out, or say direct"
        )
    if asked.count > 1 and "part" in words.hyperparameters:
        lines.append("--part with --count: the machines of a job share its work; leave --part out")
    return lines


def _around_store(asked: JobConfig, words: StageWords) -> list[str]:
    """Results inside the data would be data of the next job."""
    written = [("--store", asked.store), ("--checkpoints", asked.checkpoints)]
    written += [("--out", path) for path in words.writes]
    return [
        f"{flag} {path} lies within {place}, which the job reads; choose a prefix beside it"
        for flag, path in written
        for place in words.reads
        if f"{path}/".startswith(f"{place}/")
    ]


def _new_name(verb: str) -> str:
    now = dt.datetime.now(dt.UTC)
    return f"swath-{verb}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
