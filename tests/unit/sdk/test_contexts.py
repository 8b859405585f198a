"""Which server, cluster or file a command or a flow uses, and the file with contexts."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from mintaka.environment import InvalidEnvironment
from mintaka.recording.contexts import Context, Contexts, contexts, write
from mintaka.recording.homes import command_home, home
from mintaka_history.server_locks import ServerLock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = "http://127.0.0.1:4200"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A home with three contexts."""
    known = {
        "local": Context("local"),
        "prod": Context("prod", server="https://prod", token="t"),  # noqa: S106 - made up
        "stage": Context("stage", cluster="kind-stage"),
    }
    write(Contexts(tmp_path / "contexts.json", "", known))
    return tmp_path


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """A stack of resources that are closed at the end of the test."""
    with ExitStack() as stack:
        yield stack


def serve(folder: Path, stack: ExitStack) -> None:
    """A server on `folder`, as it appears to other processes; it is this process."""
    (folder / "server.token").write_text("token")
    (folder / "server.json").write_text(json.dumps({"url": SERVER, "pid": os.getpid(), "token_file": str(folder / "server.token")}))
    lock = ServerLock(folder / "server.lock")
    lock.acquire()
    stack.callback(lock.release)


PLACES: dict[str, tuple[dict[str, str], str, bool, tuple[str, str | None], str]] = {
    # variables, current context, does a server run → (API, cluster) of a command, API of a flow
    "nothing is said": ({}, "", False, ("", None), ""),
    "a server runs": ({}, "", True, (SERVER, None), ""),
    "MINTAKA_API_URL, though a server runs": ({"MINTAKA_API_URL": "http://api"}, "", True, ("http://api", None), "http://api"),
    "MINTAKA_API_URL, though there is a current context": (
        {"MINTAKA_API_URL": "http://api"},
        "prod",
        True,
        ("http://api", None),
        "http://api",
    ),
    "MINTAKA_CONTEXT, though there is MINTAKA_API_URL": (
        {"MINTAKA_CONTEXT": "prod", "MINTAKA_API_URL": "http://api"},
        "stage",
        True,
        ("https://prod", None),
        "https://prod",
    ),
    "the current context, though a server runs": ({}, "prod", True, ("https://prod", None), "https://prod"),
    "a cluster: flows are recorded here": ({}, "stage", True, ("", "kind-stage"), ""),
    "this machine in place of the current context": ({"MINTAKA_CONTEXT": "local"}, "prod", False, ("", None), ""),
    "this machine, if a server runs": ({"MINTAKA_CONTEXT": "local"}, "prod", True, (SERVER, None), ""),
    "no history, but a context by name": ({"MINTAKA_HISTORY": "off", "MINTAKA_CONTEXT": "prod"}, "", False, ("https://prod", None), ""),
}


@pytest.mark.parametrize(("given", "current", "serving", "command", "flow"), PLACES.values(), ids=PLACES)
def test_the_first_that_applies_is_meant(
    folder: Path, stack: ExitStack, given: dict[str, str], current: str, serving: bool, command: tuple[str, str | None], flow: str
) -> None:
    """This holds for commands and for flows that a script calls."""
    write(Contexts(folder / "contexts.json", current, contexts(folder).known))
    if serving:
        serve(folder, stack)
    variables = {"MINTAKA_HOME": str(folder), **given}
    where = command_home(variables)
    assert (where.api_url, where.cluster) == command
    assert home(variables).api_url == flow


def test_the_server_of_this_machine_stands_beside_the_file(folder: Path, stack: ExitStack) -> None:
    """Scripts write into the file, even if it has another name."""
    serve(folder, stack)
    assert command_home({"MINTAKA_HOME": str(folder)}).database == folder / "history.db"


def test_the_address_of_a_server_that_is_gone_is_not_used(folder: Path) -> None:
    """The server was killed."""
    with ExitStack() as killed:
        serve(folder, killed)
    assert (folder / "server.json").exists()
    assert command_home({"MINTAKA_HOME": str(folder)}).api_url == ""


BROKEN: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "Expecting property name"),
    "no object": ([], "not an object"),
    "a context of two kinds": ({"contexts": {"a": {"server": "http://a", "cluster": ""}}}, "context 'a' must have either server"),
    "a context of no kind": ({"contexts": {"a": {}}}, "context 'a' must have either server"),
    "an unknown member": ({"contexts": {"a": {"server": "http://a", "tokn": "x"}}}, "context 'a' must have either server"),
    "an invalid URL": ({"contexts": {"a": {"server": "a:4200"}}}, "server of context 'a' is not the URL of a server"),
    "a number for a token": ({"contexts": {"a": {"server": "http://a", "token": 5}}}, "token of context 'a' is not a string"),
    "a number for the current one": ({"current": 5}, "current is not a string"),
    "contexts that are a list": ({"contexts": []}, "not an object"),
}


@pytest.mark.parametrize(("content", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named_with_what_is_wrong_and_what_to_do(tmp_path: Path, content: Any, said: str) -> None:
    """History is not recorded elsewhere instead."""
    path = tmp_path / "contexts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    for meant in (home, command_home):
        with pytest.raises(InvalidEnvironment) as caught:
            meant({"MINTAKA_HOME": str(tmp_path)})
        assert f"the contexts in {path} are not valid" in str(caught.value)
        assert said in str(caught.value)
        assert "mintaka context add" in str(caught.value)


def test_a_missing_context_is_named_with_the_existing_ones(folder: Path) -> None:
    """The variable or the current context of the file may name it."""
    with pytest.raises(InvalidEnvironment, match=r"MINTAKA_CONTEXT names context 'production', which .* use one of local, prod, stage"):
        home({"MINTAKA_HOME": str(folder), "MINTAKA_CONTEXT": "production"})
    write(Contexts(folder / "contexts.json", "gone", contexts(folder).known))
    with pytest.raises(InvalidEnvironment, match="as the current one, names context 'gone'"):
        home({"MINTAKA_HOME": str(folder)})


def test_the_file_is_its_owners_alone_and_read_anew_when_it_changes(folder: Path) -> None:
    """It contains tokens."""
    path = folder / "contexts.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert contexts(folder) is contexts(folder)
    path.write_text(json.dumps({"current": "", "contexts": {}}))
    assert list(contexts(folder).known) == ["local"]
