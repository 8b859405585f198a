"""Logs of runs: to the console as usual, and into the history of the run they belong to.

`get_run_logger()` is an ordinary logger; which run a line belongs to is known from the context it is logged in, so
`logging.getLogger(__name__)` works as well in a pod, where the runner takes the root logger into the history. A thread that the
user's code of a run starts belongs to that run.
"""

from __future__ import annotations

import builtins
import logging
import os
import sys
import threading
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mintaka.context import CURRENT, current_run
from mintaka.engine.bookkeeping import uninterrupted
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.logger_tree import hear, own_logger
from mintaka.run_loggers import RunLogger, checked_fields, flow_fields, task_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mintaka.context import FlowRunContext, RunContext, TaskRunContext

#: The environment variable that names loggers of others whose lines are history too.
EXTRA_LOGGERS = "MINTAKA_LOGGING_EXTRA_LOGGERS"
FLOW_LOGGER = "mintaka.flow_runs"
TASK_LOGGER = "mintaka.task_runs"
CONSOLE_FORMAT = "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s"
CONSOLE_TIME = "%H:%M:%S"

#: A line longer than this many characters loses its middle on the way into the history.
LINE_LIMIT = 32768

#: Our own words about delivering history are not history, else each failure would make more to deliver.
UNRECORDED = "mintaka.history"

_NO_FIELDS: Mapping[str, Any] = MappingProxyType({})

# An exception from a signal handler in the few lines around these locks would leave them locked, and every thread that logs
# would wait for ever.
for _locking in (logging.Handler.handle, logging.Handler.acquire, logging.Logger.isEnabledFor, logging.Manager.getLogger):
    uninterrupted(_locking)


def get_run_logger(context: FlowRunContext | TaskRunContext | None = None, **fields: Any) -> RunLogger:
    """The logger of the flow or task run that is running; its records have `fields` too, beside those that name the run.

    In a thread of the user's own, it is that of the run whose code started it; if the run of a thread is not known, its lines are of
    none.

    Args:
        context: that of another run (None: the innermost one).
        **fields: what records are to have, such as `job="nightly"`.

    Raises:
        MissingContextError: outside of every run, in the main thread.
        InvalidSettingError: a field has a name that records have of their own, such as `message`.
    """
    more = checked_fields(fields)
    here = run_here() if context is None else context.surroundings
    if here is not None:
        return run_logger(here, more)
    main = threading.current_thread() is threading.main_thread()
    if main and not all(own_logger(name).disabled for name in (FLOW_LOGGER, TASK_LOGGER)):
        current_run("get_run_logger()")
    return RunLogger(own_logger(FLOW_LOGGER), lambda: {"run_name": ""}, more)


def run_here() -> RunContext | None:
    """The run whose code this is; None outside of all."""
    return CURRENT.get() or CHILD_PROCESSES.starts.inherited(CURRENT, None)


@contextmanager
def disable_run_logger() -> Iterator[None]:
    """Inside the block nothing is logged by run loggers, and `get_run_logger()` works outside of runs: for tests of `task.fn`."""
    loggers = [own_logger(FLOW_LOGGER), own_logger(TASK_LOGGER)]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


def run_logger(context: RunContext, more: Mapping[str, Any] = _NO_FIELDS) -> RunLogger:
    """The logger of the run that `context` is of; see `mintaka.run_loggers` for what its records have."""
    _show_on_console()
    flow = context.flow
    if context.task is None and flow is not None:
        return RunLogger(own_logger(FLOW_LOGGER), lambda: flow_fields(flow), more)
    return RunLogger(own_logger(TASK_LOGGER), lambda: task_fields(context), more)


