"""What the operator tells a flow's container, in environment variables. MINTAKA_SOURCE_INLINE is what older operators set."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from collections.abc import Mapping

TERMINATION_LOG = "/dev/termination-log"


class InvalidEnvironment(MintakaError):
    """A variable that the runner needs is missing or makes no sense."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment of one attempt; durations in seconds. `api_url` "" means that no history is stored, `timeout_seconds` None that the
    attempt may run for ever. `secret_parameters` are names and values, None for a value that is missing. `wire_version` is the
    operator's (0: it names none).
    """

    entrypoint: str
    flow_run: str = ""
    flow_run_uid: str = ""
    namespace: str = ""
    deployment: str = ""
    attempt: int = 1
    scheduled_time: datetime | None = None
    parameters: str = field(default="{}", repr=False)
    secret_parameters: tuple[tuple[str, str | None], ...] = field(default=(), repr=False)
    tags: tuple[str, ...] = ()
    api_url: str = ""
    source_inline: str | None = None
    source_dir: str = ""
    attempt_dir: Path | None = None
    termination_path: Path = Path(TERMINATION_LOG)
    spool_dir: Path | None = None
    spool_limit_bytes: int | None = None
    timeout_seconds: float | None = None
    grace_seconds: float = 30.0
    history_grace_seconds: float = 30.0
    log_level: str = "INFO"
    resume_from: str = ""
    resumed: tuple[str, ...] = ()
    wire_version: int = 0

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Environment:
        """The environment in `variables` (`os.environ`).

        Raises:
            InvalidEnvironment: with the variable's name and what it should be.
        """

        def text(name: str, default: str = "") -> str:
            return variables.get(f"MINTAKA_{name}", "") or default

        def number[N: (int, float)](name: str, kind: type[N], default: N) -> N:
            given = text(name)
            try:
                return kind(given) if given else default
            except ValueError as error:
                message = f"MINTAKA_{name} should be a number, not {given!r}"
                raise InvalidEnvironment(message) from error

        if not text("ENTRYPOINT"):
            message = "MINTAKA_ENTRYPOINT is not set: it names the flow, as module:function or file.py:function"
            raise InvalidEnvironment(message)
        spool_dir, limit = text("SPOOL_DIR"), number("SPOOL_LIMIT_BYTES", int, 0)
        return cls(
            entrypoint=text("ENTRYPOINT"),
            flow_run=text("FLOW_RUN"),
            flow_run_uid=text("FLOW_RUN_UID"),
            namespace=text("NAMESPACE"),
            deployment=text("DEPLOYMENT"),
            attempt=number("ATTEMPT", int, 1),
            scheduled_time=_instant("SCHEDULED_TIME", text("SCHEDULED_TIME")),
            parameters=text("PARAMETERS", "{}"),
            secret_parameters=tuple(
                (name, variables.get(f"MINTAKA_PARAMETER_FROM_SECRET_{index}"))
                for index, name in enumerate(_words("PARAMETERS_FROM_SECRETS", text("PARAMETERS_FROM_SECRETS", "[]")))
            ),
            tags=_words("TAGS", text("TAGS", "[]")),
            api_url=text("API_URL"),
            source_inline=variables.get("MINTAKA_SOURCE_INLINE") or None,
            source_dir=text("SOURCE_DIR"),
            attempt_dir=Path(text("ATTEMPT_DIR")) if text("ATTEMPT_DIR") else None,
            termination_path=Path(text("TERMINATION_MESSAGE_PATH", TERMINATION_LOG)),
            spool_dir=Path(spool_dir) if spool_dir else None,
            spool_limit_bytes=limit or None,
            timeout_seconds=number("TIMEOUT_SECONDS", float, 0.0) or None,
            grace_seconds=number("GRACE_SECONDS", float, 30.0),
            history_grace_seconds=number("HISTORY_GRACE_SECONDS", float, 30.0),
            log_level=text("LOG_LEVEL", "INFO").upper(),
            resume_from=text("RESUME_FROM"),
            resumed=_words("RESUMED", text("RESUMED", "[]")),
            wire_version=number("WIRE_VERSION", int, 0),
        )

    def parsed_parameters(self) -> dict[str, Any]:
        """The flow's arguments by name; what comes from a Secret is text, without the line feed that a file may end with.

        Raises:
            InvalidEnvironment: MINTAKA_PARAMETERS is not a JSON object, or a variable from a Secret is missing.
        """
        try:
            values = json.loads(self.parameters)
        except ValueError as error:
            message = f"MINTAKA_PARAMETERS is not JSON: {error}"
            raise InvalidEnvironment(message) from error
        if not isinstance(values, dict):
            message = f"MINTAKA_PARAMETERS should be a JSON object, not {type(values).__name__}"
            raise InvalidEnvironment(message)
        for name, text in self.secret_parameters:
            if text is None:
                message = f"parameter {name!r} comes from a Secret, but its variable is not set"
                raise InvalidEnvironment(message)
            values.setdefault(name, text.removesuffix("\n").removesuffix("\r"))
        return values


def _instant(name: str, text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text) if text else None
    except ValueError as error:
        message = f"MINTAKA_{name} should be a time in RFC 3339, not {text!r}"
        raise InvalidEnvironment(message) from error
    return time if time is None or time.tzinfo is not None else time.replace(tzinfo=UTC)


def _words(name: str, text: str) -> tuple[str, ...]:
    try:
        values = json.loads(text)
    except ValueError as error:
        message = f"MINTAKA_{name} should be a JSON list of words, not {text!r}"
        raise InvalidEnvironment(message) from error
    if not isinstance(values, list):
        message = f"MINTAKA_{name} should be a JSON list of words, not {text!r}"
        raise InvalidEnvironment(message)
    return tuple(str(value) for value in values)
