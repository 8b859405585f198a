"""What `@task` and `@flow` are given is looked at once, when they are defined: what is wrong is said there, and not by a run at night."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka.exceptions import InvalidSettingError
from mintaka_core.durations import LONGEST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_NO_TIME = timedelta(0)


class _Kind(NamedTuple):
    """What a setting may be; None, which leaves it out, is always fine."""

    fits: Callable[[Any], bool]
    requirement: str


def _is_count(value: Any) -> bool:
    return hasattr(type(value), "__index__") and not isinstance(value, bool) and value >= 0


def _is_amount(value: Any) -> bool:
    return (number := _number(value)) is not None and number < inf


def _number(value: Any) -> float | None:
    """A number, 0 or more, as a float; None if it is anything else."""
    numeric = hasattr(type(value), "__float__") or hasattr(type(value), "__index__")
    if not numeric or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer beyond the range of a float
        return inf if value > 0 else None
    except (TypeError, ValueError):  # an array
        return None
    return number if number >= 0 else None


def _is_time(value: Any) -> bool:
    """A time that every clock of the operating system can be set to."""
    return (number := _number(value)) is not None and number <= LONGEST_SECONDS


def _is_delay(value: Any) -> bool:
    return (
        (_is_function(value) and not iscoroutinefunction(value))
        or is_seconds(value)
        or (isinstance(value, Sequence) and not isinstance(value, str) and all(map(is_seconds, value)))
    )


def is_seconds(value: Any) -> bool:
    """True if a delay can be so long: a number, 0 or more, or a timedelta; what is too long for a date is capped later."""
    return value >= _NO_TIME if isinstance(value, timedelta) else _number(value) is not None


def _is_function(value: Any) -> bool:
    """Whether calling it does something: calling what yields only makes a generator, which would never be run here."""
    return callable(value) and not (isgeneratorfunction(value) or isasyncgenfunction(value))


def _are_functions(value: Any) -> bool:
    return isinstance(value, Collection) and all(map(_is_function, value))


def _are_texts(value: Any) -> bool:
    if not isinstance(value, Collection):
        return hasattr(value, "__iter__")  # once only: not looked into
    return not isinstance(value, str) and all(isinstance(item, str) for item in value)


_TEXT = _Kind(lambda value: isinstance(value, str), "a text")
_TEMPLATE = _Kind(
    lambda value: isinstance(value, str) or _is_function(value), "a text with parameters in braces, or a function that gives one"
)
_COUNT = _Kind(_is_count, "a whole number, 0 or more")
_AMOUNT = _Kind(_is_amount, "a number, 0 or more")
_SWITCH = _Kind(lambda value: isinstance(value, bool), "True or False")
_FUNCTION = _Kind(_is_function, "a function")
_HOOKS = _Kind(_are_functions, "a list of functions")

_KINDS = {
    "name": _TEXT,
    "description": _TEXT,
    "tags": _Kind(_are_texts, "a list of texts"),
    "task_run_name": _TEMPLATE,
    "flow_run_name": _TEMPLATE,
    "retries": _COUNT,
    "crash_retries": _COUNT,
    "retry_delay_seconds": _Kind(
        _is_delay, "a number of seconds, 0 or more, a list of them, or a sync function that makes one of the number of retries"
    ),
    "retry_jitter_factor": _AMOUNT,
    "retry_condition_fn": _FUNCTION,
    "timeout_seconds": _Kind(_is_time, "a number of seconds, 0 (no limit) to 1e9"),
    "log_prints": _SWITCH,
    "validate_parameters": _SWITCH,
    "task_runner": _Kind(
        lambda value: hasattr(value, "duplicate"),
        "a runner or a class of mintaka.task_runners, such as ThreadPoolTaskRunner(max_workers=8)",
    ),
    "on_completion": _HOOKS,
    "on_failure": _HOOKS,
    "on_cancellation": _HOOKS,
    "on_crashed": _HOOKS,
    "on_running": _HOOKS,
    "on_commit": _HOOKS,
    "on_rollback": _HOOKS,
    "persist_result": _SWITCH,
    "cache_result_in_memory": _SWITCH,
    "result_storage_key": _TEXT,
    "cache_key_fn": _FUNCTION,
    "cache_expiration": _Kind(lambda value: isinstance(value, timedelta), "a datetime.timedelta"),
    "refresh_cache": _SWITCH,
    "semantics": _Kind(lambda value: value in ("mintaka", "prefect3"), "'mintaka' or 'prefect3'"),
}


def check_settings(what: str, given: Mapping[str, Any]) -> None:
    """Look at the settings of `what` (`task load`); those that are not known here are somebody else's.

    Raises:
        InvalidSettingError: one of them is of the wrong kind.
    """
    for word, kind in _KINDS.items():
        value = given.get(word)
        if value is not None and not kind.fits(value):
            message = f"{word} of {what} is {kind.requirement}, not {value!r}{_why(value)}"
            raise InvalidSettingError(message)


def _why(value: Any) -> str:
    """What is wrong with a function, or one of several, that would do."""
    functions = value if isinstance(value, Collection) else (value,)
    yields = any(callable(function) and not _is_function(function) for function in functions)
    return ", which yields: a call of it does nothing" if yields else ", which is async" if iscoroutinefunction(value) else ""


def check_hook(what: str, word: str, hook: Any) -> None:
    """Look at a hook that is added to `what` later on.

    Raises:
        InvalidSettingError: it is none.
    """
    if not _is_function(hook):
        message = f"{word} of {what} takes a function, not {hook!r}{_why(hook)}"
        raise InvalidSettingError(message)


def check_words(what: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Look whether all settings that were `given` are `known`.

    Raises:
        TypeError: one is not; it says which one is meant, perhaps.
    """
    for word in given:
        if word not in known:
            from difflib import get_close_matches  # noqa: PLC0415 - start-up time: only errors need it

            near = get_close_matches(word, {*known, *_KINDS}, 1)
            message = f"{what} has no setting {word!r}" + (f": did you mean {near[0]!r}?" if near else "")
            raise TypeError(message)
