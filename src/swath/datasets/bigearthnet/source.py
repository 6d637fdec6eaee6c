"""What of BigEarthNet a source is: its name alone, a table of gdf-builder, or a folder of patches."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from swath import storage
from swath.data.bad_inputs import BadInputs
from swath.data.tarball import is_archive
from swath.datasets.bigearthnet import catalogue, gdf_builder, overlap, tar_index
from swath.datasets.bigearthnet.archive import Archive, rows
from swath.datasets.bigearthnet.catalogue import DEFAULT_ORDER
from swath.datasets.bigearthnet.folders import Found, find_folders
from swath.datasets.bigearthnet.known import Known
from swath.datasets.bigearthnet.lists import read_lists
from swath.datasets.bigearthnet.metadata import read_metadata
from swath.datasets.bigearthnet.names import JSON_SUFFIX
from swath.datasets.bigearthnet.patch_folder import Expected, bands_in, sizes_of
from swath.datasets.bigearthnet.patches import MORE, about, reference_classes
from swath.datasets.bigearthnet.sensors import SENTINEL1, SENTINEL2
from swath.datasets.layout import Asked, Layout
from swath.errors import DataError, MachineError, UsageError
from swath.location import Location, absolute

logger = logging.getLogger(__name__)

_LOOK_AT = 32
_NO_TABLES = (
    "--recommended needs the tables of the authors. For v1: "
    'pip install "swath[bigearthnet]"; for v2: --metadata metadata.parquet'
)


def find(source: Location, asked: Asked) -> Layout:
    """The layout of `bigearthnet:v1`, `bigearthnet:v2`, a table of gdf-builder, or the folder of an archive.

    Raises:
        UsageError: settings of other layouts, or settings that change nothing here.
        DataError, MachineError: as the layouts raise.
    """
    if asked.labels or asked.label_column or asked.label_columns or asked.band_pattern:
        raise UsageError("BigEarthNet brings labels and bands: leave out --label(s)... and --band-pattern.")
    version = catalogue.version_of(str(source))
    if version is None and source.suffix != ".parquet":
        if asked.pixels is not None:
            raise UsageError(f"--pixels is for a table; {source} holds its pixels. Leave it out.")
        if is_archive(source):
            return _tar(source, asked)
        return _folder(source, asked)
    if version is not None:
        patches, where = catalogue.patches_of(version, asked), str(source)
    else:
        version, patches, where = "v1", gdf_builder.read_table(source, asked), str(source)
    if asked.pixels is None:
        return catalogue.without_pixels(version, patches, asked)
    return _listed(version, Known(patches, where), asked.pixels, asked)


def _tar(source: Location, asked: Asked) -> Layout:
    """The archive itself, with what the authors' tables know of its patches."""
    first = tar_index.first_patch(source)
    known = _lists(source, asked) if first.has_labels else _metadata(source.parent, asked)
    if asked.recommended and known is None:
        raise UsageError(_NO_TABLES)
    return tar_index.find(source, first, known, asked)


def _folder(source: Location, asked: Asked) -> Layout:
    """Every patch that lies there, with what the authors' tables know of it."""
    found = find_folders(_there(source))
    kinds = [kind for kind in ("v1", "v2") if found.patches.get(kind)]
    if len(kinds) == 2:
        raise overlap.mixed_folders(source, found, _table_beside(source, asked))
    kind = kinds[0] if kinds else "s1"
    if not found.patches.get(kind):
        raise DataError(
            f"{source} holds no BigEarthNet patch folders (S2A_MSIL2A_20170613T101031_87_48 or the like). "
            "Give the folder that the archive was extracted to."
        )
    if kinds and found.patches.get("s1"):
        logger.info(
            f"Sentinel-1 patches are there too: {len(found.patches['s1']):,}. Index their folder by itself."
        )
    expected = _expected(source, kind, found)
    version = kind if kind != "s1" else "v1" if expected.has_json else "v2"
    known = _lists(source, asked) if version == "v1" else _metadata(source, asked)
    if asked.recommended and known is None:
        raise UsageError(_NO_TABLES)
    archive = Archive(source, kind, found, expected, known, asked.class_order or DEFAULT_ORDER[version])
    _say_what_is_missing(archive)
    return _layout(version, archive, asked)


