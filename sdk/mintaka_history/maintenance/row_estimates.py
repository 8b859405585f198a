"""How many rows flow runs have in each table, and how many bytes: counted for the first runs, estimated for the rest."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mintaka_history.maintenance.statements import among

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka_history.writing.sessions import Session

#: The number of runs whose rows are counted, and the number of rows after which no more runs are.
_COUNTED_RUNS = 2_000
_COUNTED_ROWS = 500_000
#: Tables with their texts, whose lengths are added to the bytes that a row has besides, indexes included: SQLite, PostgreSQL.
_TABLES: dict[str, tuple[tuple[str, ...], int, int]] = {
    "task_runs": (("history", "message", "upstream", "tags", "name"), 100, 180),
    "logs": (("message",), 35, 75),
    "artifacts": (("data", "description", "key"), 220, 300),
    "flow_run_transitions": (("message", "reason", "rule", "trail", "facts"), 45, 100),
    "attempts": (("pod", "node", "diagnosis", "log_tail"), 60, 120),
    "events": (("name", "resource", "payload"), 200, 300),
}
_FLOW_RUN_BYTES = (400, 600)


class RowEstimates:
    """Counts the rows of flow runs, page by page."""

    def __init__(self) -> None:
        self._runs = 0
        self._counted_runs = 0
        self._rows: Counter[str] = Counter()
        self._texts: Counter[str] = Counter()

    def add(self, session: Session, numbers: Sequence[int]) -> None:
        """Add flow runs with these numbers."""
        self._runs += len(numbers)
        if not numbers or self._counted_runs >= _COUNTED_RUNS or self._rows.total() >= _COUNTED_ROWS:
            return
        self._counted_runs += len(numbers)
        condition, values = among(session, numbers)
        for table, (texts, _, _) in _TABLES.items():
            length = " + ".join(f"COALESCE(length({text}), 0)" for text in texts)
            statement = f"SELECT count(*), COALESCE(sum({length}), 0) FROM {table} WHERE flow_run {condition}"  # noqa: S608 - our own words
            ((rows, characters),) = session.run(statement, values)
            self._rows[table] += rows
            self._texts[table] += int(characters)

    def total(self, *, postgresql: bool) -> tuple[dict[str, int], int]:
        """The rows by table, and the bytes of all."""
        share = self._runs / self._counted_runs if self._counted_runs else 0.0
        rows = {table: round(self._rows[table] * share) for table in _TABLES}
        size = self._runs * _FLOW_RUN_BYTES[postgresql]
        for table, (_, sqlite, postgres) in _TABLES.items():
            size += round((self._rows[table] * (postgres if postgresql else sqlite) + self._texts[table]) * share)
        return {"flow_runs": self._runs, **rows}, size
