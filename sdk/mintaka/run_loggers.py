"""The loggers of runs: each of their records has fields that say which run it belongs to, for formatters and handlers of the user's.

They are those of Prefect's records (ids as text), and `run_name`, which is that of the innermost run:

| in a flow | in a task |
|---|---|
| `flow_run_id`, `flow_run_name`, `flow_name`, `deployment_name` | `flow_run_id`, `flow_run_name`, `flow_name`, `task_run_id`, `task_run_name`, `task_name` |
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mintaka.exceptions import InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from mintaka.context import FlowContext, RunContext

#: Names of a record's own fields, which logging does not let anyone replace.
_TAKEN = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime"})
_UNKNOWN = "<unknown>"


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records have the fields that `find` gives, which is called for the first of them, and `more`."""

    def __init__(self, logger: logging.Logger, find: Callable[[], dict[str, Any]], more: Mapping[str, Any]) -> None:
        self.logger = logger
        self._find = find
        self._more = more

    @cached_property
    def extra(self) -> dict[str, Any]:  # type: ignore[override] # computed when it is first needed: most loggers log nothing
        """The fields of each record."""
        return {**self._find(), **self._more}

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the fields on a record, beside those that this one call gives."""
        kwargs["extra"] = {**self.extra, **(kwargs.get("extra") or {})}
        return msg, kwargs


def checked_fields(more: dict[str, Any]) -> dict[str, Any]:
    """`more`, if records can have such fields.

    Raises:
        InvalidSettingError: they cannot.
    """
    if taken := sorted(_TAKEN.intersection(more)):
        message = f"get_run_logger() cannot give records a field {taken[0]!r}, which every record has of its own: choose another name"
        raise InvalidSettingError(message)
    return more


def task_fields(context: RunContext) -> dict[str, Any]:
    """The fields of records in a task."""
    run, task, flow = context.run, context.task, context.flow
    return {
        "flow_run_id": None if flow is None else flow.id,
        "flow_run_name": _UNKNOWN if flow is None else flow.run.name,
        "flow_name": _UNKNOWN if flow is None else flow.flow.name,
        "task_run_id": str(context.ledger.ids.of(run.n)),
        "task_run_name": run.name,
        "task_name": _UNKNOWN if task is None else task.name,
        "run_name": run.name,
    }


def flow_fields(flow: FlowContext) -> dict[str, Any]:
    """The fields of records in a flow."""
    return {
        "flow_run_id": flow.id,
        "flow_run_name": flow.run.name,
        "flow_name": flow.flow.name,
        "deployment_name": flow.launch.deployment or None,
        "run_name": flow.run.name,
    }
