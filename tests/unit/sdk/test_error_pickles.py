"""Exceptions and results of bodies in other processes come back, or their task fails with a sentence, whatever their classes do."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import pytest

from mintaka import flow, task
from mintaka.cache_policies import INPUTS
from mintaka.exceptions import FailedRun
from mintaka.executing.error_pickles import dump_error, load_error
from mintaka.task_runners import ProcessPoolTaskRunner


class TwoArguments(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code
        self.reason = reason


class KeywordOnly(ValueError):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Rewording(Exception):
    def __init__(self, what: str) -> None:
        super().__init__(f"no {what}")


class NotReduced(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("never")


class Locked(LookupError):
    def __init__(self) -> None:
        super().__init__("locked", 3)
        self.lock = threading.Lock()
        self.plain = [1]


class NoState(Exception):
    def __setstate__(self, state: Any) -> None:
        raise RuntimeError("no state")


class ExitsWhenRead(Exception):
    def __reduce__(self) -> Any:
        return sys.exit, (3,)


class InterruptsWhenRead(Exception):
    def __reduce__(self) -> Any:
        return _interrupt, ()


class IsNoException(Exception):
    def __reduce__(self) -> Any:
        return int, ("3",)


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class OfSystem(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(2, "No such file", path)
        self.path = path


class Stopping(BaseException):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(one + two)


class Group(ExceptionGroup[Exception]):
    pass


def _interrupt() -> None:
    raise KeyboardInterrupt


def of_a_local_class() -> Exception:
    lock = threading.Lock()

    class Local(KeyError):
        def held(self) -> Any:
            return lock

    return Local("where")


def with_unpicklable_argument() -> Exception:
    return ValueError("cannot read", (each for each in range(3)))


def with_generator() -> Exception:
    error = ValueError("with a generator")
    error.rows = (each for each in range(3))  # type: ignore[attr-defined]
    error.add_note("a note")
    return error


def caused() -> Exception:
    try:
        try:
            raise Locked
        except Locked as inner:
            raise TwoArguments(5, "outer") from inner
    except TwoArguments as error:
        return error


def in_the_context_of_another() -> Exception:
    try:
        try:
            raise KeywordOnly(code=1)
        except KeywordOnly:
            raise ValueError("then this")  # noqa: B904 - its context is what is sent
    except ValueError as error:
        return error


def of_itself() -> Exception:
    error = ValueError("a ring")
    error.__cause__ = error.__context__ = error
    return error


#: Who makes an exception; the class whose `isinstance` holds for what comes back; attributes it has.
ERRORS: dict[str, tuple[Any, type[BaseException], dict[str, Any]]] = {
    "one of Python's": (lambda: KeyError("k"), KeyError, {"args": ("k",)}),
    "of the system": (lambda: FileNotFoundError(2, "No such file", "x"), FileNotFoundError, {"errno": 2, "filename": "x"}),
    "one that wants two arguments": (lambda: TwoArguments(5, "full"), TwoArguments, {"code": 5, "reason": "full", "args": ("full (5)",)}),
    "one that wants keywords": (lambda: KeywordOnly(code=3), KeywordOnly, {"code": 3}),
    "one that words its argument anew each time": (lambda: Rewording("bread"), Rewording, {"args": ("no bread",)}),
    "one whose __reduce__ raises": (lambda: NotReduced("x", 1), NotReduced, {"args": ("x", 1)}),
    "one with a lock": (Locked, Locked, {"plain": [1], "args": ("locked", 3)}),
    "one whose __setstate__ raises": (lambda: _with(NoState("s"), foo=1), NoState, {"foo": 1}),
    "one that exits when it is read": (lambda: ExitsWhenRead("x"), ExitsWhenRead, {}),
    "one that interrupts when it is read": (lambda: InterruptsWhenRead("x"), InterruptsWhenRead, {}),
    "one that is a number when it is read": (lambda: IsNoException("x"), IsNoException, {}),
    "one without words": (lambda: Mute("q"), Mute, {"args": ("q",)}),
    "one of the system with another __init__": (lambda: OfSystem("/x"), OfSystem, {"path": "/x", "errno": 2}),
    "one that is no Exception": (lambda: Stopping(1, 2), Stopping, {"args": (3,)}),
    "one with an argument that cannot be pickled": (with_unpicklable_argument, ValueError, {}),
    "one with a generator and a note": (with_generator, ValueError, {}),
    "one with a cause": (caused, TwoArguments, {"code": 5}),
    "one in the context of another": (in_the_context_of_another, ValueError, {}),
    "one that is its own cause": (of_itself, ValueError, {}),
    "one of a local class that holds a lock": (of_a_local_class, FailedRun, {}),
    "a group": (lambda: ExceptionGroup("several", [KeyError("k"), ValueError("v")]), ExceptionGroup, {"message": "several"}),
    "a group with one that wants two arguments": (
        lambda: ExceptionGroup("some", [TwoArguments(1, "a"), ExceptionGroup("inner", [Locked()])]),
        ExceptionGroup,
        {"message": "some"},
    ),
    "a group of a class of its own": (lambda: Group("own", [KeywordOnly(code=2)]), Group, {"message": "own"}),
    "a group of what is no Exception": (lambda: BaseExceptionGroup("base", [Stopping(1, 1)]), BaseExceptionGroup, {"message": "base"}),
}


def _with(error: Exception, **attributes: Any) -> Exception:
    error.__dict__.update(attributes)
    return error


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except ValueError as broken:
        return str(broken)


@pytest.mark.parametrize(("make", "kind", "attributes"), ERRORS.values(), ids=ERRORS)
def test_an_exception_comes_back_with_its_name_message_class_and_attributes(
    make: Any, kind: type[BaseException], attributes: dict[str, Any]
) -> None:
    error = make()
    back = load_error(dump_error(error))
    assert isinstance(back, kind)
    assert type(back).__name__ == type(error).__name__
    if not str(getattr(error, "args", ("",))[-1:]).startswith("(<generator") and not isinstance(error, KeyError):
        assert _words(back) == _words(error)
    assert {name: getattr(back, name) for name in attributes} == attributes


def test_what_could_not_be_sent_is_said_in_a_note() -> None:
    assert load_error(dump_error(Locked())).__notes__ == ["Locked came from a worker without lock, which cannot be pickled"]
    assert load_error(dump_error(with_generator())).__notes__ == [
        "a note",
        "ValueError came from a worker without rows, which cannot be pickled",
    ]
    (note,) = load_error(dump_error(of_a_local_class())).__notes__
    assert note == "Local cannot be sent from a worker: this has its name and message, but not its class"


def test_causes_contexts_and_members_come_back_too() -> None:
    back = load_error(dump_error(caused()))
    assert isinstance(back.__cause__, Locked)
    assert back.__suppress_context__
    assert isinstance(load_error(dump_error(in_the_context_of_another())).__context__, KeywordOnly)
    group = load_error(dump_error(ExceptionGroup("some", [TwoArguments(1, "a"), ExceptionGroup("inner", [Locked()])])))
    assert isinstance(group, ExceptionGroup)
    assert [type(each) for each in group.exceptions] == [TwoArguments, ExceptionGroup]
    assert [type(each) for each in group.exceptions[1].exceptions] == [Locked]  # type: ignore[attr-defined]


class Result:
    """A result that raises, exits or ends its worker when it is pickled or read."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        match self.kind:
            case "raises when it is pickled":
                raise TypeError("no pickle")
            case "exits when it is pickled":
                sys.exit(3)
            case "interrupts when it is pickled":
                raise KeyboardInterrupt
            case "ends its worker when it is pickled":
                os._exit(3)
            case "raises when it is read":
                return int, ("x",)
            case "exits when it is read":
                return sys.exit, (3,)
        return _interrupt, ()


