"""The addresses of the page's server. Everything is read, but for the label files of the run."""

import json
import struct
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import numpy as np

from swath.errors import MachineError, SwathError
from swath.serve.explore.access import Access, App, Gate
from swath.serve.explore.archive import Archive
from swath.serve.explore.label_files import Marks
from swath.serve.explore.payload import payload_of
from swath.serve.explore.session import Session
from swath.serve.explore.thumbnails import MOST_ON_A_SHEET, SIDES_PX

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_FILES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
# Pictures carry the digest of the pack in their address.
_FOR_A_DAY = {"cache-control": "private, max-age=86400"}
_NEVER = {"cache-control": "no-store"}
_MOST_NEIGHBOURS = 200

if TYPE_CHECKING:
    from fastapi import FastAPI


def make_app(archive: Archive, access: Access) -> App:
    """The whole server behind its gate.

    Raises:
        MachineError: FastAPI is not installed.
    """
    try:
        from fastapi import FastAPI  # noqa: PLC0415 -- of the extra [serve]
    except ImportError as error:
        raise MachineError(
            'swath explore needs FastAPI and uvicorn, which are not installed: pip install "swath[serve]"'
        ) from error
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_page(app)
    _add_archive(app, archive)
    _add_pictures(app, archive)
    _add_labels(app, Session(archive))
    return Gate(app, access)


def _add_page(app: "FastAPI") -> None:
    """Files of the package by name, read at the start: no path of a request is ever opened."""
    from fastapi import HTTPException, Response  # noqa: PLC0415 -- of the extra [serve]

    folder = resources.files("swath.serve.explore") / "page"
    files = {entry.name: entry.read_bytes() for entry in folder.iterdir()}

    @app.get("/")
    def page() -> Response:
        return Response(files["index.html"], media_type=_TYPES[".html"], headers=_NEVER)

    @app.get("/page/{name}")
    def part(name: str) -> Response:
        suffix = name[name.rfind(".") :]
        if name not in files or suffix not in _TYPES:
            raise HTTPException(404, "no such file of the page")
        return Response(files[name], media_type=_TYPES[suffix], headers=_NEVER)


def _add_archive(app: "FastAPI", archive: Archive) -> None:
    from fastapi import Path, Query, Response  # noqa: PLC0415 -- of the extra [serve]

    payload = payload_of(archive)
    row_of_archive = Path(ge=0, lt=len(archive))

    @app.get("/api/archive")
    def about() -> dict[str, Any]:
        return payload.about

    @app.get("/api/block")
    def block() -> Response:
        return Response(payload.block, media_type="application/octet-stream", headers=_NEVER)

    @app.get("/api/tile/{row}")
    def tile(row: Annotated[int, row_of_archive]) -> dict[str, Any]:
        return archive.about(row)

    @app.get("/api/neighbours/{row}")
    def neighbours(
        row: Annotated[int, row_of_archive], k: Annotated[int, Query(ge=1, le=_MOST_NEIGHBOURS)] = 24
    ) -> dict[str, Any]:
        rows, similarities = archive.neighbours(row, k)
        return {"row": row, "rows": rows, "similarities": similarities}


def _add_pictures(app: "FastAPI", archive: Archive) -> None:
    from fastapi import HTTPException, Path, Response  # noqa: PLC0415 -- of the extra [serve]

    def side(px: int) -> int:
        if px not in SIDES_PX:
            raise HTTPException(422, f"pictures are {', '.join(map(str, SIDES_PX))} px")
        return px

    @app.get("/picture/{row}")
    def picture(row: Annotated[int, Path(ge=0, lt=len(archive))], px: int = 64) -> Response:
        png = archive.thumbnails.picture(row, side(px))
        return Response(png, media_type="image/png", headers=_FOR_A_DAY)

    @app.get("/sheet")
    def sheet(rows: str, px: int = 32) -> Response:
        try:
            numbers = np.asarray([int(word) for word in rows.split(",")], dtype=np.int64)
        except (ValueError, OverflowError):
            raise HTTPException(422, "rows are numbers with commas") from None
        if len(numbers) > MOST_ON_A_SHEET or numbers.min() < 0 or numbers.max() >= len(archive):
            raise HTTPException(422, f"a sheet has up to {MOST_ON_A_SHEET} tiles of this archive")
        png = archive.thumbnails.sheet(numbers, side(px))
        return Response(png, media_type="image/png", headers=_FOR_A_DAY)


def _add_labels(app: "FastAPI", session: Session) -> None:
    from fastapi import HTTPException, Response  # noqa: PLC0415 -- of the extra [serve]
    from fastapi.responses import JSONResponse  # noqa: PLC0415
    from pydantic import BaseModel, ConfigDict  # noqa: PLC0415 -- only this function needs it

    class Asked(BaseModel):
        model_config = ConfigDict(extra="forbid")
        label: str
        positive: tuple[int, ...]
        negative: tuple[int, ...]

    @app.get("/api/labels")
    def labels() -> list[dict[str, Any]]:
        return session.labels()

    @app.get("/labels/{name}")
    def file(name: str) -> Response:
        """NAME.csv or NAME.parquet, to save elsewhere."""
        label, _, kind = name.rpartition(".")
        try:
            path = session.folder.file(label).with_suffix(f".{kind}")
        except SwathError as error:
            raise HTTPException(404, str(error)) from None
        if kind not in _FILES or not path.is_file():
            raise HTTPException(404, f"no labels called {name}")
        headers = {**_NEVER, "content-disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
        return Response(path.read_bytes(), media_type=_FILES[kind], headers=headers)

    @app.post("/api/labels")
    def take(asked: Asked) -> Response:
        """Length of a JSON text (uint32), the text, and a float32 score for every tile."""
        try:
            found, scores = session.take(Marks(asked.label, asked.positive, asked.negative))
        except SwathError as error:
            return JSONResponse({"detail": str(error)}, status_code=422)
        text = json.dumps(found).encode()
        text += b" " * (-len(text) % 4)  # float32 begin at a multiple of four
        body = struct.pack("<I", len(text)) + text + scores.astype("<f4").tobytes()
        return Response(body, media_type="application/octet-stream", headers=_NEVER)
