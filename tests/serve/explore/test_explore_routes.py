"""What the page's server answers, against the pack itself."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from swath.serve.explore import thumbnails
from swath.serve.explore.thumbnails import Thumbnails


def arrays_of(client):
    """The block as the page reads it."""
    about, block = client.get("/api/archive").json(), client.get("/api/block").content
    return about, {
        name: np.frombuffer(block, place["type"], place["length"], place["offset"])
        for name, place in about["arrays"].items()
    }


def test_the_block_holds_what_the_description_says(client, explored):
    about, arrays = arrays_of(client)
    assert (about["tiles"], about["located"]) == (144, 144)
    assert np.array_equal(arrays["near"].reshape(-1, 2), explored.arrangement.near)
    bits = np.unpackbits(arrays["labels"].reshape(144, -1), axis=1, bitorder="little")
    assert np.array_equal(bits[:, :3], explored.store.labels())
    for each in about["colourings"]:
        values = arrays[f"colour-{each['key']}"]
        assert len(values) == 144
        assert sum(each["counts"]) == 144
        assert each["counts"] == [
            *np.bincount(values, minlength=256)[: len(each["names"])],
            (values == 255).sum(),
        ]


def test_a_tile_is_described_as_the_pack_has_it(client, explored):
    told = client.get("/api/tile/7").json()
    row = explored.store.columns("id", "split", "labels").slice(7, 1).to_pylist()[0]
    assert {name: told[name] for name in row} == row
    assert told["lonlat"] == pytest.approx(explored.ground.lonlat[7], abs=1e-6)


def test_neighbours_are_those_of_plain_cosines(client, explored):
    told = client.get("/api/neighbours/5?k=10").json()
    cosines = explored.features @ explored.features[5]
    cosines[5] = -2
    assert told["similarities"] == pytest.approx(np.sort(cosines)[::-1][:10], abs=1e-4)
    assert cosines[told["rows"]] == pytest.approx(told["similarities"], abs=1e-4)


def test_a_picture_has_the_pixels_of_the_pack(client, explored):
    png = np.asarray(Image.open(io.BytesIO(client.get("/picture/9?px=64").content)))
    assert np.array_equal(png, explored.store.read(np.asarray([9]))[0][0].transpose(1, 2, 0))


@pytest.mark.parametrize("px", [16, 32, 64])
def test_a_sheet_holds_its_tiles_in_reading_order(client, px):
    rows = [3, 140, 7, 7, 0]
    sheet = np.asarray(
        Image.open(io.BytesIO(client.get(f"/sheet?rows={','.join(map(str, rows))}&px={px}").content))
    )
    assert sheet.shape == (2 * px, 3 * px, 3)
    for place, row in enumerate(rows):
        top, left = place // 3 * px, place % 3 * px
        tile = sheet[top : top + px, left : left + px]
        single = np.asarray(Image.open(io.BytesIO(client.get(f"/picture/{row}?px={px}").content)))
        assert np.array_equal(tile if px <= 32 else tile[::2, ::2], single)
    assert not sheet[px:, 2 * px :].any()


@pytest.mark.parametrize(
    "address",
    [
        "/api/tile/144", "/api/tile/-1", "/api/tile/x", "/picture/144", "/picture/0?px=7", "/sheet?rows=",
        "/sheet", "/sheet?rows=1,x", "/sheet?rows=144", "/sheet?rows=-1", f"/sheet?rows={'9' * 30}",
        "/api/neighbours/0?k=0", "/api/neighbours/0?k=100000",
        "/sheet?rows=" + ",".join(["1"] * (thumbnails.MOST_ON_A_SHEET + 1)),
    ],
)  # fmt: skip
def test_what_is_not_of_the_archive_is_refused(client, address):
    assert client.get(address).status_code == 422


@pytest.mark.parametrize(
    "address",
    [
        "/page/../routes.py", "/page/%2e%2e%2froutes.py", "/page/..%2f..%2f..%2ferrors.py",
        "/page//etc/passwd", "/page/%2fetc%2fpasswd", "/labels/..%2fconfig.yaml", "/labels/..%2f..%2fx.csv",
        "/labels/.csv",
        "/labels/a.yaml", "/labels/config.yaml", "/docs", "/openapi.json", "/config.yaml",
    ],
)  # fmt: skip
def test_nothing_is_served_but_the_page_and_its_archive(client, explored, address):
    (explored.run / "labels").mkdir()
    (explored.run / "labels" / "a.yaml").write_text("secret")
    assert client.get(address).status_code in {404, 405}


def test_every_name_is_data_and_none_is_markup(client):
    """Names go out as JSON alone, under a type that no browser takes for a page."""
    for address in ("/api/archive", "/api/tile/0", "/api/labels"):
        answer = client.get(address)
        assert answer.headers["content-type"] == "application/json"
        json.loads(answer.text)


def test_large_tiles_come_small(explored):
    png = np.asarray(Image.open(io.BytesIO(Thumbnails(explored.thumbnails.display).picture(0, 16))))
    assert png.shape == (16, 16, 3)