RESULTS = {
    "raises when it is pickled": (
        "SerializationError",
        "the result of task run returns-{n}, a Result, cannot be sent back: TypeError: no pickle",
    ),
    "exits when it is pickled": ("SerializationError", "the result of task run returns-{n}, a Result, cannot be sent back: SystemExit: 3"),
    "interrupts when it is pickled": (
        "SerializationError",
        "the result of task run returns-{n}, a Result, cannot be sent back: KeyboardInterrupt",
    ),
    "ends its worker when it is pickled": ("WorkerDied", "the worker that ran it died: exit code 3"),
    "raises when it is read": (
        "SerializationError",
        "the result of task run returns-{n} cannot be read after its worker sent it: ValueError",
    ),
    "exits when it is read": (
        "SerializationError",
        "the result of task run returns-{n} cannot be read after its worker sent it: SystemExit: 3",
    ),
    "interrupts when it is read": (
        "SerializationError",
        "the result of task run returns-{n} cannot be read after its worker sent it: Keyboard",
    ),
}


@task
def raises(name: str) -> None:
    error: BaseException = ERRORS[name][0]()
    raise error


@task
def returns(kind: str) -> Any:
    return Result(kind)


@task
def takes(value: Any) -> Any:
    return value


class Argument:
    def __init__(self, reader: Any) -> None:
        self.reader = reader

    def __reduce__(self) -> Any:
        return self.reader, (3,) if self.reader is sys.exit else ()


def test_a_pool_of_processes_outlives_every_exception_and_result_and_states_have_their_names() -> None:
    """One pool for all of them: none ends it, and none hangs."""

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main() -> Any:
        errors = {name: raises.submit(name, return_state=True) for name in ERRORS}
        results = {kind: returns.submit(kind, return_state=True) for kind in RESULTS}
        arguments = [takes.submit(Argument(reader), return_state=True) for reader in (sys.exit, _interrupt)]
        return [
            {name: (state.type.value, state.reason, state.message) for name, state in errors.items()},
            {name: (state.reason, state.message) for name, state in results.items()},
            [(state.reason, state.message) for state in arguments],
            takes.submit(5).result(),
        ]

    errors, results, arguments, after = main()
    for name, (make, _, _) in ERRORS.items():
        error = make()
        told = errors[name]
        assert told[:2] == ("FAILED" if isinstance(error, Exception) else "CRASHED", type(error).__name__), (name, told)
        if "generator" not in _words(error) and name != "one without words":
            assert told[2] == _words(error), name
    for n, (kind, (reason, message)) in enumerate(RESULTS.items(), len(ERRORS)):
        assert (results[kind][0], results[kind][1][: len(message.format(n=n))]) == (reason, message.format(n=n))
    number = len(ERRORS) + len(RESULTS)
    assert arguments == [
        ("SerializationError", f"the arguments of task run takes-{number} cannot be read in the worker: SystemExit: 3"),
        ("SerializationError", f"the arguments of task run takes-{number + 1} cannot be read in the worker: KeyboardInterrupt: "),
    ]
    assert after == 5


def test_a_persisted_result_that_exits_when_it_is_read_is_made_anew(tmp_path: Any) -> None:
    kept = returns.with_options(cache_policy=INPUTS, result_storage=str(tmp_path))

    @flow
    def main() -> list[str]:
        return [kept("exits when it is read").kind, kept("exits when it is read").kind]

    assert main() == ["exits when it is read"] * 2
    state = returns.with_options(persist_result=True, result_storage=str(tmp_path))("exits when it is pickled", return_state=True)
    assert (state.name, state.reason) == ("NotPersisted", "SerializationError")
