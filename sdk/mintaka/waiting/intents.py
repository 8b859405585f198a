"""What can be wished of a flow run from outside of its process, told to the API or to the file that scripts keep."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mintaka.exceptions import ConfigurationError, NotPausedError, ParameterTypeError
from mintaka.recording.homes import command_home, home

if TYPE_CHECKING:
    from pathlib import Path


def suspend(uid: str) -> None:
    """Hold a run back, or stop it.

    Raises:
        ConfigurationError: there is no API, and nobody else could stop the process of a run.
        HistoryError: the API refused, or cannot be asked.
    """
    url = command_home().api_url
    if not url:
        message = (
            f"flow run {uid} can be suspended from outside only through a server or another API: mintaka server start, or MINTAKA_API_URL"
        )
        raise ConfigurationError(message)
    from mintaka.recording.remote_history import RemoteHistory  # noqa: PLC0415 - start-up time: httpx

    with RemoteHistory(url) as api:
        api.post(f"/flow-runs/{uid}/suspend")


def answer(uid: str, value: Any) -> None:
    """Resume a run that waits, with `value` as its input.

    Raises:
        NotPausedError: it waits for nothing, as far as history knows.
        ParameterTypeError: this is not what it waits for.
        HistoryError: the API refused, or cannot be asked.
    """
    from mintaka.waiting.mailboxes import plain  # noqa: PLC0415 - start-up time

    where = home()
    if where.api_url:
        from mintaka.recording.remote_history import RemoteHistory  # noqa: PLC0415 - start-up time: httpx

        with RemoteHistory(where.api_url) as api:
            api.post(f"/flow-runs/{uid}/resume", {"input": plain(value)})
    elif where.database is None or not answer_here(where.database, uid, plain(value)):
        message = f"flow run {uid} is not paused, as far as this machine knows"
        raise NotPausedError(message)


def answer_here(database: Path, uid: str, value: Any) -> bool:
    """Answer the oldest open pause of a run in that SQLite file with a JSON value; False where there is none.

    Raises:
        ParameterTypeError: this is not what it waits for.
    """
    from mintaka_history.embedded_sqlite import EmbeddedDatabase  # noqa: PLC0415 - start-up time
    from mintaka_history.json_text import encode_storable  # noqa: PLC0415 - start-up time
    from mintaka_history.writing import pauses  # noqa: PLC0415

    opened = EmbeddedDatabase(database)
    try:
        waiting = [row for row in pauses.of_run(opened.reading(), uid) if row.is_open]
        if not waiting:
            return False
        check_input(waiting[0].schema, value, uid)
        with opened.writing() as session:
            return pauses.answer(session, uid, waiting[0].key, encode_storable(value)) is not None
    finally:
        opened.close()


def check_input(schema: str | None, value: Any, run: str) -> None:
    """Whether a flow run would take `value`, a JSON value, in a pause with that JSON Schema, as a JSON text (None: any).

    Raises:
        ParameterTypeError: it would not; with the places that are wrong.
    """
    from mintaka_core.json_schema import summary, violations, with_default  # noqa: PLC0415 - start-up time

    if schema is not None:
        wanted = json.loads(schema)
        if found := violations(wanted, with_default(wanted, value), "input"):
            message = f"not the input that flow run {run} waits for: {summary(found)}"
            raise ParameterTypeError(message)
