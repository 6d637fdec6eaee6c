"""The first process of a processing container: does the part of the work that falls to this machine.

SageMaker deals files out by key and copies what each machine made to one place, so each writes to a folder of
its own there (parts.py). What lies in /opt/ml/output/message at the end is shown with the job.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swath.errors import DataError, SwathError
from swath.launch.sagemaker.container import Container, base_folder, words_of
from swath.launch.sagemaker.first_process import STOPPED, say, supervised
from swath.launch.sagemaker.parts import BAD_SCENES, part_name
from swath.launch.sagemaker.stage_words import VERBS
from swath.redaction import redacted

_MESSAGE_CHARS = 1024
_ON_S3 = "s3://"


def main(arguments: Sequence[str]) -> int:
    """Run the stage on the data of this machine; its exit code is the container's.

    Scenes that cannot be read are listed, and the job ends well: SageMaker keeps the results of no other.
    """
    try:
        container = Container.of_processing(arguments)
        verb, values = container.told()
        values = _share(container, verb, values)
        words = words_of(verb, values) if values else []
    except SwathError as error:
        say(f"swath: {error}")
        _leave_message(str(error))
        return error.exit_code
    if not words:
        say(f"swath: {container.host} of {len(container.hosts)}: no file fell to this machine")
        return 0
    say(f"swath: {container.host} of {len(container.hosts)}: swath {' '.join(words)}")
    code, last = supervised([sys.executable, "-m", "swath.cli", *words])
    if code == DataError.exit_code and (bad := Path(values["out"]) / BAD_SCENES).exists():
        count = len(bad.read_text(encoding="utf-8").splitlines()) - 1
        _leave_message(
            f"{container.host}: {count} scenes could not be read and are left out, see {BAD_SCENES}. "
        )
        return 0
    if code not in {0, STOPPED}:
        _leave_message(last or f"swath {verb} ended with code {code}")
    return code


def _share(container: Container, verb: str, values: dict[str, Any]) -> dict[str, Any]:
    """The settings for this machine; {} where no file of those that are dealt out fell to it.

    What is dealt out lies in folders; what is read from S3 is shared by number.
    """
    shared, number, of = VERBS[verb].shared, container.number + 1, len(container.hosts)
    places = values.get(shared, ())
    held = tuple(place for place in places if not _is_empty(place))
    if places:
        values = values | {shared: held} if held else {}
    if of == 1 or "out" not in values:
        return values
    out = Path(values["out"])
    folder, name = (out, "") if out.suffix == "" else (out.parent, out.name)
    values = values | {"out": str(folder / part_name(number, of) / name)}
    if not held or held[0].startswith(_ON_S3):
        values["part"] = f"{number}/{of}"
    return values


def _is_empty(place: str) -> bool:
    """Of what is dealt out, a machine may get nothing: a folder without a file, or no such file."""
    path = Path(place)
    is_there = place.startswith(_ON_S3) or path.is_file() or any(p.is_file() for p in path.rglob("*"))
    return not is_there


def _leave_message(text: str) -> None:
    folder = base_folder() / "output"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "message").write_text(redacted(text)[:_MESSAGE_CHARS], encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
