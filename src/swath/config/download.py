"""Settings of download: a published data set -> its files here."""

from pathlib import Path
from typing import Literal

from swath.config.settings import Names, Settings


class DownloadConfig(Settings):
    """Fetch the files of a published data set; the same command goes on where it was broken off."""

    source: Literal["bigearthnet:v1", "bigearthnet:v2"]
    """bigearthnet:v1 or bigearthnet:v2."""
    out: Path
    """The folder to write to."""
    only: Names = ()
    """Parts to fetch: s2,s1 of v1; metadata,s2,s1,maps of v2. All but s1 where not given."""
    table: Path | None = None
    """YAML with other addresses, such as those of a mirror, in the form of swath's own downloads.yaml."""
