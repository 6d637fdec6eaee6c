"""Images and their masks from folders to a pack: paired by name, cut at the same places."""

import numpy as np
import pytest
from masked_archive import CLASSES_CSV, NAMES, colours_of, make_archive, write_png

import swath
from swath.data.masks import IGNORE
from swath.data.store import TileStore
from swath.errors import DataError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture
def archive(tmp_path):
    truth = make_archive(tmp_path / "town")
    (tmp_path / "classes.csv").write_text(CLASSES_CSV, encoding="utf-8")
    return tmp_path, truth


def index(folder, **settings):
    given = {"masks": "masks", "mask_classes": folder / "classes.csv", "tile_px": 16} | settings
    return swath.index(folder / "town", out=folder / "index.parquet", layout="scenes", **given)


def test_masks_beside_the_images_reach_the_pack_where_they_belong(archive):
    folder, truth = archive
    assert index(folder).files == 4
    swath.pack(folder / "index.parquet", out=folder / "tiles.lance")
    store = TileStore(folder / "tiles.lance")
    assert store.mask_vocabulary == NAMES
    assert not {"mask", "mask_path"} & set(store.column_names)
    masks = store.masks(np.arange(len(store)))
    for name, mask in zip(store.ids(), masks, strict=True):
        image, x, y = name.rsplit("_", 2)
        x_px, y_px = int(x[1:]), int(y[1:])
        expected = truth[image][y_px : y_px + 16, x_px : x_px + 16]
        np.testing.assert_array_equal(mask, expected)


def test_masks_in_a_folder_of_their_own_are_found_by_path(archive):
    folder, _ = archive
    for area in ("north", "south"):
        (folder / "elsewhere" / area).mkdir(parents=True)
        for path in (folder / "town" / area / "masks").iterdir():
            path.rename(folder / "elsewhere" / area / path.name)
        (folder / "town" / area / "masks").rmdir()
        for path in (folder / "town" / area / "images").iterdir():
            path.rename(folder / "town" / area / path.name)
    index(folder, masks=str(folder / "elsewhere"))
    swath.pack(folder / "index.parquet", out=folder / "tiles.lance")
    assert (TileStore(folder / "tiles.lance").masks(np.arange(4)) != IGNORE).any()


def test_an_image_without_a_mask_is_all_to_be_ignored(archive, caplog):
    folder, _ = archive
    (folder / "town" / "north" / "masks" / "a.png").unlink()
    index(folder)
    assert "1 of 4 images have no mask" in caplog.text
    swath.pack(folder / "index.parquet", out=folder / "tiles.lance")
    store = TileStore(folder / "tiles.lance")
    without = [i for i, name in enumerate(store.ids()) if name.startswith("north/images/a")]
    assert without
    assert (store.masks(np.asarray(without)) == IGNORE).all()


def test_a_mask_of_another_size_than_its_image_is_refused(archive):
    folder, _ = archive
    path = folder / "town" / "south" / "masks" / "b.png"
    write_png(path, colours_of(np.zeros((20, 20), np.uint8)))
    with pytest.raises(DataError, match=r"b.png is 20x20 px, its image .*b.png is 48x32 px"):
        index(folder)


def test_an_unknown_colour_is_named_and_nothing_is_left(archive):
    folder, _ = archive
    path = folder / "town" / "south" / "masks" / "b.png"
    write_png(path, np.full((3, 32, 48), 7, np.uint8))
    index(folder)
    with pytest.raises(DataError, match="colour #070707, which is no class"):
        swath.pack(folder / "index.parquet", out=folder / "tiles.lance")
    assert not (folder / "tiles.lance").exists()


def test_masks_without_a_table_or_a_table_without_masks_mean_nothing(archive):
    folder, _ = archive
    with pytest.raises(UsageError, match="--mask-classes is missing"):
        index(folder, mask_classes=None)
    with pytest.raises(UsageError, match="--masks is missing"):
        index(folder, masks=None)
    with pytest.raises(UsageError, match="no folder of that name inside"):
        index(folder, masks="nowhere")


def test_masks_that_belong_to_no_image_are_refused(archive):
    folder, _ = archive
    (folder / "other").mkdir()
    write_png(folder / "other" / "z.png", colours_of(np.zeros((32, 48), np.uint8)))
    with pytest.raises(DataError, match="no image has a mask below"):
        index(folder, masks=str(folder / "other"))


def test_a_flipped_byte_of_a_mask_is_noticed(archive):
    folder, _ = archive
    index(folder)
    swath.pack(folder / "index.parquet", out=folder / "tiles.lance")
    store = TileStore(folder / "tiles.lance")
    mask = store.masks(np.asarray([0]))[0].tobytes()
    for path in (folder / "tiles.lance" / "data").iterdir():
        content = bytearray(path.read_bytes())
        place = content.find(mask)
        if place >= 0:
            content[place] ^= 1
            path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="do not match their checksum"):
        TileStore(folder / "tiles.lance").masks(np.asarray([0]))
