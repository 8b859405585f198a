"""Exceptions as bytes: any exception of a body comes back from a worker, with its class if that can be had.

Python pickles an exception as its class and `args`, and calls the class with them again. That fails, or changes the message, for
every class whose `__init__` takes something else, and attributes such as a lock cannot be pickled at all. So what does not come
back as it was is taken apart: the class, the arguments and each attribute on its own; what still cannot be sent is left out, and a
note says so. An exception without any of that comes back as one of a class of the same name, whose message is the same.
"""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

import cloudpickle

from mintaka.exceptions import FailedRun, message_of

#: How many causes and contexts of causes are sent.
_DEPTH = 20
#: What a pickle may raise when it is made or read: classes of the user's do as they like.
_BROKEN = (Exception, SystemExit, KeyboardInterrupt, GeneratorExit)


class _Sent(NamedTuple):
    """One exception: its class's name, its message, whether it is an `Exception`, its notes, and pickles of all of it, or of its parts.

    `members` are those of a group. Everything is of built-in types, so that it can be read whatever the pickles contain.
    """

    name: str
    message: str
    ordinary: bool
    notes: tuple[str, ...]
    whole: bytes | None
    kind: bytes | None
    arguments: bytes
    attributes: tuple[tuple[str, bytes], ...]
    members: tuple[Any, ...] | None
    cause: Any
    context: Any
    suppressed: bool


def dump_error(error: BaseException) -> bytes:
    """`error` as bytes, with its causes, contexts, notes and, of a group, its members. Raises nothing."""
    return pickle.dumps(_taken_apart(error, set(), _DEPTH), pickle.HIGHEST_PROTOCOL)


def load_error(data: bytes) -> BaseException:
    """The exception that `dump_error` made `data` of, or the nearest that there can be."""
    return _put_together(pickle.loads(data))  # noqa: S301 - of a worker of ours


def _taken_apart(error: BaseException | None, seen: set[int], depth: int) -> tuple[Any, ...] | None:
    """The parts of `error` as a `_Sent`; None if there is none, or it was sent already, or is too far away."""
    if error is None or id(error) in seen or not depth:
        return None
    seen.add(id(error))
    sent = _Sent(
        name=type(error).__name__,
        message=message_of(error),
        ordinary=isinstance(error, Exception),
        notes=tuple(str(note) for note in getattr(error, "__notes__", ())),
        whole=None,
        kind=None,
        arguments=b"",
        attributes=(),
        members=tuple(_taken_apart(each, seen, depth - 1) for each in error.exceptions) if isinstance(error, BaseExceptionGroup) else None,
        cause=_taken_apart(error.__cause__, seen, depth - 1),
        context=None if error.__suppress_context__ else _taken_apart(error.__context__, seen, depth - 1),
        suppressed=error.__suppress_context__,
    )
    if sent.members is None and (whole := _pickled(error)) is not None and _is_same(complete := sent._replace(whole=whole), error):
        return tuple(complete)
    return tuple(_with_parts(sent, error))


def _with_parts(sent: _Sent, error: BaseException) -> _Sent:
    """`sent` with the class, the arguments and the attributes of `error`, as far as they can be pickled."""
    attributes = {key: _pickled(value) for key, value in vars(error).items() if key != "__notes__"}
    if lost := [key for key, data in attributes.items() if data is None]:
        note = f"{sent.name} came from a worker without {', '.join(lost)}, which cannot be pickled"
        sent = sent._replace(notes=(*sent.notes, note))
    kept = tuple((key, data) for key, data in attributes.items() if data is not None)
    sent = sent._replace(kind=_pickled(type(error)), attributes=kept)
    if isinstance(error, BaseExceptionGroup):
        ways = [pickle.dumps(error.message)]
    else:
        native: Any = _native(type(error))
        given = native.__reduce__(error)[1]  # not `args`, which lack the file of an OSError
        ways = [_pickled(given) or b"", pickle.dumps((sent.message,))]
    for arguments in ways:
        if _is_same(made := sent._replace(arguments=arguments), error):
            return made
    return sent._replace(kind=None)


def _native(kind: type) -> type:
    """The class of Python's own that an exception is of."""
    return next(each for each in kind.__mro__ if each.__module__ == "builtins")


def _pickled(value: Any) -> bytes | None:
    """A pickle of `value` that can be read again; None if there is none."""
    try:
        data: bytes = cloudpickle.dumps(value)
        pickle.loads(data)  # noqa: S301 - our own, of this moment
    except _BROKEN:
        return None
    return data


def _is_same(sent: _Sent, error: BaseException) -> bool:
    """Whether an exception of the same name and message comes of it."""
    try:
        made = _made(sent)
    except _BROKEN:
        return False
    return isinstance(made, BaseException) and type(made).__name__ == sent.name and message_of(made) == sent.message == message_of(error)


def _put_together(data: tuple[Any, ...]) -> BaseException:
    sent = _Sent(*data)
    try:
        error = _made(sent)
    except _BROKEN:  # what could be read in the worker cannot be read here
        error = _stand_in(sent)
    for note in sent.notes:
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
    if sent.cause is not None:
        error.__cause__ = _put_together(sent.cause)
    if sent.context is not None:
        error.__context__ = _put_together(sent.context)
    error.__suppress_context__ = sent.suppressed
    return error


def _made(sent: _Sent) -> BaseException:
    """The exception itself, of the first pickle that there is."""
    if sent.whole is not None:
        whole: BaseException = pickle.loads(sent.whole)  # noqa: S301 - of a worker of ours
        return whole
    if sent.kind is None:
        return _stand_in(sent)
    kind = pickle.loads(sent.kind)  # noqa: S301 - as above
    arguments = pickle.loads(sent.arguments)  # noqa: S301 - as above
    if sent.members is not None:
        arguments = (arguments, [_put_together(each) for each in sent.members if each is not None])
    # Without its own __init__, which may want other arguments than these.
    native: Any = _native(kind)
    error: BaseException = native.__new__(kind, *arguments)
    native.__init__(error, *arguments)
    for key, value in sent.attributes:
        error.__dict__[key] = pickle.loads(value)  # noqa: S301 - as above
    return error


def _stand_in(sent: _Sent) -> BaseException:
    """An exception of the same name and message, for one whose class cannot be sent."""
    kind = type(sent.name, (FailedRun if sent.ordinary else BaseException,), {"__module__": __name__})
    error: BaseException = kind(sent.message)
    error.add_note(f"{sent.name} cannot be sent from a worker: this has its name and message, but not its class")
    return error
