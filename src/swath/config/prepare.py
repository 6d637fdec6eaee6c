"""Settings of index, split and pack: an archive of imagery -> packed tiles."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from swath.config.settings import EngineName, Location, Names, Seed, Settings, Share


class IndexConfig(Settings):
    """List the tiles of an archive of imagery, with their labels, in one GeoParquet file."""

    source: Location
    """Folder or file: scenes, a folder of tiles, BigEarthNet patch folders; or bigearthnet:v1, bigearthnet:v2
    for all its patches without pixels."""
    out: Location
    """The index to write (GeoParquet)."""
    layout: Literal["auto", "scenes", "folder", "bigearthnet"] = "auto"
    """What the source holds: scenes to cut, ready tiles, or BigEarthNet patches."""
    labels: Path | None = None
    """labels.csv or Parquet, by file or tile id; or polygons (.gpkg, .geojson, .shp) for scenes."""
    label_column: str | None = None
    """Column with one class a row."""
    label_columns: Names = ()
    """0/1 columns, one a label: A,B,C or the word binary for every 0/1 column."""
    min_share: Share = 0.05
    """A polygon class labels a tile when it covers at least this share of it."""
    partial_labels: bool = False
    """The polygons cover only part of the ground: a tile that none labels is unlabelled, not empty."""
    masks: str | None = None
    """Masks, a class a pixel, for segmentation: a folder with a mask for each image, under the same path; or
    the mere name of folders inside the source that hold masks ("masks")."""
    mask_classes: Path | None = None
    """CSV with the columns class and value: which number or colour #RRGGBB of a mask is which class."""
    tile_px: Annotated[int, Field(ge=1)] = 120
    """Side of the tiles cut from scenes, in pixels of the finest band."""
    stride_px: Annotated[int, Field(ge=1)] | None = None
    """Step between tiles cut from scenes; tile_px where not given."""
    max_nodata: Share = 0.0
    """Tiles with a larger share of nodata pixels are left out, and counted."""
    band_pattern: str | None = None
    """Regular expression with a group (?P<band>...) that finds the band in a file name (without suffix)."""
    pixels: Location | None = None
    """BigEarthNet: the folder (or s3://) with the patches of a table: of final_ben_s2.parquet, bigearthnet:v1
    or bigearthnet:v2. Only the bands that lie there are indexed; JSON files are not needed."""
    like: Literal["gdf-builder"] | None = None
    """BigEarthNet v1: write the table that bigearthnet-gdf-builder writes, in place of an index."""
    metadata: Location | None = None
    """BigEarthNet v2: its table of labels and splits, metadata.parquet."""
    class_order: Literal["original", "alphabetical"] | None = None
    """BigEarthNet: order of the 19 classes; as published where not given: original for v1, alphabetical
    for v2."""
    recommended: bool = False
    """BigEarthNet v1: leave out patches with seasonal snow, cloud or shadow, or none of the 19 classes."""
    on_bad_file: Literal["error", "skip"] = "error"
    """error: stop and name the bad files; skip: leave them out and list them in NAME.bad_files.csv beside the
    index (a scene or patch with a bad file is left out whole)."""
    max_bad: Share = 0.01
    """With skip: stop when more than this share of the files (scenes, patches) is bad."""
    max_pixels: Annotated[int, Field(ge=1)] = 270_000_000
    """Refuse files that declare more pixels in a band than this (a 10,980 px Sentinel-2 tile has 120
    million)."""
    engine: EngineName = "local"
    """local: this process; ray: tasks on the cluster of RAY_ADDRESS, or on the processors of this machine."""


_SHARED_OUT = {"test_share", "val_share", "seed"}
_SPLIT_NO_EFFECT = {
    "official": {*_SHARED_OUT, "block_m", "gap_m", "force"},
    "random": {"block_m", "gap_m", "split_column"},
    "blocks": {"split_column", "force"},
    "folders": {"block_m", "gap_m", "split_column", "force"},
}


class SplitConfig(Settings):
    """Say which tiles train, validate and test."""

    index: Location
    """The index to split."""
    out: Location
    """The index to write."""
    by: Literal["official", "random", "blocks", "folders"] = "blocks"
    """official: keep the split of the data set; random: seeded; blocks: whole places, so that test is
    elsewhere; folders: whole folders, for an archive with a folder an area and no locations."""
    test_share: Share = 0.2
    """Share of the tiles for test; whole blocks or folders are taken until they hold about that many."""
    val_share: Share = 0.1
    """The same for validation; 0 for none."""
    seed: Seed = 0
    """Of the draws of random, blocks and folders."""
    block_m: Annotated[float, Field(gt=0)] = 10_000.0
    """Side of a block on the ground, in metres."""
    gap_m: Annotated[float, Field(ge=0)] = 0.0
    """Training tiles nearer than this to a test or validation tile go to the split "gap" and are not used."""
    split_column: str = "split"
    """For official: the column that holds the split."""
    force: bool = False
    """Split at random even where tiles overlap on the ground."""

    @model_validator(mode="after")
    def _without_settings_of_no_effect(self) -> Self:
        idle = self.model_fields_set & _SPLIT_NO_EFFECT[self.by]
        if idle:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(idle))
            raise ValueError(f"{flags} would change nothing with --by {self.by}")
        return self

    @model_validator(mode="after")
    def _something_left_to_train_on(self) -> Self:
        if self.test_share + self.val_share >= 1:
            raise ValueError(
                f"--test-share {self.test_share} and --val-share {self.val_share} leave nothing to train on"
            )
        return self


class AuditConfig(Settings):
    """Say how many test and validation tiles overlap, touch or lie near a training tile."""

    index: Location
    """The index, or the packed tiles, whose splits are compared; of tiles the pixels too."""
    out: Location | None = None
    """The map to write (PNG); NAME.audit.png beside the index, or tiles.lance.audit.png, where not given."""
    within_m: Annotated[float, Field(gt=0)] | None = None
    """Count tiles nearer than this to a training tile too, in metres; the side of a tile where not given."""


class DescribeConfig(Settings):
    """Count tiles by split, label and whatever else an index knows, and show some on a page."""

    index: Location
    """The index, or the packed tiles, to describe."""
    out: Location | None = None
    """The page to write (HTML); NAME.describe.html beside the index, or tiles.lance.describe.html, where not
    given."""


class PackConfig(Settings):
    """Copy the pixels of an index into one dataset that training reads at full speed."""

    index: Location
    """The index to pack, or an archive of BigEarthNet as it was published (.tar.gz, .tar.zst)."""
    out: Location
    """The packed tiles to write (Lance)."""
    bands: Names = ()
    """Bands in the order the network will see: B04,B03,B02. All where not given."""
    pixels: Location | None = None
    """Archive of BigEarthNet with the pixels of the index; where the index says they are, where not given."""
    scale: Literal["stored", "recipe"] = "stored"
    """stored: values as they are; recipe: reflectance / 2000 * 255 as 8-bit numbers, as in the public
    recipe."""
    on_bad_tile: Literal["error", "skip"] = "error"
    """error: stop; skip: leave bad tiles out. Both list them in NAME.bad_tiles.csv beside the output."""
    max_bad: Share = 0.01
    """With skip: stop when more than this share of the tiles is bad."""
    max_pixels: Annotated[int, Field(ge=1)] = 270_000_000
    """As in index."""
    engine: EngineName = "local"
    """As in index; the output must be one that all machines share, or s3://."""
