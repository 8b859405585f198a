"""The secrets of a local server: the token in a file, one-time codes for browsers, and the sessions that codes are exchanged for.

A session is its expiry, signed with the token: it outlives a restart of the server, and ends when the token is replaced. One that
expires later than a new one would is refused: an earlier release made it, or the clock was wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CODE_SECONDS = 60
SESSION_SECONDS = 12 * 3600
#: By how much the clock may be set back before the sessions that began earlier are refused.
_CLOCK_STEP_SECONDS = 60
_BYTES = 32
#: The maximum number of unused codes; beyond it the oldest is dropped.
_CODES = 100
_OTHERS = 0o077
_OWNER_ONLY = 0o600


class Credentials:
    """What a request to this server may authenticate with."""

    def __init__(self, token: str, *, clock: Callable[[], float] = time.time, timer: Callable[[], float] = time.monotonic) -> None:
        """`clock` decides when sessions expire, `timer` when codes do: setting the clock must not lengthen their minute."""
        self._token = token
        self._clock = clock
        self._timer = timer
        #: By code: until when it may be used.
        self._codes: dict[str, float] = {}

    def is_token(self, token: str) -> bool:
        """Whether this is the token."""
        return _equal(token, self._token)

    def new_code(self) -> str:
        """A code that can be exchanged for a session, once, within a minute."""
        code = secrets.token_urlsafe(_BYTES)
        self._codes[code] = self._timer() + CODE_SECONDS
        while len(self._codes) > _CODES:
            del self._codes[next(iter(self._codes))]
        return code

    def session_of_code(self, code: str) -> str | None:
        """The session for a code; None if there is no such code, it was used, or its minute is over."""
        until = self._codes.pop(code, None)
        if until is None or self._timer() >= until:
            return None
        expiry = str(int(self._clock()) + SESSION_SECONDS)
        return f"{expiry}.{self._signature(expiry)}"

    def is_session(self, session: str) -> bool:
        """Whether this is a session that has not expired."""
        expiry, _, signature = session.partition(".")
        if not _equal(signature, self._signature(expiry)):
            return False
        return 0 < int(expiry) - self._clock() <= SESSION_SECONDS + _CLOCK_STEP_SECONDS

    def _signature(self, expiry: str) -> str:
        return hmac.new(self._token.encode(), f"session until {expiry}".encode(), hashlib.sha256).hexdigest()


def token_in(path: Path) -> str:
    """The token in the file `path`, which only its owner may read; created, or replaced if others could have read it.

    Raises:
        OSError: the file cannot be read or written.
    """
    try:
        status = path.stat()
        token = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        token = ""
    else:
        if status.st_mode & _OTHERS or status.st_uid != os.getuid() or not token.isascii():
            token = ""
    return token or _replaced(path)


def _replaced(path: Path) -> str:
    token = secrets.token_urlsafe(_BYTES)
    write_private(path, f"{token}\n")
    return token


def write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read; readers see the old text or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="surrogateescape"), other.encode(errors="surrogateescape"))
