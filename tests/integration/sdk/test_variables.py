"""Variables in the three places: a script's own file, an API on SQLite, an API on PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import cli, flow, task
from mintaka.exceptions import InvalidNameError, SharingAway, SharingError
from mintaka.variables import Variable

if TYPE_CHECKING:
    from real_api import RealApi


pytestmark = pytest.mark.usefixtures("reached")


def test_a_variable_is_what_was_set_last() -> None:
    """Any JSON value, with tags; `overwrite` has to be said."""
    value = {"text": "ü ☃ \0", "numbers": [1, -2.5, 10**30, True, None]}
    assert Variable.get("a") is None
    assert Variable.get("a", default=7) == 7
    assert Variable.set("a", value, tags=["x", "y"]) == Variable("a", value, ["x", "y"])
    assert Variable.get("a") == value
    with pytest.raises(ValueError, match="overwrite=True"):
        Variable.set("a", 1)
    Variable.set("a", None, overwrite=True)
    assert Variable.get("a", default="not used: null is a value") is None
    assert [Variable.unset("a"), Variable.unset("a")] == [True, False]


def test_flows_tasks_and_coroutines_share_it() -> None:
    """Set in a flow, read in a task in a thread, and awaited."""

    @task
    def read() -> Any:
        return Variable.get("shared")

    @flow
    async def main() -> list[Any]:
        await Variable.aset("shared", [1])
        found = [read.submit().result(), await Variable.aget("shared")]
        return [*found, await Variable.aunset("shared"), await Variable.aget("shared", 0)]

    assert asyncio.run(main()) == [[1], [1], True, 0]


def test_threads_that_make_the_same_variable_make_it_once() -> None:
    """One wins, all others are told."""
    ended: list[str] = []

    def make(n: int) -> None:
        try:
            Variable.set("once", n)
        except ValueError:
            ended.append("exists")
        else:
            ended.append("made")

    threads = [threading.Thread(target=make, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["exists"] * 7 + ["made"]


def test_names_that_make_no_sense_are_refused() -> None:
    """With the rule, before anybody is asked."""
    for name in ["", "-a", "a/b", "a b", "é", "a" * 256, "a\n"]:
        for call in (Variable.get, Variable.unset, lambda name: Variable.set(name, 1)):
            with pytest.raises(InvalidNameError, match="letters, digits"):
                call(name)


def test_values_that_cannot_be_kept_are_refused() -> None:
    """Nothing is stored."""
    for value in [object(), float("nan"), {1, 2}, "\ud800", "x" * 65535]:
        with pytest.raises(ValueError, match=r"JSON|is not Unicode text"):
            Variable.set("a", value)
    assert Variable.get("a") is None


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run the command line: its exit code and what it printed."""
    monkeypatch.setattr(sys, "argv", ["mintaka", *words])
    capsys.readouterr()
    code = 0
    try:
        cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_command_line_does_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Set, get, list, unset; one line and exit code 2 where it cannot."""

    def run(*words: str) -> tuple[int, str, str]:
        return command(monkeypatch, capsys, "variable", *words)

    assert run("set", "b", '{"n": 1}', "--tag", "t") == (0, "", "")
    assert run("set", "a", "text")[0] == 0
    assert run("get", "a") == (0, "text\n", "")
    assert run("get", "b") == (0, '{"n": 1}\n', "")
    shown = json.loads(run("list", "--json")[1])
    assert [(each["name"], each["value"], each["tags"]) for each in shown] == [("a", "text", []), ("b", {"n": 1}, ["t"])]
    assert "NAME" in run("list", "b")[1]
    code, _, told = run("set", "a", "1")
    assert (code, told.count("\n")) == (2, 1)
    assert "--overwrite" in told
    assert run("set", "a", "1", "--overwrite")[0] == 0
    assert run("unset", "a")[0] == 0
    assert run("get", "a")[0] == 2
    assert run("get", "a b")[0] == 2


def test_all_variables_are_listed_however_many(place: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the end of a page."""
    many = 1010 if place == "script" else 210
    for number in range(many):
        Variable.set(f"n{number:04}", number)
    shown = json.loads(command(monkeypatch, capsys, "variable", "list", "n", "--json")[1])
    assert [each["value"] for each in shown] == list(range(many))


NONSENSE = [
    ("PUT", "/namespaces/local/variables/a", "{", 422),
    ("PUT", "/namespaces/local/variables/a", '{"value": NaN}', 422),
    ("PUT", "/namespaces/local/variables/a", '{"value": ' + "1" * 5000 + "}", 422),
    ("PUT", "/namespaces/local/variables/a", '{"tags": []}', 422),
    ("PUT", "/namespaces/local/variables/a", '{"value": 1, "more": 1}', 422),
    ("PUT", "/namespaces/local/variables/a", '{"value": 1, "tags": [""]}', 422),
    ("PUT", "/namespaces/local/variables/a%20b", '{"value": 1}', 422),
    ("PUT", "/namespaces/local/variables/a", '{"value": "' + "x" * 70000 + '"}', 422),
    ("PUT", "/namespaces/local/variables/a", '{"value": ' + "[" * 100000 + "}", 413),
    ("PUT", "/namespaces/local/variables/a", "x" * 300000, 413),
    ("GET", "/namespaces/local/variables/none", None, 404),
    ("DELETE", "/namespaces/local/variables/none", None, 404),
    ("GET", "/variables?limit=0", None, 400),
    ("GET", "/variables?cursor=zz", None, 400),
]


@pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)
def test_the_api_refuses_what_makes_no_sense(reached: RealApi) -> None:
    """With a problem document, never an internal error."""
    for method, path, body, status in NONSENSE:
        url = f"{reached.url}/api/v1{path}"
        asked = urllib.request.Request(url, data=body.encode() if body else None, method=method)  # noqa: S310 - our own URL
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=10)  # noqa: S310
        with refused.value as answer:
            assert (answer.code, bool(json.loads(answer.read())["detail"])) == (status, True), (method, path)


@pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)
def test_an_api_that_is_away_is_said_so(reached: RealApi) -> None:
    """And found again when it is back."""
    Variable.set("kept", 1)
    reached.kill()
    with pytest.raises(SharingAway, match="does not answer"):
        Variable.get("kept")
    reached.start()
    assert Variable.get("kept") == 1


@pytest.mark.parametrize("place", ["script"], indirect=True)
def test_without_any_database_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a script, and in a pod."""
    monkeypatch.setenv("MINTAKA_FLOW_RUN_UID", "0190f5fe-0000-7000-8000-000000000001")
    with pytest.raises(SharingError, match="this pod has none: set MINTAKA_API_URL"):
        Variable.get("a")
    monkeypatch.delenv("MINTAKA_FLOW_RUN_UID")
    monkeypatch.setenv("MINTAKA_HISTORY", "off")
    with pytest.raises(SharingError, match="MINTAKA_HISTORY=off"):
        Variable.get("a")
