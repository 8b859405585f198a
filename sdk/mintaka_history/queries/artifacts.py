"""Questions about artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import select

from mintaka_history.answers import ArtifactAnswer
from mintaka_history.instants import from_microseconds
from mintaka_history.tables import artifacts

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mintaka_history.queries.flow_runs import RunKey

_a = artifacts.c
#: The most artifacts of one flow run that are shown.
LIMIT = 10_000


def of_run(connection: Connection, run: RunKey) -> list[ArtifactAnswer]:
    """The artifacts of a flow run, oldest first."""
    query = select(artifacts).where(_a.flow_run == run.no).order_by(_a.created, _a.id).limit(LIMIT)
    return [
        ArtifactAnswer(
            id=row.id,
            flow_run=run.uid,
            attempt=row.attempt,
            n=row.n,
            kind=row.kind,
            key=row.key,
            description=row.description,
            data=msgspec.json.decode(row.data),
            version=row.seq,
            created=from_microseconds(row.created),
            updated=from_microseconds(row.updated),
        )
        for row in connection.execute(query)
    ]
