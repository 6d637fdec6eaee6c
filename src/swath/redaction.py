"""Secrets in text: seen before something is sent where others can read it, and taken out of what is printed.

AWS keys and tokens, also those of this process's environment; signatures of signed URLs; passwords in URLs;
and what follows a name such as `password=`.
"""

import os
import re
from collections.abc import Iterator
from typing import Any

_MARK = "[secret]"
_WORDS = "secret password passwd api_?key access_?key private_?key (?:session|security|auth)[_-]?token"
_NAME = rf"[\w-]*(?:{'|'.join(_WORDS.split())})[\w-]*"
_NAMED = re.compile(rf"{_NAME}|[\w-]*token", re.IGNORECASE)
_PATTERNS = (
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    re.compile(r"(?<=:/)/?[^/\s:@]*:[^\s@]+(?=@)"),  # pathlib makes one slash of two
    re.compile(r"(?<=[?&]X-Amz-Signature=)[^&\s\"']+", re.IGNORECASE),
    re.compile(r"(?<=[?&]Signature=)[^&\s\"']+", re.IGNORECASE),
    re.compile(r"(?<=[?&]sig=)[^&\s\"']+", re.IGNORECASE),
)
_AFTER_NAME = re.compile(rf"({_NAME}[\"']?\s?[=:]\s?[\"']?)([^\s\"'&,;]{{8,}})", re.IGNORECASE)
_OF_AWS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
_SHORTEST = 8  # a shorter word would be taken out of sentences


def redacted(text: str) -> str:
    """The text with a mark in the place of each secret."""
    for name in _OF_AWS:
        value = os.environ.get(name, "")
        if len(value) >= _SHORTEST:
            text = text.replace(value, f"[{name}]")
    for pattern in _PATTERNS:
        text = pattern.sub(_MARK, text)
    return _AFTER_NAME.sub(rf"\g<1>{_MARK}", text)


def places_of_secrets(value: Any, at: str = "") -> Iterator[str]:
    """Where a request, a dict of any depth, holds a secret or a variable that is named like one."""
    if isinstance(value, dict):
        for name, inner in value.items():
            place = f"{at}.{name}".lstrip(".")
            if isinstance(inner, str) and (redacted(inner) != inner or _NAMED.fullmatch(name)):
                yield place
            elif not isinstance(inner, str):
                yield from places_of_secrets(inner, place)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, str) and redacted(item) != item:
                yield at
            else:
                yield from places_of_secrets(item, at)
