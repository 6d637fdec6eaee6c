import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from swath.config import DownloadConfig
from swath.errors import Stopped, UsageError
from swath.prepare.download import read_table, run


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture
def mirror(tmp_path):
    """A table whose addresses lead to three small files on loopback."""
    (tmp_path / "served").mkdir()
    lines = ["bigearthnet:v2:"]
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "served"))
    for part in ("metadata", "s2", "s1"):
        content = part.encode() * 1000
        (tmp_path / "served" / f"{part}.bin").write_bytes(content)
        lines += [f"  {part}:", f"    url: http://127.0.0.1:{server.server_port}/{part}.bin"]
        lines += [f"    md5: {hashlib.md5(content, usedforsecurity=False).hexdigest()}"]
    (tmp_path / "mirror.yaml").write_text("\n".join(lines))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield tmp_path / "mirror.yaml"
    server.shutdown()
    server.server_close()


def test_parts_come_from_the_table_and_sentinel1_only_when_asked_for(tmp_path, mirror):
    out = tmp_path / "out"
    result = run(DownloadConfig(source="bigearthnet:v2", out=out, table=mirror))
    assert result.files == {"metadata": str(out / "metadata.bin"), "s2": str(out / "s2.bin")}
    assert (out / "s2.bin").read_bytes() == b"s2" * 1000
    assert result.bytes == 10_000
    run(DownloadConfig(source="bigearthnet:v2", out=out, table=mirror, only="s1"))
    assert (out / "s1.bin").exists()


def test_a_part_that_is_none_names_the_nearest(tmp_path, mirror):
    with pytest.raises(
        UsageError, match=r'has no part "metadat"; parts: metadata, s2, s1. Did you mean "metadata"'
    ):
        run(DownloadConfig(source="bigearthnet:v2", out=tmp_path, table=mirror, only="metadat"))
    with pytest.raises(UsageError, match=r"mirror.yaml has no bigearthnet:v1; it has bigearthnet:v2"):
        run(DownloadConfig(source="bigearthnet:v1", out=tmp_path, table=mirror))


def test_stopping_says_what_is_kept(tmp_path, mirror, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("swath.prepare.download.fetch", interrupted)
    with pytest.raises(Stopped, match=r"what was fetched is kept in .* and the same command goes on"):
        run(DownloadConfig(source="bigearthnet:v2", out=tmp_path / "out", table=mirror))


def test_the_table_that_comes_with_swath_has_the_published_digests():
    table = read_table(None)
    assert {source: list(parts) for source, parts in table.items()} == {
        "bigearthnet:v1": ["s2", "s1"], "bigearthnet:v2": ["metadata", "s2", "s1", "maps"],
    }  # fmt: skip
    assert table["bigearthnet:v1"]["s2"].md5 == "5a64e9ce38deb036a435a7b59494924c"
    assert table["bigearthnet:v1"]["s1"].md5 == "94ced73440dea8c7b9645ee738c5a172"
    assert table["bigearthnet:v2"]["metadata"].md5 == "55687065e77b6d0b0f1ff604a6e7b49c"
    assert table["bigearthnet:v1"]["s2"].name == "BigEarthNet-S2-v1.0.tar.gz"


@pytest.mark.parametrize(
    "text", ["a: b\n", "a:\n  b:\n    md5: x\n", "a:\n  b:\n    url: file:///etc/passwd\n"]
)
def test_a_table_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"t.yaml.*expected"):
        read_table(tmp_path / "t.yaml")