class HistoryHandler(logging.Handler):
    """Hands each record to `recorder`; None: to that of the script's run it was logged in, if any."""

    def __init__(self, recorder: Any = None) -> None:
        super().__init__()
        self._recorder = recorder

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        context = run_here()
        recorder = self._recorder
        if recorder is None and context is not None and context.flow is not None and context.flow.launch.owned:
            recorder = context.ledger.recorder
        if recorder is None or record.name.startswith(UNRECORDED):
            return
        try:
            message = self.format(record)
        except Exception:  # noqa: BLE001 - a bad format string must not end the flow; logging shows where it is
            self.handleError(record)
            return
        n, called = (None, None) if context is None else context.place
        recorder.log(record.levelno, record.name, n, shortened(message), called)


_recording_lock = threading.Lock()
_recorded = False


def record_run_loggers() -> None:
    """From now on what is logged by run loggers, from INFO on, is history of their runs; for scripts, once per process."""
    global _recorded  # noqa: PLW0603 - the logging tree is global as well
    if not _recorded:
        with _recording_lock:
            if not _recorded:
                hear(HistoryHandler(), tuple(own_loggers()))
                _recorded = True
                if os.environ.get(EXTRA_LOGGERS):
                    _show_on_console()


#: Where a line keeps by whom it was seen.
SEEN = "_mintaka_seen"


class _Once(logging.Filter):
    """Lets a line pass the first time: a logger hands it to its own handlers and to those of the loggers above it.

    Which loggers hand on cannot be told beforehand: libraries set `propagate` when they are imported.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line was not here before."""
        seen: tuple[_Once, ...] = record.__dict__.get(SEEN, ())
        record.__dict__[SEEN] = (*seen, self)
        return self not in seen


def own_loggers() -> list[logging.Logger]:
    """Our logger and those that MINTAKA_LOGGING_EXTRA_LOGGERS names, separated by commas. They log from INFO on if no level is set."""
    words = {word.strip() for word in os.environ.get(EXTRA_LOGGERS, "").split(",")} - {""}
    loggers = [own_logger("mintaka"), *(logging.getLogger(name) for name in sorted(words - {"mintaka"}))]
    for logger in loggers:
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
    return loggers


def shortened(text: str, limit: int = LINE_LIMIT) -> str:
    """`text`, its middle left out where it is longer than `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit // 2]} […] {text[-limit // 2 :]}"


_console_lock = threading.Lock()
_console_asked = False


def _show_on_console() -> None:
    """Where nobody configured logging, show our loggers' lines from INFO on stderr."""
    global _console_asked  # noqa: PLW0603 - the logging tree is global as well
    if _console_asked:
        return
    with _console_lock:
        if not _console_asked and not logging.getLogger().handlers and not own_logger("mintaka").handlers:
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter(CONSOLE_FORMAT, CONSOLE_TIME))
            handler.addFilter(_Once())
            for logger in own_loggers():
                logger.addHandler(handler)
        _console_asked = True


_print_lock = threading.Lock()
_print_users = 0
_real_print = print


def _print_to_log(*values: object, sep: str | None = None, end: str | None = None, file: Any = None, flush: bool = False) -> None:
    """`print` for runs with `log_prints`; elsewhere, and with a file of its own, the real one."""
    context = run_here()
    if context is None or not context.log_prints or file not in (None, sys.stdout, sys.stderr):
        _real_print(*values, sep=sep, end=end, file=file, flush=flush)
    else:
        run_logger(context).info("%s", (" " if sep is None else sep).join(map(str, values)))


@contextmanager
def printing_to_log() -> Iterator[None]:
    """While the block runs, `print` goes to the log of runs that want it (`log_prints`)."""
    global _print_users, _real_print  # noqa: PLW0603 - builtins.print is global as well
    with _print_lock:
        if _print_users == 0:
            _real_print = builtins.print
            builtins.print = _print_to_log
        _print_users += 1
    try:
        yield
    finally:
        with _print_lock:
            _print_users -= 1
            if _print_users == 0:
                builtins.print = _real_print


def get_logger(name: str | None = None) -> logging.Logger:
    """The logger `mintaka.NAME`, or `mintaka` itself; what is logged inside of a run belongs to it."""
    return own_logger(f"mintaka.{name}" if name else "mintaka")
