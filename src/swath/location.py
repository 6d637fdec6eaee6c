"""Where a file or folder lies: a path of this machine or `s3://bucket/key`, spoken of in the same few words.

`Path("s3://bucket/key")` is "s3:/bucket/key", hence a type of its own. What is done there is in `storage.py`.
"""

import re
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path, PurePosixPath
from typing import Self

from swath.errors import UsageError

_SCHEME = re.compile(r"^s3:/+", re.IGNORECASE)
_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}")


@dataclass(frozen=True, order=True)
class S3Path:
    """An object, or everything below a prefix; joined, named and printed as a pathlib.Path is.

    Raises:
        UsageError: it names no bucket, or the key has empty or dotted parts, which S3 takes literally.
    """

    bucket: str
    key: str = ""

    def __post_init__(self) -> None:
        if not _BUCKET.fullmatch(self.bucket):
            raise UsageError(f"{self} names no bucket; expected s3://BUCKET/KEY.")
        if self.key and any(part in {"", ".", ".."} for part in self.key.split("/")):
            raise UsageError(f"{self} has an empty or dotted part; expected s3://BUCKET/KEY.")

    @classmethod
    def parse(cls, text: str) -> Self:
        bucket, _, key = text[5:].partition("/")
        return cls(bucket, key.rstrip("/"))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}".rstrip("/")

    def __truediv__(self, below: str) -> Self:
        return type(self)(self.bucket, f"{self.key}/{below}" if self.key else below)

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self.key).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.key).suffix

    @property
    def parent(self) -> Self:
        return type(self)(self.bucket, self.key.rpartition("/")[0])

    def with_name(self, name: str) -> Self:
        return self.parent / name


Location = Path | S3Path


def location(value: str | PathLike[str]) -> Location:
    """Read what a user typed.

    Raises:
        UsageError: it begins with s3: and is no place on S3.
    """
    text = fspath(value)
    if not _SCHEME.match(text):
        return Path(text)
    if not text[:5].lower() == "s3://":  # what pathlib makes of it, and common typing errors
        raise UsageError(
            f"{text} is no place on S3; expected s3://BUCKET/KEY (in Python as text, not as Path)."
        )
    return S3Path.parse(text)


def absolute(path: Location) -> str:
    """The text that still says where `path` is when the working directory is another."""
    return str(path if isinstance(path, S3Path) else path.resolve())
