"""Standard streams while something is drawn at the bottom of the terminal: what is written to them is kept, in order, to be
printed above it. Writing costs a flow nothing but an append.
"""

from __future__ import annotations

import io
import logging
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Written(io.TextIOBase):
    """Stands in for `stream`; what it does not know it asks that."""

    def __init__(self, stream: TextIO, texts: deque[str]) -> None:
        super().__init__()
        self.stream = stream
        self._texts = texts

    def write(self, text: str) -> int:
        self._texts.append(text)
        return len(text)

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.stream.fileno()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Above:
    """Between `take` and `give_back`, standard output and error (where they are terminals) are kept here, and so are the
    lines of handlers of `logging` that write to them.
    """

    def __init__(self) -> None:
        self._texts: deque[str] = deque()
        self._rest = ""
        self._written: dict[str, _Written] = {}

    def take(self) -> None:
        """From now on."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream.isatty():
                self._written[name] = _Written(stream, self._texts)
                setattr(sys, name, self._written[name])
        self._point({id(written.stream): written for written in self._written.values()})

    def give_back(self) -> None:
        """No more; what is left is still to be printed."""
        for name, written in self._written.items():
            if getattr(sys, name) is written:
                setattr(sys, name, written.stream)
        self._point({id(written): written.stream for written in self._written.values()})

    def lines(self, *, rest: bool = False) -> str:
        """What was written since: whole lines only, or, with `rest`, all of it."""
        texts = [self._texts.popleft() for _ in range(len(self._texts))]
        self._rest += "".join(texts)
        if rest:
            whole, self._rest = self._rest, ""
        else:
            whole, newline, self._rest = self._rest.rpartition("\n")
            whole += newline
        return whole

    @staticmethod
    def _point(streams: dict[int, Any]) -> None:
        for handler in _handlers():
            if id(handler.stream) in streams:
                handler.setStream(streams[id(handler.stream)])


def _handlers() -> Iterator[logging.StreamHandler[Any]]:
    loggers = [logging.getLogger(), *(each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    for logger in loggers:
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler):
                yield handler
