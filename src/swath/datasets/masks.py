"""Which mask belongs to which image, and the column that says so."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import pyarrow as pa

from swath.data.masks import MaskClasses, raster_size
from swath.datasets.layout import Layout, raster_files
from swath.errors import DataError, UsageError

logger = logging.getLogger(__name__)

MASK_FIELD = pa.field("mask_path", pa.string())


@dataclass(frozen=True)
class MaskFolder:
    """Where masks lie: below `root`, in folders called `name` beside the images where that is given."""

    root: Path
    name: str | None

    @classmethod
    def of(cls, asked: str, source: Path) -> "MaskFolder":
        """A folder of its own, or the name of folders inside `source`.

        Raises:
            UsageError: there is neither.
        """
        if "/" not in asked and any(path.is_dir() for path in source.rglob(asked)):
            return cls(source.resolve(), asked)
        if Path(asked).is_dir():
            return cls(Path(asked).resolve(), None)
        raise UsageError(
            f"--masks {asked}: no such folder, and no folder of that name inside {source}. Give the folder "
            "that holds the masks."
        )

    def paths(self) -> dict[str, str]:
        """The path of each mask relative to `root`, by that path without its suffix."""
        return {str(PurePosixPath(path).with_suffix("")): path for path in raster_files(self.root)}

    def candidates(self, image: str) -> list[str]:
        """What the mask of an image (a path relative to the source) is called, without suffix."""
        path = PurePosixPath(image).with_suffix("")
        if self.name is None:
            return [str(path)]
        return [str(folder / self.name / path.name) for folder in (path.parent, path.parent.parent)]


def with_masks(layout: Layout, folder: MaskFolder, classes: MaskClasses) -> Layout:
    """The same layout with a column `mask_path`: null for an image without one, which is said.

    Raises:
        DataError: no image has a mask, or one has another size than its image.
    """
    masks = {"root": str(folder.root), **classes.to_json()}
    found = _Found(folder, folder.paths(), Path(layout.info.root))
    more = pa.schema([*layout.more, MASK_FIELD])
    return replace(layout, info=replace(layout.info, masks=masks), batches=_joined(layout, found), more=more)


def _joined(layout: Layout, found: "_Found") -> Iterator[pa.RecordBatch]:
    for batch in layout.batches:
        masks = [found.mask_of(paths[0]) for paths in batch["paths"].to_pylist()]
        yield batch.append_column(MASK_FIELD, pa.array(masks, pa.string()))
    if not any(found.known.values()):
        first = next(iter(found.known))
        raise DataError(
            f"no image has a mask below {found.folder.root}: {first} would have "
            f"{' or '.join(found.folder.candidates(first))}. Look at the names, or at --masks."
        )
    without = sum(mask is None for mask in found.known.values())
    if without:
        logger.warning(f"{without:,} of {len(found.known):,} images have no mask")


class _Found:
    """Masks by image, each looked up and measured once."""

    def __init__(self, folder: MaskFolder, masks: dict[str, str], images: Path) -> None:
        self.folder = folder
        self.known: dict[str, str | None] = {}
        self._masks, self._images = masks, images

    def mask_of(self, image: str) -> str | None:
        if image not in self.known:
            named = (self._masks.get(name) for name in self.folder.candidates(image))
            self.known[image] = next((mask for mask in named if mask is not None), None)
            self._check_size(image, self.known[image])
        return self.known[image]

    def _check_size(self, image: str, mask: str | None) -> None:
        if mask is None:
            return
        wanted = raster_size(self._images / image, root=self._images)
        found = raster_size(self.folder.root / mask, root=self.folder.root)
        if wanted != found:
            raise DataError(
                f"{self.folder.root / mask} is {found[0]}x{found[1]} px, its image {image} is "
                f"{wanted[0]}x{wanted[1]} px; a mask must lie on the pixels of its image."
            )
