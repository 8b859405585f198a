"""Why the history of a flow run is incomplete: the reasons of the condition HistoryComplete=False, with a sentence each.

The SDK reports the first three in its termination message; the others follow from the message itself.
"""

from __future__ import annotations

from enum import StrEnum

#: The reason while all was delivered.
DELIVERED = "Delivered"


class HistoryReason(StrEnum):
    """Why history is incomplete. NO_REPORT: the process left no report. SPOOLED: the rest lies where the message says."""

    WIRE_VERSION_NOT_SERVED = "WireVersionNotServed"
    SCHEMA_REPLACED = "SchemaReplaced"
    HISTORY_LOST = "HistoryLost"
    SPOOLED = "Spooled"
    NO_REPORT = "NoReport"


#: What the database had of the attempt is gone.
DATABASE_REASONS = frozenset({HistoryReason.SCHEMA_REPLACED, HistoryReason.HISTORY_LOST})
#: What a process can report itself.
REPORTED_REASONS = DATABASE_REASONS | {HistoryReason.WIRE_VERSION_NOT_SERVED}

SENTENCES: dict[HistoryReason, str] = {
    HistoryReason.WIRE_VERSION_NOT_SERVED: (
        "API and flow image are too many releases apart, so the API does not take this run's history: upgrade the older one "
        "(the image, or the Helm release)"
    ),
    HistoryReason.SCHEMA_REPLACED: (
        "the database was replaced by an empty one while the attempt ran: what was reported before is not in it"
    ),
    HistoryReason.HISTORY_LOST: (
        "the database knows less of the attempt than it had acknowledged, as after it was restored from a backup: "
        "what was reported between the backup and the restore is lost"
    ),
    HistoryReason.SPOOLED: "the API was away when the run ended",
    HistoryReason.NO_REPORT: "the process left no report; what it did in its last moments may be missing",
}


def reason_named(text: str) -> HistoryReason | None:
    """The reason that a process reports, None for any other text."""
    return next((reason for reason in REPORTED_REASONS if reason == text), None)
