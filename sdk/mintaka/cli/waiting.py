"""Flow runs that wait for somebody: what for, told to people, and answering those of this machine."""

from __future__ import annotations

import json
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from mintaka.cli.parsing import BadArgument
from mintaka.cli.showing import console
from mintaka.waiting.intents import check_input

if TYPE_CHECKING:
    from pathlib import Path

    from mintaka.histories import Document
    from mintaka_history.embedded_sqlite import EmbeddedDatabase
    from mintaka_history.writing.pauses import PauseRow

#: A flow looks for answers every second, unless it says otherwise.
_LOOKED_SECONDS = 12.0
_SLICE_SECONDS = 0.1


def told_waits(run: str, pause: Document) -> str:
    """What a run waits for, in a line, with what to type."""
    until = f", until {pause['deadline'][:19]}Z at the latest" if pause["deadline"] else ""
    refused = f"; the last answer was refused: {pause['refusal']}" if pause["refusal"] else ""
    if pause["schema"] is None:
        return f"waits to be resumed{until}: mintaka resume {run}{refused}"
    return f"waits for input{until} ({_told_schema(pause['schema'])}): mintaka resume {run} --input JSON{refused}"


def _told_schema(schema: dict[str, Any]) -> str:
    """The names and types of its members, or the type of the whole."""
    properties = schema.get("properties")
    if not properties:
        return str(schema.get("type") or json.dumps(schema))
    needed = schema.get("required", ())
    return ", ".join(
        f"{name}: {part.get('type', 'anything')}" + ("" if name in needed else ", optional") for name, part in properties.items()
    )


def answered_here(path: Path, run: Document, value: Any, *, given: bool) -> bool:
    """Answer what a run in the file `path` waits for; True if its process continues with it, so that none has to be started.

    Raises:
        BadArgument: it waits for input and none was given, for none and some was, somebody else was faster, or the flow refused it.
        ParameterTypeError: it is not what the run waits for.
    """
    from mintaka_history.embedded_sqlite import EmbeddedDatabase  # noqa: PLC0415 - start-up time
    from mintaka_history.json_text import encode_storable  # noqa: PLC0415
    from mintaka_history.writing import pauses  # noqa: PLC0415

    database = EmbeddedDatabase(path)
    try:
        waiting = [row for row in pauses.of_run(database.reading(), run["uid"]) if row.is_open]
        if not waiting:
            if given:
                message = f"{run['name']} is {run['state']['name']} and waits for no input"
                raise BadArgument(message)
            return False
        first = waiting[0]
        _check_given(run, first, value, given=given)
        with database.writing() as session:
            answered = pauses.answer(session, run["uid"], first.key, encode_storable(value) if given else None)
        if answered is None:
            message = f"{run['name']} has been answered already"
            raise BadArgument(message)
        return not first.suspended and _taken(database, run, first.key)
    finally:
        database.close()


def _check_given(run: Document, pause: PauseRow, value: Any, *, given: bool) -> None:
    schema = json.loads(pause.schema) if pause.schema else None
    if schema is not None and not given and not ("properties" in schema and not schema.get("required")):
        message = f"{run['name']} waits for input ({_told_schema(schema)}): give it with --input JSON"
        raise BadArgument(message)
    if schema is None and given:
        message = f"{run['name']} waits for no input: leave --input out"
        raise BadArgument(message)
    check_input(pause.schema, value, run["name"])


def _taken(database: EmbeddedDatabase, run: Document, key: str) -> bool:
    """Wait a little for the process to take the answer; always True.

    Raises:
        BadArgument: it refused it.
    """
    from mintaka_history.writing import pauses  # noqa: PLC0415 - start-up time

    end = monotonic() + _LOOKED_SECONDS
    while monotonic() < end:
        row = pauses.one(database.reading(), run["uid"], key)
        if row is None or row.ended is not None:
            return True
        if row.refusal:
            raise BadArgument(row.refusal)
        sleep(_SLICE_SECONDS)
    console().print(f"{run['name']} has not looked at the answer yet; it will when it asks for it the next time")
    return True
