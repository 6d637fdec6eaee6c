"""What jobs left behind: objects under their prefix and lines in the logs; listed first, deleted on proof."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from swath.config.sagemaker import CleanupConfig
from swath.errors import UsageError
from swath.launch.sagemaker.aws import Aws
from swath.launch.sagemaker.found import LOG_GROUPS
from swath.location import S3Path
from swath.results import Result

# US dollars a GB and month of S3 Standard, us-east-1; dated as prices.json.
_USD_GB_MONTH = 0.023
_AT_ONCE = 1000  # DeleteObjects takes no more


@dataclass(frozen=True)
class LeftOver(Result):
    """A row a job with objects, bytes in all and of its parts, log streams; what deleting asks for."""

    store: str
    jobs: list[dict[str, Any]]
    objects: int
    usd_month: float
    deleted: bool

    def lines(self) -> list[str]:
        rows = [
            f"{row['job']:50}  {row['objects']:>7,} objects  {row['bytes'] / 1e9:>9.3f} GB ("
            + ", ".join(f"{part} {size / 1e9:.3f}" for part, size in row["parts"].items())
            + f")  {row['log_streams']} log streams"
            for row in self.jobs
        ]
        total = f"{self.objects:,} objects under {self.store}, about {self.usd_month:.2f} US dollars a month"
        if self.deleted:
            return [*rows, f"deleted: {total}"]
        ask = f"to delete them: the same command with --delete --confirm {self.objects}"
        return [*rows, total, *([ask] if self.objects else [])]


def cleanup(config: CleanupConfig) -> LeftOver:
    """List, and delete where `confirm` is the number of objects that a listing shows now.

    Raises:
        UsageError: the number is another: what would be deleted is not what was seen.
    """
    aws, store = Aws(config.region), config.store
    assert isinstance(store, S3Path), "settings refuse anything else"
    found = _objects(aws, store, jobs=config.jobs)
    streams = {job: _streams(aws, job) for job in found}
    count = sum(len(objects) for objects in found.values())
    if config.delete and config.confirm != str(count):
        raise UsageError(
            f"--confirm {config.confirm or '(not given)'}: {count} objects are there now; look at the list "
            f"first (leave out --delete), then --delete --confirm {count}"
        )
    if config.delete:
        _delete(aws, store, found, streams)
    size = sum(size for objects in found.values() for _, size in objects)
    rows = [
        {
            "job": job,
            "objects": len(objects),
            "bytes": sum(size for _, size in objects),
            "parts": _parts(objects, below=f"{store.key}/{job}/".lstrip("/")),
            "log_streams": len(streams[job]),
        }
        for job, objects in found.items()
    ]
    return LeftOver(
        store=str(store),
        jobs=rows,
        objects=count,
        usd_month=size / 1e9 * _USD_GB_MONTH,
        deleted=config.delete,
    )


def _parts(objects: list[tuple[str, int]], *, below: str) -> dict[str, int]:
    """Bytes of code, checkpoints and output, which are the folders of a job."""
    parts: dict[str, int] = {}
    for key, size in objects:
        part = key.removeprefix(below).partition("/")[0]
        parts[part] = parts.get(part, 0) + size
    return parts


def _objects(aws: Aws, store: S3Path, *, jobs: tuple[str, ...]) -> dict[str, list[tuple[str, int]]]:
    """(key, bytes) of each object by job, which is the first folder below the prefix."""
    found: dict[str, list[tuple[str, int]]] = {}
    root = f"{store.key}/" if store.key else ""
    with aws.errors(str(store)):
        pages = aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=root)
        for item in (item for page in pages for item in page.get("Contents", [])):
            job, slash, _ = item["Key"].removeprefix(root).partition("/")
            if slash and (not jobs or job in jobs):
                found.setdefault(job, []).append((item["Key"], item["Size"]))
    return found


def _streams(aws: Aws, job: str) -> list[dict[str, str]]:
    """Group and name of the log streams of a job of either kind, as the client asks for them."""
    client = aws.client("logs")
    found = []
    for group in LOG_GROUPS.values():
        with aws.errors(f"logs of {job}"), contextlib.suppress(client.exceptions.ResourceNotFoundException):
            listed = client.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")
            found += [
                {"logGroupName": group, "logStreamName": stream["logStreamName"]}
                for stream in listed["logStreams"]
            ]
    return found


def _delete(
    aws: Aws,
    store: S3Path,
    found: dict[str, list[tuple[str, int]]],
    streams: dict[str, list[dict[str, str]]],
) -> None:
    s3, logs = aws.client("s3"), aws.client("logs")
    for keys in _batches([key for objects in found.values() for key, _ in objects]):
        with aws.errors(str(store)):
            s3.delete_objects(
                Bucket=store.bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
            )
    for stream in (stream for names in streams.values() for stream in names):
        with aws.errors(f"log stream {stream['logStreamName']}"):
            logs.delete_log_stream(**stream)


def _batches(keys: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]
