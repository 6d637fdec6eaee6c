"""Settings of explore: a run -> a page about its archive, on this machine."""

import ipaddress
from typing import Annotated, Self

from pydantic import Field, model_validator

from swath.config.settings import Location, Settings


class ExploreConfig(Settings):
    """Look at an archive as a run sees it, in a browser: map, plot, neighbours, labelling by example. Ends
    with Ctrl-C.
    """

    run: Location
    """Folder of a run, here or on S3."""
    tiles: Location | None = None
    """Packed tiles; those of the run where not given."""
    host: str = "127.0.0.1"
    """Address to listen on; any other than one of this machine alone needs --i-understand."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port to listen on; a free one where not given."""
    i_understand: bool = False
    """With --host: whoever can reach the address and has the link sees the imagery and writes labels, over
    a connection that is not encrypted."""

    @model_validator(mode="after")
    def _open_to_others_on_purpose_only(self) -> Self:
        if self.i_understand and self.is_loopback:
            raise ValueError("--i-understand would change nothing: the page is for this machine alone")
        if not self.i_understand and not self.is_loopback:
            raise ValueError(
                f"--host {self.host} opens the page to other machines, unencrypted; add --i-understand, or "
                "leave it out and reach this machine by ssh -L"
            )
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether no other machine can reach the address."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
