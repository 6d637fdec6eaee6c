"""Files and tiles that cannot be used: all are gathered, then they stop the stage or are left out."""

import csv
import logging
from dataclasses import dataclass

from swath import storage
from swath.errors import DataError
from swath.files import file_aside
from swath.location import Location

logger = logging.getLogger(__name__)

_SHOWN = 5


@dataclass(frozen=True)
class BadPolicy:
    """With `skip`, bad ones are left out while their share is at most `max_bad`; else any stops the stage.

    `flag` is the setting that chooses. All are listed in the CSV file `listing`, where there is one.
    """

    flag: str = "--on-bad-file"
    skip: bool = False
    max_bad: float = 0.01
    listing: Location | None = None


@dataclass(frozen=True)
class BadInput:
    """`id` is that of a tile; a file has none."""

    path: str
    reason: str
    id: str = ""

    def __str__(self) -> str:
        named = self.id not in {"", self.path}
        return (f'tile "{self.id}": ' if named else "") + self.reason.rstrip(".")


class BadInputs:
    """Gathers what is bad among `what` (files, scenes, tiles), so that all of it is reported at once."""

    def __init__(self, what: str, policy: BadPolicy) -> None:
        self.what = what
        self.policy = policy
        self.found: list[BadInput] = []

    def add(self, path: str, error: DataError) -> None:
        self.found.append(BadInput(path, str(error)))

    def judge(self, *, looked_at: int) -> None:
        """List the bad ones; a warning says how many are left out.

        Raises:
            DataError: there are more than the policy allows, or nothing else; the first few are named.
        """
        listing = self.policy.listing
        if not self.found:
            if listing:
                storage.remove(listing)  # of an earlier try
            return
        if listing:
            write_listing(listing, self.found)
        share = len(self.found) / looked_at
        count = f"{len(self.found):,} of {looked_at:,} {self.what} are bad ({share:.1%})"
        said = f"{count}: {self._first_few()}{self._where()}"
        if share == 1:
            raise DataError(said if looked_at > 1 else self.found[0].reason)
        if not self.policy.skip:
            raise DataError(f"{said} Repair them, or leave them out with {self.policy.flag} skip.")
        if share > self.policy.max_bad:
            raise DataError(f"{said} That is more than --max-bad {self.policy.max_bad:g} allows.")
        logger.warning(f"{count}, left out.{self._where()}")

    def _first_few(self) -> str:
        more = f" (and {len(self.found) - _SHOWN:,} more)" if len(self.found) > _SHOWN else ""
        return " | ".join(map(str, self.found[:_SHOWN])) + more + "."

    def _where(self) -> str:
        return f" See {self.policy.listing}." if self.policy.listing else ""


def write_listing(path: Location, found: list[BadInput]) -> None:
    """Columns path and reason, between them the id where there are ids."""
    columns = ("path", "id", "reason") if any(bad.id for bad in found) else ("path", "reason")
    with file_aside(path) as aside, aside.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(columns)
        table.writerows([getattr(bad, column) for column in columns] for bad in found)
