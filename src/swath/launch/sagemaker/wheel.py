"""The code of a job: swath as a wheel, made from the files that run here, and the versions it runs with here.

Nothing else travels: no folder of the user, so no .git, no .env and no data.
"""

import base64
import hashlib
import io
import re
import zipfile
from importlib import metadata
from pathlib import Path

_CODE = {".py", ".css", ".js", ".html", ".json", ".typed", ".svg", ".md", ".sh"}
# Those of the image fit its driver and its GPUs.
_OF_THE_IMAGE = re.compile(r"^(torch|triton|nvidia-.*|cuda-.*|swath)$")
_WHEEL = "Wheel-Version: 1.0\nGenerator: swath\nRoot-Is-Purelib: true\nTag: py3-none-any\n"

START = "start.sh"


def code_files() -> dict[str, bytes]:
    """All that a container needs to become swath, by file name: they lie side by side in one folder."""
    name, content = build_wheel()
    start = Path(__file__).with_name(START).read_bytes()
    return {name: content, "constraints.txt": constraints().encode(), START: start}


def build_wheel() -> tuple[str, bytes]:
    """File name and bytes of a wheel of this swath; the same bytes for the same code.

    Its version names the code: pip leaves a swath of the same version, which an image may have, in place.
    """
    root = Path(__file__).parents[2]
    files = {
        f"swath/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and (path.suffix in _CODE) and "__pycache__" not in path.parts
    }
    code = int(hashlib.sha256(_record(files, "")).hexdigest()[:8], base=16)
    version = f"{metadata.version('swath')}.post{code}"
    info = f"swath-{version}.dist-info"
    asked = [f"Requires-Dist: {line}" for line in metadata.requires("swath") or []]
    about = ["Metadata-Version: 2.1", "Name: swath", f"Version: {version}", *asked, ""]
    files[f"{info}/METADATA"] = "\n".join(about).encode()
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    files[f"{info}/entry_points.txt"] = b"[console_scripts]\nswath = swath.cli:main\n"
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    return f"swath-{version}-py3-none-any.whl", _zipped(files)


def constraints() -> str:
    """name==version of all that swath needs, as installed here; torch and its needs stay the image's."""
    lines = [
        f"{name}=={metadata.version(name)}"
        for name in sorted(_needed("swath"))
        if not _OF_THE_IMAGE.fullmatch(name)
    ]
    return "\n".join(lines) + "\n"


def _needed(name: str) -> set[str]:
    """The distributions that `name` asks for without extras, and what they ask for, as far as installed;
    what torch needs is the image's as torch is.
    """
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        try:
            asked = metadata.requires(current) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(current)
        if current != name and _OF_THE_IMAGE.fullmatch(current):
            continue
        waiting += [_normal(_NAME.match(line)[0]) for line in asked if "extra ==" not in line]  # type: ignore[index]
    return found


_NAME = re.compile(r"[A-Za-z0-9._-]+")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _record(files: dict[str, bytes], own: str) -> bytes:
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    return ("\n".join([*lines, f"{own},,"]) + "\n").encode()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, date_time=(2000, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, content)
    return stream.getvalue()
