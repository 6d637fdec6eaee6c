from pathlib import Path

import pytest

from swath.datasets.bigearthnet.source import find
from swath.datasets.layout import Asked
from swath.errors import UsageError


@pytest.mark.parametrize("source", ["bigearthnet:v1", "patches"])
def test_labels_and_bands_of_other_layouts_are_refused(source):
    with pytest.raises(UsageError, match="BigEarthNet brings labels and bands"):
        find(Path(source), Asked(label_column="class"))


def test_a_version_that_is_none_is_refused():
    with pytest.raises(UsageError, match="no data set bigearthnet:v4"):
        find(Path("bigearthnet:v4"), Asked())
