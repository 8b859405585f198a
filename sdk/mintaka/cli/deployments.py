"""Flow deployments as `mintaka get` shows them."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from mintaka.cli.columns import columns, print_lines
from mintaka.cli.parsing import Output
from mintaka.cli.showing import console, instant, lasting, print_json, shortly, stderr_console, told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mintaka.cli.places import Place
    from mintaka.histories import Document

_NARROW = ("NAME", "READY", "SCHEDULES", "NEXT", "ACTIVE", "AGE")
_WIDE = (*_NARROW, "NAMESPACE", "ENTRYPOINT", "TAGS", "UID")


def show_deployments(where: Place, one: str | None, *, name: str | None, tags: Sequence[str], limit: int, output: Output | None) -> None:
    """Print the flow deployment `one`, or (None) those whose names begin with `name` and that have all of `tags`."""
    found = where.deployments(name=name, tags=tags, limit=limit) if one is None else [where.deployment(one)]
    document: Any = found if one is None else found[0]
    if output is Output.JSON:
        print_json(document)
    elif output is Output.YAML:
        from mintaka.yaml_text import as_yaml  # noqa: PLC0415 - start-up time: rarely needed

        sys.stdout.write(as_yaml(document))
    elif output is Output.NAME:
        sys.stdout.writelines(f"{each['name']}\n" for each in found)
    elif one is not None:
        print_lines(console(), _described(found[0]))
    elif found:
        print_lines(console(), deployments_table(found, wide=output is Output.WIDE))
    else:
        stderr_console().print("no flow deployments")


def deployments_table(deployments: Iterable[Document], *, wide: bool = False, now: datetime | None = None) -> list[Text]:
    """Flow deployments, one per line."""
    now = now or datetime.now(UTC)
    return columns(_WIDE if wide else _NARROW, [_row(each, now, wide=wide) for each in deployments])


def _row(deployment: Document, now: datetime, *, wide: bool) -> list[str | Text]:
    more = [deployment["namespace"], deployment["entrypoint"] or "", ",".join(deployment["tags"]), deployment["uid"]] if wide else []
    return [
        deployment["name"],
        _readiness(deployment),
        ", ".join(_series(each) for each in deployment["schedules"]),
        "suspended" if deployment["suspend"] else _time(deployment["next_schedule_time"]),
        str(deployment["active_runs"]),
        lasting((now - instant(deployment["created"])).total_seconds()),
        *more,
    ]


def _described(deployment: Document) -> list[Text]:
    """The details of a flow deployment, one per line."""
    ready = deployment["ready"] or {}
    words = [
        ("Name", deployment["name"]),
        ("Uid", deployment["uid"]),
        ("Namespace", deployment["namespace"]),
        ("Entrypoint", deployment["entrypoint"]),
        ("Image", deployment["image"]),
        ("Version", deployment["version"]),
        ("Description", shortly(deployment["description"] or "")),
        ("Ready", _readiness(deployment)),
        ("Why", shortly(told(ready.get("reason", ""), ready.get("message", ""))) if ready.get("status") != "True" else ""),
        ("Suspended", "yes" if deployment["suspend"] else ""),
        ("Schedules", ", ".join(_series(each) for each in deployment["schedules"])),
        ("Next", _time(deployment["next_schedule_time"])),
        ("Active", f"{deployment['active_runs']} runs"),
        ("Parameters", ", ".join(f"{name}={value!r}" for name, value in deployment["parameters"].items())),
        ("Tags", ", ".join(deployment["tags"])),
        ("Created", f"{instant(deployment['created']):%Y-%m-%d %H:%M:%S}Z"),
    ]
    return [
        Text(f"{word + ':':<12}", style="bold").append_text(value if isinstance(value, Text) else Text(str(value)))
        for word, value in words
        if value
    ]


def _readiness(deployment: Document) -> Text:
    """`yes`, the reason why it is not ready, or an empty text until it has been checked."""
    ready = deployment["ready"]
    if ready is None:
        return Text()
    return Text("yes", style="green") if ready["status"] == "True" else Text(ready.get("reason") or "no", style="red")


def _series(schedule: Document) -> str:
    return str(next((schedule[kind] for kind in ("cron", "interval", "rrule") if schedule.get(kind)), schedule.get("name", "")))


def _time(text: str | None) -> str:
    return f"{instant(text):%Y-%m-%d %H:%M:%S}Z" if text else ""
