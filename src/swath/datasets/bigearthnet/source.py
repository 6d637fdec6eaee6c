"""What of BigEarthNet a source is: its name alone, or a folder of patches."""

from swath.datasets.bigearthnet import archive, catalogue
from swath.datasets.layout import Asked, Layout
from swath.errors import UsageError
from swath.location import Location, S3Path


def find(source: Location, asked: Asked) -> Layout:
    """The layout of `bigearthnet:v1`, `bigearthnet:v2`, or the folder that holds an archive.

    Raises:
        UsageError: settings of other layouts, or settings that change nothing here.
        DataError, MachineError: as the layouts raise.
    """
    if asked.labels or asked.label_column or asked.label_columns or asked.band_pattern:
        raise UsageError("BigEarthNet brings labels and bands: leave out --label(s)... and --band-pattern.")
    version = catalogue.version_of(str(source))
    if version is not None:
        return catalogue.find(version, asked)
    if isinstance(source, S3Path):
        raise UsageError(f"{source}: reading from S3 is not supported yet. Copy the files here first.")
    return archive.find(source, asked)
