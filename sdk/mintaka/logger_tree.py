"""Lines of logs reach the history whatever is done to the configuration of logging.

`logging.config.dictConfig` disables the loggers that it does not name and takes handlers away, as do `basicConfig(force=True)` and
libraries. So the history is no handler of any logger: it is handed each line where a logger calls its handlers. Our own loggers
ignore being disabled by a configuration, and `logging.disable` has them say nothing but to the history. A level, a filter or
`disabled` that is set on them by name is respected.
"""

from __future__ import annotations

import logging
import sys
from functools import lru_cache
from typing import Any, NamedTuple, cast

_NAME = "mintaka"


class _Hearer(NamedTuple):
    """A handler, and the loggers whose lines it is handed (None: all)."""

    handler: logging.Handler
    loggers: tuple[logging.Logger, ...] | None


_hearers: tuple[_Hearer, ...] = ()
_call_handlers = logging.Logger.callHandlers


class _Ours(logging.Logger):
    """A logger of ours: what a configuration does to loggers that it does not name does not silence it."""

    @property
    def disabled(self) -> bool:
        return bool(self.__dict__.get("disabled", False))

    @disabled.setter
    def disabled(self, value: bool) -> None:
        # dictConfig and fileConfig disable every logger that they do not name, which was not requested for this one.
        if sys._getframe(1).f_globals.get("__name__") != "logging.config":  # noqa: SLF001
            self.__dict__["disabled"] = value

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name for it
        """Whether a line of that level goes anywhere: `logging.disable` is checked where handlers are called."""
        return not self.disabled and level >= self.getEffectiveLevel() and (bool(_hearers) or self.manager.disable < level)

    def getEffectiveLevel(self) -> int:  # noqa: N802 - as above
        """Its own level or that of a logger above it; the root's may let more lines pass than INFO, but not fewer."""
        logger: logging.Logger | None = self
        while logger is not None and logger.parent is not None:
            if logger.level:
                return logger.level
            logger = logger.parent
        level = super().getEffectiveLevel()
        return min(level, logging.INFO) if _hearers else level


@lru_cache
def _kind(kind: Any) -> type[logging.Logger]:
    """`_Ours` for a program that has a class of its own for loggers."""
    return _Ours if kind is logging.Logger else cast("type[logging.Logger]", type(kind.__name__, (_Ours, kind), {}))


def own_logger(name: str) -> logging.Logger:
    """The logger called `name`, which no configuration silences by the way."""
    logger = logging.getLogger(name)
    if not isinstance(logger, _Ours):
        kind: Any = type(logger)
        logger.__class__ = _kind(kind)
    return logger


own_logger(_NAME)


def hear(handler: logging.Handler, loggers: tuple[logging.Logger, ...] | None) -> None:
    """From now on hand `handler` each line, once, of `loggers` and those whose lines reach them (None: of all)."""
    global _hearers  # noqa: PLW0603 - the logging tree is global as well
    if logging.Logger.callHandlers is not _with_hearers:
        logging.Logger.callHandlers = _with_hearers  # type: ignore[method-assign]
    _hearers = (*_hearers, _Hearer(handler, loggers))


def stop_hearing(handler: logging.Handler) -> None:
    """Hand `handler` nothing more."""
    global _hearers  # noqa: PLW0603 - as above
    _hearers = tuple(hearer for hearer in _hearers if hearer.handler is not handler)


def _with_hearers(self: logging.Logger, record: logging.LogRecord) -> None:
    """`Logger.callHandlers`, and those who hear."""
    if self.manager.disable < record.levelno:
        _call_handlers(self, record)
    for handler, loggers in _hearers:
        if record.levelno >= handler.level and (loggers is None or _reaches(self, loggers)):
            handler.handle(record)


def _reaches(logger: Any, loggers: tuple[logging.Logger, ...]) -> bool:
    """Whether the lines of `logger` get to one of `loggers`."""
    while logger is not None:
        if logger in loggers:
            return True
        logger = logger.parent if logger.propagate else None
    return False
