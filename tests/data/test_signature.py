import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import rasterio

from swath.data.raster import inspect, read_window
from swath.errors import DataError

MAX_PIXELS = 10_000_000


def refused(path, **options):
    """The one line with which `inspect` refuses a file."""
    with pytest.raises(DataError) as caught:
        inspect(path, max_pixels=MAX_PIXELS, **options)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def write_tif(path):
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "width": 8, "height": 8}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=rasterio.Affine.scale(10), **profile) as out:
        out.write(np.ones((1, 8, 8), np.uint8))
    return path


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    path.touch()
    assert "is empty (0 bytes)" in refused(path)


def test_text_named_tif_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    path.write_text("hello world")
    assert "is not a GeoTIFF, JPEG 2000, PNG or JPEG (starts with 'hello world')" in refused(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code></Error>", "an S3 error page: AccessDenied"),
        ("<!DOCTYPE html><html></html>", "a web page"),
    ],
)
def test_error_pages_are_called_by_their_name(tmp_path, text, said):
    path = tmp_path / "a.tif"
    path.write_text(text)
    assert said in refused(path)


def vrt(source):
    return f"""<VRTDataset rasterXSize="10" rasterYSize="1"><VRTRasterBand dataType="Byte" band="1"
      subClass="VRTRawRasterBand"><SourceFilename relativetoVRT="0">{source}</SourceFilename></VRTRasterBand>
      </VRTDataset>"""


def test_a_virtual_raster_named_tif_is_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("0123456789")
    path = tmp_path / "a.tif"
    path.write_text(vrt(secret))
    assert "is a VRT (virtual raster), which may point to other files" in refused(path)
    with pytest.raises(DataError, match="VRT"):
        read_window(path, bands=(1,), window=(0, 0, 10, 1), out_px=(1, 10), max_pixels=MAX_PIXELS)


def test_no_request_leaves_for_a_virtual_raster_or_a_url(tmp_path):
    requests = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)

        do_HEAD = do_GET  # noqa: N815 -- the name that http.server calls

    server = HTTPServer(("127.0.0.1", 0), Listener)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/a.tif"
        path = tmp_path / "a.tif"
        path.write_text(vrt(f"/vsicurl/{url}"))
        refused(path)
        for name in (url, f"/vsicurl/{url}"):
            with pytest.raises(DataError, match="illegal file name"):
                inspect(Path(name), max_pixels=MAX_PIXELS)
    finally:
        server.shutdown()
        server.server_close()
    assert requests == []


@pytest.mark.parametrize(
    "name", ["a\0b.tif", "a\nb.tif", "GTIFF_DIR:1:a.tif", "vrt://a.tif?bands=1", "<VRTDataset/>"]
)
def test_names_that_gdal_would_not_take_for_a_file_are_illegal(name):
    with pytest.raises(DataError, match="illegal file name"):
        inspect(Path(name), max_pixels=MAX_PIXELS)


def test_a_path_or_a_link_out_of_the_root_is_refused(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    outside = write_tif(tmp_path / "a.tif")
    (root / "link.tif").symlink_to(outside)
    for path in (root / ".." / "a.tif", outside, root / "link.tif"):
        assert "leaves the data root" in refused(path, root=root)
    inside = write_tif(root / "b.tif")
    inspect(inside, root=root, max_pixels=MAX_PIXELS)


def test_missing_files_folders_dead_links_and_pipes_are_refused_at_once(tmp_path):
    assert "is missing" in refused(tmp_path / "no.tif")
    (tmp_path / "link.tif").symlink_to(tmp_path / "no.tif")
    assert "is a link to nothing" in refused(tmp_path / "link.tif")
    (tmp_path / "folder.tif").mkdir()
    assert "is not a regular file" in refused(tmp_path / "folder.tif")
    os.mkfifo(tmp_path / "pipe.tif")
    assert "is not a regular file" in refused(tmp_path / "pipe.tif")  # and does not wait for a writer