def _listed(version: str, known: Known, pixels: Location, asked: Asked) -> Layout:
    """The patches of a table, with the files that lie below `pixels`; JSON files are not needed."""
    found = find_folders(_there(pixels))
    folders = found.patches.get(version, [])
    if not folders:
        raise DataError(
            f"{pixels} holds no patch folders of BigEarthNet {version}, which {known.where} lists."
        )
    listed = known.rows_of(pa.array([folder.rpartition("/")[2] for folder in folders])) >= 0
    found.patches[version] = np.asarray(folders, object)[listed].tolist()
    if not found.patches[version]:
        raise DataError(f"none of the {len(folders):,} patches below {pixels} is listed in {known.where}.")
    expected = _expected(pixels, version, found, with_json=False)
    archive = Archive(pixels, version, found, expected, known, asked.class_order or DEFAULT_ORDER[version])
    _say_what_is_missing(archive)
    if not listed.all():
        logger.info(f"{(~listed).sum():,} patches below {pixels} are not listed in {known.where}: left out")
    return _layout(version, archive, asked)


def _there(folder: Location) -> Location:
    if not storage.is_folder(folder):
        raise UsageError(f"no folder {folder}. Give the folder that holds the patches.")
    return folder


def _layout(version: str, archive: Archive, asked: Asked) -> Layout:
    labelled = archive.expected.has_json or (
        archive.known is not None and "labels" in archive.known.table.column_names
    )
    info = about(
        version, archive.expected.files, root=absolute(archive.source), labelled=labelled, order=archive.order
    )
    if archive.found.maps and archive.kind == "v2" and isinstance(archive.source, Path):
        masks = {"root": info.root, **reference_classes(archive.order).to_json()}
        info = replace(info, masks=masks)
    bad = BadInputs("patches", asked.bad_files)
    batches = rows(replace(archive, engine=asked.engine), bad, recommended=asked.recommended)
    return Layout(info, len(archive.folders) * len(archive.expected.files.bands), batches, bad, more=MORE)


def _expected(source: Location, kind: str, found: Found, *, with_json: bool = True) -> Expected:
    """What the folders of an archive hold, judged by some of them: a band that any has, all must have."""
    folders = found.patches[kind]
    files = SENTINEL1 if kind == "s1" else SENTINEL2
    some = folders[:: max(1, len(folders) // _LOOK_AT)]
    looked = [(folder, found.sizes.get(folder) or sizes_of(source, folder)) for folder in some]
    bands = bands_in(looked, files)
    if not bands:
        raise DataError(
            f"{source}/{some[0]} holds no band; expected {some[0].rpartition('/')[2]}_B02.tif or the like."
        )
    if len(bands) < len(files.bands):
        logger.warning(f"the patches hold {len(bands)} of {len(files.bands)} bands: {','.join(bands)}")
    json_there = any(folder.rpartition("/")[2] + JSON_SUFFIX in sizes for folder, sizes in looked)
    has_json = with_json and (kind == "v1" or (kind == "s1" and json_there))
    return Expected(files.only(bands), has_json)


def _lists(source: Location, asked: Asked) -> Known | None:
    """The official lists, where they are installed."""
    if asked.metadata is not None:
        raise overlap.mixed_tables(source, asked.metadata)
    try:
        return Known(read_lists(), "the official lists of v1")
    except MachineError as error:
        logger.warning(f"without official split, country, season and quality flags: {error}")
        return None


def _metadata(source: Location, asked: Asked) -> Known | None:
    table = _table_beside(source, asked)
    if table is None:
        logger.warning(
            "without labels, split and country: no metadata.parquet. Give it with --metadata "
            "(swath download bigearthnet:v2 --only metadata --out DIR)"
        )
        return None
    return Known(catalogue.flagged_v2(read_metadata(table)), str(table))


def _table_beside(source: Location, asked: Asked) -> Location | None:
    beside = source / "metadata.parquet"
    if asked.metadata is not None:
        return asked.metadata
    return beside if storage.is_file(beside) else None


def _say_what_is_missing(archive: Archive) -> None:
    if archive.known is None:
        return
    names = pa.array([folder.rpartition("/")[2] for folder in archive.folders])
    listed = archive.known.rows_of(names, key=archive.key) >= 0
    missing = archive.known.table.num_rows - int(listed.sum())
    if missing:
        logger.warning(
            f"{missing:,} of {archive.known.table.num_rows:,} patches of {archive.known.where} are not below "
            f"{archive.source}"
        )
    if not listed.all():
        logger.info(f"{(~listed).sum():,} patches are not in {archive.known.where}: without split")
