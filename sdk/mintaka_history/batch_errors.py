"""Why a report is not taken."""

from __future__ import annotations

from typing import NoReturn

from mintaka_core.errors import MintakaError
from mintaka_core.wire_versions import why_unserved


class MalformedBatch(MintakaError):
    """The report is not valid; `place` names the invalid member, "" if it is the whole report."""

    def __init__(self, message: str, place: str = "", problem: str = "") -> None:
        super().__init__(message)
        self.place = place
        self.problem = problem or message


class OversizedBatch(MintakaError):
    """More task runs, log lines, artifacts and events than one report may contain."""


class UnservedVersion(MintakaError):
    """The report is of a wire `version` that this release does not serve."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the report is not taken: {why_unserved(version, 'this release of Mintaka')}")
        self.version = version


def refuse(place: str, problem: str) -> NoReturn:
    """Raise MalformedBatch for the member `place`."""
    message = f"{problem} - at `$.{place}`"
    raise MalformedBatch(message, place, problem)
