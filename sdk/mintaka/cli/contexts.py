"""`--context NAME` of every command that acts on a place: added to the command's own options, and in effect while it runs."""

from __future__ import annotations

import inspect
import os
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintaka.cli.plugin import context_named, is_plugin
from mintaka.recording.contexts import contexts
from mintaka.recording.data_folder import data_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VARIABLE = "MINTAKA_CONTEXT"
ContextOption = Annotated[
    str | None,
    typer.Option(
        "--context", metavar="NAME", help="Use this context: one of mintaka context list; with kubectl mintaka, one of kubectl's."
    ),
]


def with_context[**P, R](command: Callable[P, R]) -> Callable[..., R]:
    """`command` with the option `--context`."""

    @wraps(command)
    def called(*args: Any, context: str | None = None, **kwargs: Any) -> R:
        with chosen(context):
            return command(*args, **kwargs)

    signature = inspect.signature(command, eval_str=True)
    option = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ContextOption)
    called.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # type: ignore[attr-defined]
    called.__annotations__ = {"context": ContextOption} | {name: each.annotation for name, each in signature.parameters.items()}
    return called


@contextmanager
def chosen(name: str | None) -> Iterator[None]:
    """Select the context `name` (None: what the environment selects), in child processes too.

    Raises:
        InvalidEnvironment: there is no such context.
    """
    if name is None:
        yield
    elif is_plugin():
        with context_named(name):
            yield
    else:
        contexts(data_folder()).named(name, "--context")
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = name
        try:
            yield
        finally:
            os.environ.pop(VARIABLE)
            if before is not None:
                os.environ[VARIABLE] = before
