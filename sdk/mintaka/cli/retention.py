"""`mintaka retention`: delete finished flow runs of this machine that are old; or show which ones, here or at an API.

An API deletes old flow runs by itself, as its settings say. Nothing does so with the file that scripts of this machine write.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mintaka.cli.parsing import BadArgument, JsonOption
from mintaka.cli.places import command_place
from mintaka.cli.showing import console, print_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mintaka_history.database import Database
    from mintaka_history.maintenance.policy import RetentionPolicy

_UNITS = ("bytes", "KB", "MB", "GB", "TB")
_STEP = 1000.0


def command(
    days: Annotated[
        float | None, typer.Option(min=0, help="Days from the end of a flow run. Default: MINTAKA_RETENTION_DAYS and MINTAKA_RETENTION.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing: show what would be deleted now.")] = False,
    json: JsonOption = False,
) -> None:
    """Delete finished flow runs that ended longer ago than their limit, or show them."""
    where = command_place(cluster=False)
    if where.cluster is not None and not os.environ.get("MINTAKA_API_URL"):
        message = "the API of a cluster stores its history: kubectl port-forward -n mintaka-system service/mintaka-api 4200, and set MINTAKA_API_URL"
        raise BadArgument(message)
    if url := where.api_url or (where.cluster is not None and os.environ["MINTAKA_API_URL"]):
        if not dry_run:
            message = "an API deletes flow runs by itself, as its settings say (the chart's retention): --dry-run shows which"
            raise BadArgument(message)
        found = _ask(url, days)
    elif where.database is None or not where.database.exists():
        message = f"there is no history at {where.database or where.folder}"
        raise BadArgument(message)
    else:
        found = _look_here(where.database, days, delete=not dry_run)
    if json:
        print_json(found)
    else:
        for line in _lines(found, deleted=not dry_run):
            console().print(line, markup=False)


def _ask(url: str, days: float | None) -> dict[str, Any]:
    from mintaka.recording.remote_history import RemoteHistory  # noqa: PLC0415 - start-up time: httpx

    with RemoteHistory(url) as api:
        return api.retention(days)


def _look_here(path: Path, days: float | None, *, delete: bool) -> dict[str, Any]:
    from mintaka_history.maintenance.dry_run import dry_run  # noqa: PLC0415 - start-up time: SQLAlchemy

    policy = _policy(days)
    found = _with_database(path, lambda database: dry_run(database, policy))
    if delete:
        _with_database(path, lambda database: _delete(database, policy))
    document: dict[str, Any] = msgspec.to_builtins(found)
    return document


def _policy(days: float | None) -> RetentionPolicy:
    from mintaka_history.maintenance.policy import policy_of  # noqa: PLC0415 - start-up time: SQLAlchemy

    policy = policy_of(os.environ.get("MINTAKA_RETENTION_DAYS", ""), os.environ.get("MINTAKA_RETENTION", ""))
    policy = policy if days is None else policy.with_days(days)
    if policy.shortest() is None:
        message = "flow runs are kept for ever: say how long with --days, or with MINTAKA_RETENTION_DAYS"
        raise BadArgument(message)
    return policy


def _delete(database: Database, policy: RetentionPolicy) -> None:
    from mintaka_history.maintenance import jobs, retention  # noqa: PLC0415 - start-up time: SQLAlchemy
    from mintaka_history.timestamps import now_microseconds  # noqa: PLC0415

    now = now_microseconds()
    for _ in retention.steps(database, policy, now):
        pass
    for _ in jobs.tidy(database, now):
        pass


def _with_database[T](path: Path, work: Callable[[Database], T]) -> T:
    from mintaka.histories import HistoryError  # noqa: PLC0415 - start-up time
    from mintaka_history.database import Database, DatabaseAway  # noqa: PLC0415 - start-up time: SQLAlchemy
    from mintaka_history.migrating import migrate  # noqa: PLC0415

    database = Database(f"sqlite:///{path}", read_connections=1)
    try:
        migrate(database)
        return work(database)
    except DatabaseAway as away:
        raise HistoryError(str(away)) from away
    finally:
        database.dispose()


def _lines(found: dict[str, Any], *, deleted: bool) -> list[str]:
    if not found["enabled"]:
        return ["Flow runs are kept for ever (retention.days is 0): --days shows what a limit would delete."]
    if not found["flow_runs"] and not found["partitions"]:
        return ["No flow run is old enough."]
    more = "" if found["complete"] else "more than "
    rows = ", ".join(f"{rows} {table.replace('_', ' ')}" for table, rows in found["estimated_rows"].items() if rows)
    lines = [
        f"{'Deleted' if deleted else 'Would delete'} {more}{found['flow_runs']} flow runs, about {_size(found['estimated_bytes'])}.",
        f"Created: {found['oldest']} to {found['newest']}",
        f"States: {', '.join(f'{state} {count}' for state, count in found['states'].items())}",
        f"Deployments: {', '.join(f'{name} {count}' for name, count in found['deployments'].items())}",
        f"Rows, estimated: {rows}",
        f"First: {', '.join(found['first'])}",
    ]
    if found["partitions"]:
        names = ", ".join(f"{each['name']} ({_size(each['bytes'])})" for each in found["partitions"])
        lines.append(f"Partitions dropped as a whole: {names}")
    return lines


def _size(size: float) -> str:
    for unit in _UNITS:
        if size < _STEP or unit == _UNITS[-1]:
            break
        size /= _STEP
    return f"{size:.3g} {unit}"
