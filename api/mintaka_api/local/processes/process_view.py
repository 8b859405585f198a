"""The records of an attempt's folder as the verdicts read them: a field that is missing or of a wrong type reads as empty."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mintaka_core.json_values import integer, mapping, text
from mintaka_core.printable import printable_end
from mintaka_core.reports import decode_report, unserved_version
from mintaka_core.wire_versions import why_unserved

if TYPE_CHECKING:
    from mintaka_core.reports import Report

_TAIL_CHARACTERS = 1024
_SIGNALS = 128


@dataclass(frozen=True)
class ProcessView:
    """The records of an attempt's process: the request, then each later record, None until it is written."""

    request: Mapping[str, Any]
    started: Mapping[str, Any] | None = None
    stop: Mapping[str, Any] | None = None
    ended: Mapping[str, Any] | None = None
    report_text: str = ""

    # -- the request --------------------------------------------------------------------------------------------------

    @property
    def attempt(self) -> int:
        """The number of the attempt."""
        return integer(self.request.get("attempt")) or 0

    @property
    def reports(self) -> bool:
        """True if the SDK runs in it, which leaves a report."""
        return self.request.get("reports") is True

    @property
    def command(self) -> str:
        """The program, as it was requested."""
        return text(self.request.get("program"))

    @property
    def created_time(self) -> datetime:
        """When the attempt was requested."""
        return _time(self.request.get("created")) or datetime.fromtimestamp(0, UTC)

    # -- its life -----------------------------------------------------------------------------------------------------

    @property
    def started_time(self) -> datetime | None:
        """When the process began; None if it has not, or could not."""
        if self.start_error or self.end.get("refused"):
            return None
        return _time(mapping(self.started).get("time")) or (None if self.status is None else _time(self.end.get("began")))

    @property
    def ended_time(self) -> datetime | None:
        """When it ended, never before it began, even if the clock was set back meanwhile."""
        ended = _time(self.end.get("time"))
        return max(ended, self.started_time or ended) if ended else None

    @property
    def grace_end_time(self) -> datetime | None:
        """The end of its grace period; None without a request to stop."""
        if self.stop is None:
            return None
        seconds = self.stop.get("time"), self.stop.get("grace_seconds")
        return _time(sum(value for value in seconds if isinstance(value, (int, float))))

    # -- its end ------------------------------------------------------------------------------------------------------

    @cached_property
    def end(self) -> Mapping[str, Any]:
        """How it ended; empty while it has not."""
        return mapping(self.ended)

    @property
    def status(self) -> int | None:
        """Its wait status; None if it is not known."""
        return integer(self.end.get("status"))

    @property
    def exit_code(self) -> int | None:
        """Its exit code, 128 and the signal's number for one that a signal ended; None if it is not known."""
        if self.status is None:
            return None
        code = os.waitstatus_to_exitcode(self.status)
        return code if code >= 0 else _SIGNALS - code

    @property
    def start_error(self) -> Mapping[str, Any]:
        """Why it could not be started: `errno`, `file`, `message`; empty if it was started."""
        return mapping(self.end.get("start_error"))

    @property
    def lost(self) -> bool:
        """True if it is not known how it ended, because its supervisor was killed."""
        return self.end.get("lost") is True

    @property
    def machine_restarted(self) -> bool:
        """True if the machine was started again meanwhile."""
        return self.end.get("machine_restarted") is True

    @property
    def given_up(self) -> bool:
        """True if it could not be killed and its end is no longer awaited."""
        return self.end.get("given_up") is True

    @property
    def supervisor_error(self) -> str:
        """The error of its supervisor; "" if that was killed."""
        return printable_end(text(self.end.get("supervisor_error")), _TAIL_CHARACTERS)

    @property
    def was_asked_to_stop(self) -> bool:
        """True if a stop was requested before it ended, by the server or by a signal to its supervisor."""
        return isinstance(self.end.get("asked"), (int, float))

    @property
    def was_killed_by_us(self) -> bool:
        """True if its supervisor killed it: its grace period was over, or that was requested."""
        return self.end.get("killed") is True

    @property
    def memory_kills(self) -> int:
        """How many processes the kernel killed for memory while it ran."""
        return integer(self.end.get("memory_kills")) or 0

    @property
    def peak_bytes(self) -> int:
        """Its peak memory, as far as that is known."""
        return (integer(self.end.get("peak_kilobytes")) or 0) * 1024

    @property
    def disk_was_full(self) -> bool:
        """True if what it printed, or its end, could not be stored because the disk was full."""
        return self.end.get("disk_full") is True

    @property
    def remaining(self) -> list[int]:
        """The ids of processes that it started and that cannot be ended."""
        found = self.end.get("remaining")
        return [value for value in found if isinstance(value, int)] if isinstance(found, list) else []

    @cached_property
    def report(self) -> Report | None:
        """The report of this attempt, if the process left one."""
        report = decode_report(self.report_text) if self.reports else None
        return report if report and report.attempt == self.attempt else None

    @cached_property
    def unserved_report(self) -> str:
        """Why this release cannot read a report of another wire version, as a sentence; "" for any other report."""
        version = unserved_version(self.report_text) if self.reports else None
        return "" if version is None else f"the flow's report cannot be read: {why_unserved(version, 'this server')}"

    @cached_property
    def tail(self) -> str:
        """The end of what it printed, as readable text."""
        return printable_end(text(self.end.get("tail")), _TAIL_CHARACTERS)


def _time(value: Any) -> datetime | None:
    """Seconds since the epoch as a time; None for anything else."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
