"""The function behind a task or flow: what kind it is and how it is bound, found out once, when it is decorated.

A function, method, classmethod, staticmethod, partial or callable object; sync or async; one that returns or one that
yields. What yields is handed out item by item where it is called (`mintaka.engine.generating`), and collected into a list where
nobody is there to take the items: submitted, mapped, or asked for its state.
"""

from __future__ import annotations

import copy
import inspect
from functools import cached_property, partial, update_wrapper, wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self, cast

from mintaka.calling.parameters import Parameters
from mintaka.engine.awaiting import is_awaitable
from mintaka.exceptions import InvalidNameError, InvalidSettingError, ReservedArgumentError, message_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mintaka.engine.retries import RetryPlan
    from mintaka.engine.runs import Run


class Decorated:
    """What tasks and flows have in common: `given` is what was decorated, `fn` the function in it, `body` what a run calls."""

    name: str
    retry_plan: RetryPlan

    def __init__(self, given: Any, decorator: str) -> None:
        self.given = given
        fn = given.__func__ if isinstance(given, (staticmethod, classmethod)) else given
        if not callable(fn):
            message = f"@{decorator} goes on a function, not on {given!r}"
            raise TypeError(message)
        called = fn if inspect.isroutine(fn) or isinstance(fn, partial) else type(fn).__call__
        self.is_generator = inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called)
        self.is_async = inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)
        self._take(fn)
        named = fn.func if isinstance(fn, partial) else fn
        self.own_name: str = getattr(named, "__name__", type(named).__name__)
        module = getattr(named, "__module__", "") or ""
        self.key = f"{module}.{getattr(named, '__qualname__', type(named).__qualname__)}"
        _check_words(f"{decorator} {self.own_name}", called)
        self.description: str | None = inspect.getdoc(fn)
        update_wrapper(cast("Any", self), fn, updated=())

    def _take(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self.body: Callable[..., Any] = fn
        if self.is_generator:
            self.body = _collecting_async(fn) if self.is_async else _collecting(fn)

    def bound_to(self, instance: object, owner: type | None) -> Self:
        """The same, as an attribute of `instance` or its class: a method is bound to its instance, each on its own."""
        given = self.given
        if isinstance(given, staticmethod) or not hasattr(type(given), "__get__"):
            return self
        if instance is None and not isinstance(given, classmethod):
            return self
        bound = copy.copy(self)
        bound.given = given.__get__(instance, owner)
        bound._take(bound.given)  # noqa: SLF001 - its own class
        bound.__dict__.pop("parameters", None)
        return bound

    @property
    def retries(self) -> int:
        """How often a failed run is tried again."""
        return self.retry_plan.limit

    @property
    def retry_delay_seconds(self) -> tuple[float, ...]:
        """The waits before each retry, in seconds; the last one repeats."""
        return self.retry_plan.delays

    @property
    def retry_jitter_factor(self) -> float:
        """By what share of itself a wait may be longer."""
        return self.retry_plan.jitter_factor

    @cached_property
    def parameters(self) -> Parameters:
        """The parameters of the function."""
        return Parameters(self.fn, self.name)


def _collecting(fn: Callable[..., Any]) -> Callable[..., list[Any]]:
    @wraps(fn)
    def collected(*args: Any, **kwargs: Any) -> list[Any]:
        return list(fn(*args, **kwargs))

    return collected


def _collecting_async(fn: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(fn)
    async def collected(*args: Any, **kwargs: Any) -> list[Any]:
        return [item async for item in fn(*args, **kwargs)]

    return collected


def _check_words(what: str, called: Any) -> None:
    """Look whether a parameter bears a word that calls take for themselves: it would never get its value.

    Raises:
        ReservedArgumentError: one does.
    """
    code = getattr(inspect.unwrap(called.func if isinstance(called, partial) else called), "__code__", None)
    taken = RESERVED.intersection(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]) if code is not None else ()
    if taken:
        message = (
            f"{what} has a parameter named {' and '.join(sorted(taken))}, which calls of flows and tasks take for themselves: rename it"
        )
        raise ReservedArgumentError(message)


def instance_of(fn: Callable[..., Any]) -> dict[str, Any]:
    """What a method is bound to, by the name that its first parameter has: `self`, or `cls`; nothing for a plain function."""
    instance = getattr(fn, "__self__", None)
    if instance is None or isinstance(instance, ModuleType):
        return {}
    code = getattr(getattr(fn, "__func__", None), "__code__", None)
    return {code.co_varnames[0] if code is not None and code.co_argcount else "self": instance}


def name_run(run: Run, template: Any, fn: Callable[..., Any], arguments: dict[str, Any]) -> Awaitable[None] | None:
    """Name `run` from its template: a text with the parameters of `fn` in it (`{self.…}` too, for a method), or a callable that may
    take `parameters`; if that is async, the run is named once what is returned here has been awaited.

    Raises:
        InvalidSettingError: the text names something that is no parameter of the run, or cannot be read, or the callable gives no text.
    """
    known = {**instance_of(fn), **arguments}
    if not callable(template):
        try:
            run.own_name = str(template.format(**known))
        except Exception as error:  # the arguments format themselves
            message = f"the name {template!r} cannot be filled in: {type(error).__name__}: {message_of(error)}; parameters: {', '.join(known) or 'none'}"
            raise InvalidSettingError(message) from error
        return None
    takes = "parameters" in inspect.signature(template).parameters
    given = template(parameters=known) if takes else template()
    if is_awaitable(given):
        return _name_later(run, template, given)
    run.own_name = _checked_name(template, given)
    return None


async def _name_later(run: Run, template: Callable[..., Any], given: Awaitable[Any]) -> None:
    run.own_name = _checked_name(template, await given)


def _checked_name(template: Callable[..., Any], name: Any) -> str:
    if isinstance(name, str):
        return name
    message = f"the function {getattr(template, '__name__', template)} that names a run has to return a text, not {name!r:.100}"
    raise InvalidSettingError(message)


#: Words that `flow(...)` and `task(...)` take for themselves.
RESERVED = frozenset({"return_state", "wait_for"})

_BANNED = frozenset("/%&><")


def checked_flow_name(name: str) -> str:
    """`name`, where a flow may be called so: it is part of paths and addresses.

    Raises:
        InvalidNameError: it may not.
    """
    if _BANNED.isdisjoint(name):
        return name
    message = f"a flow's name has none of {' '.join(sorted(_BANNED))}, not {name!r}"
    raise InvalidNameError(message)
