"""Who packs to a prefix on S3, where nothing can be locked: the one whose token lies there.

Who comes last takes over; who finds another token stops before it says that anything is written. So two packs
never mix, and what a killed one left never has to be unlocked by hand.
"""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from swath import storage
from swath.errors import MachineError
from swath.files import file_aside
from swath.location import Location, S3Path

CLAIM_NAME = "pack.claim"


class LostClaimError(MachineError):
    """Another process packs to the same place; what lies there is its own."""


@dataclass(frozen=True)
class Claim:
    """Of a prefix on S3; of a folder, which has locks, it says nothing and checks nothing."""

    path: Location
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Take the place over; afterwards nothing of the token is left, unless it is another's."""
        if not isinstance(self.path, S3Path):
            yield
            return
        with file_aside(self.path / CLAIM_NAME) as aside:
            aside.write_text(self.token, encoding="ascii")
        try:
            yield
        finally:
            if self.holds:
                storage.remove(self.path / CLAIM_NAME)

    def check(self) -> None:
        """Call before anything is said to be written.

        Raises:
            LostClaimError: another process took over.
        """
        if not self.holds:
            raise LostClaimError(
                f"{self.path}: another swath pack writes there since, and this one stopped. "
                "Wait for the other, or choose another --out."
            )

    @property
    def holds(self) -> bool:
        """Whether the place is still this process's."""
        path = self.path / CLAIM_NAME
        if not isinstance(path, S3Path):
            return True
        return storage.is_file(path) and storage.read_bytes(path).decode("ascii") == self.token
