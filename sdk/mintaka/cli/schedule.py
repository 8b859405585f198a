"""`mintaka schedule preview`: when a schedule fires, in words and by its next times."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from mintaka.cli.manifest_files import SUFFIXES, Manifests
from mintaka.cli.parsing import BadArgument, JsonOption
from mintaka.cli.places import ClusterOption, place
from mintaka.cli.showing import print_json
from mintaka_core.errors import InvalidSchedule
from mintaka_core.resources.schedules import Schedule
from mintaka_core.schedule_previews import preview, sentence_of
from mintaka_core.time_zones import advice

if TYPE_CHECKING:
    from collections.abc import Iterator

group = typer.Typer()
_LIMIT = 1000
_INVALID = 1


@group.command(name="preview")
def preview_schedules(
    what: Annotated[
        str | None, typer.Argument(help="A flow deployment, or a file of manifests. Not with --cron and the like.", metavar="WHAT")
    ] = None,
    cron: Annotated[str | None, typer.Option(metavar="FIELDS", help="Five fields, such as '0 6 * * MON-FRI', or a macro.")] = None,
    interval: Annotated[str | None, typer.Option(metavar="TIME", help="The time between runs, such as 15m, P1D or P1M.")] = None,
    rrule: Annotated[str | None, typer.Option(metavar="RULE", help="A rule of RFC 5545, such as FREQ=MONTHLY;BYDAY=2FR.")] = None,
    time_zone: Annotated[str, typer.Option(metavar="ZONE", help="Time zone of --cron and the like.")] = "UTC",
    anchor: Annotated[str | None, typer.Option(metavar="TIME", help="From when --interval counts (RFC 3339). Default: 2020.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=_LIMIT, help="How many times are shown.")] = 10,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Times after this one (RFC 3339). Default: now.")] = None,
    json: JsonOption = False,
    cluster: ClusterOption = False,
) -> int:
    """Describe when schedules fire, and show their next times, with notes on changes of clocks."""
    given = {"cron": cron, "interval": interval, "rrule": rrule}
    words = {kind: value for kind, value in given.items() if value is not None}
    if bool(words) == (what is not None) or len(words) > 1:
        message = "give a flow deployment, a file of manifests, or one of --cron, --interval and --rrule"
        raise BadArgument(message)
    if words:
        anchored = {"anchor": anchor} if anchor else {}
        found = [("", {"name": "schedule", "timeZone": time_zone, **words, **anchored})]
    else:
        found = list(_schedules(str(what), cluster=cluster))
    after = _time(since) if since else datetime.now(UTC)
    answers = [_preview(name, fields, after, count) for name, fields in found]
    if json:
        print_json(answers)
    else:
        sys.stdout.write("\n".join(_text(answer) for answer in answers) or f"{what} has no schedules\n")
    return _INVALID if any(answer["error"] for answer in answers) else 0


def _schedules(what: str, *, cluster: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schedules of a deployment or of those in a file, each with the name of its deployment."""
    if what.endswith(SUFFIXES) or what == "-":
        manifests = Manifests(what) if what != "-" else Manifests(what, sys.stdin.read())
        if what != "-" and not Path(what).exists():
            message = f"there is no file {what}"
            raise BadArgument(message)
        for _, resource in manifests.checked():
            if resource["kind"] == "FlowDeployment":
                for schedule in (resource.get("spec") or {}).get("schedules") or ():
                    yield str(resource["metadata"]["name"]), schedule
        return
    document = place(cluster=cluster).deployment(what.removeprefix("deployment/"))
    for schedule in document["schedules"]:
        yield document["name"], {key: value for key, value in schedule.items() if value is not None}


def _preview(deployment: str, fields: dict[str, Any], after: datetime, count: int) -> dict[str, Any]:
    answer = {"deployment": deployment, "schedule": str(fields.get("name", "")), "sentence": "", "times": [], "advice": "", "error": ""}
    try:
        schedule = Schedule.model_validate(fields)
        times = [{"time": each.time.isoformat(), "note": each.note} for each in preview(schedule, after, count)]
        return {**answer, "sentence": sentence_of(schedule), "times": times, "advice": advice(schedule.time_zone)}
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        return {**answer, "error": f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"}
    except InvalidSchedule as error:
        return {**answer, "error": str(error)}


def _text(answer: dict[str, Any]) -> str:
    title = f"{answer['deployment']}/{answer['schedule']}: " if answer["deployment"] else ""
    if answer["error"]:
        return f"{title}{answer['error']}\n"
    lines = [f"{title}{answer['sentence']}."]
    lines += [answer["advice"]] if answer["advice"] else []
    for each in answer["times"]:
        time = datetime.fromisoformat(each["time"])
        lines.append(f"  {time:%a %Y-%m-%d %H:%M:%S%:z}" + (f"  {each['note']}" if each["note"] else ""))
    if not answer["times"]:
        lines.append("  it has ended: there is no further time")
    return "\n".join(lines) + "\n"


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"--from {text!r} is not a time such as 2026-03-28T00:00:00Z"
        raise BadArgument(message) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
