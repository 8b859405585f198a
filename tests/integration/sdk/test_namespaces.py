"""Runs, scripts and commands use the variables, limits and pauses of their own namespace: in a script's file and at both APIs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import cli, flow, sharing, tags, task
from mintaka.concurrency.sync import concurrency, rate_limit
from mintaka.concurrency.tagged import KNOWN
from mintaka.context import LAUNCH, Launch
from mintaka.environment import InvalidEnvironment
from mintaka.exceptions import AcquireConcurrencySlotTimeoutError
from mintaka.flow_runs import resume_flow_run
from mintaka.histories import FlowRunNotFound, history
from mintaka.sharing import shared
from mintaka.variables import Variable
from mintaka_history.sharing.leases import SlotRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMESPACES = ("a", "b", "local")


@pytest.fixture(autouse=True)
def nothing_is_shared(reached: object) -> Iterator[None]:
    """Neither from an earlier test nor for a later one."""
    del reached

    def clear() -> None:
        KNOWN.clear()
        for namespace in NAMESPACES:
            place = shared(namespace)
            for variable in place.variables():
                place.remove_variable(variable.name)
            for limit in place.limits():
                for lease in limit.leases:
                    place.release(lease.id)
                place.remove_limit(limit.name)

    clear()
    yield
    clear()


def inside(namespace: str, body: Callable[[], Any]) -> Any:
    """What `body` returns in a flow run of `namespace`, as in a pod of it."""
    token = LAUNCH.set(Launch(flow_run_id="", namespace=namespace))
    try:
        return flow(body)()
    finally:
        LAUNCH.reset(token)


def in_task(body: Callable[[], Any]) -> Callable[[], Any]:
    """`body` in a task, submitted."""
    return lambda: task(body).submit().result()


def in_mapped_tasks(body: Callable[[], Any]) -> Callable[[], Any]:
    """`body` in one of several tasks."""
    return lambda: task(lambda _: body()).map([1, 2]).result()[1]


def in_subflow(body: Callable[[], Any]) -> Callable[[], Any]:
    """`body` in a flow that the flow calls."""
    return flow(body)


async def _awaited() -> Any:
    return await Variable.aget("x")


WAYS: dict[str, Callable[[Callable[[], Any]], Callable[[], Any]]] = {
    "in the flow": lambda body: body,
    "in a task": in_task,
    "in mapped tasks": in_mapped_tasks,
    "in a subflow": in_subflow,
    "in a task of a subflow": lambda body: in_subflow(in_task(body)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_flow_reads_the_variable_of_its_own_namespace(way: Callable[[Callable[[], Any]], Callable[[], Any]]) -> None:
    """Several flows of several namespaces in one process, in turns."""
    for namespace in NAMESPACES:
        shared(namespace).put_variable("x", f"of {namespace}", [], overwrite=False)
    read = way(lambda: Variable.get("x"))
    assert [inside(namespace, read) for namespace in ("a", "b", "a")] == ["of a", "of b", "of a"]
    assert Variable.get("x") == "of local"


def test_a_coroutine_reads_the_variable_of_its_own_namespace() -> None:
    import asyncio  # noqa: PLC0415 - only here

    shared("a").put_variable("x", "of a", [], overwrite=False)
    read = flow(_awaited)
    token = LAUNCH.set(Launch(namespace="a"))
    try:
        assert asyncio.run(read()) == "of a"
    finally:
        LAUNCH.reset(token)
    assert asyncio.run(_awaited()) is None


def test_what_a_flow_sets_and_unsets_is_in_its_own_namespace() -> None:
    shared("b").put_variable("x", "of b", [], overwrite=False)

    def change() -> list[Any]:
        return [Variable.unset("x"), Variable.set("x", "of a").value, Variable.set("x", 2, overwrite=True).value]

    assert inside("a", change) == [False, "of a", 2]
    assert [[(each.namespace, each.value) for each in shared(namespace).variables()] for namespace in NAMESPACES] == [
        [("a", 2)],
        [("b", "of b")],
        [],
    ]
    assert [(each.namespace, each.name) for each in shared("local").variables(everywhere=True)] == [("a", "x"), ("b", "x")]
    assert inside("b", lambda: Variable.unset("x")) is True
    assert inside("a", lambda: Variable.get("x")) == 2


def taken(name: str, namespace: str) -> str:
    """What a flow of that namespace meets that wants a slot at once."""

    def ask() -> str:
        try:
            with concurrency(name, timeout_seconds=0):
                return "free"
        except AcquireConcurrencySlotTimeoutError:
            return "taken"

    return str(inside(namespace, ask))


def test_slots_that_are_held_in_one_namespace_are_free_in_another() -> None:
    """Each has its own queue: a caller that waits in `a` is not next in `b`."""
    for namespace in ("a", "b"):
        shared(namespace).put_limit("db", 1, 0, overwrite=False)
    holder, waits = (SlotRequest(digit * 32, "b", ("db",), 1, 60.0) for digit in "12")
    assert [shared("a").request(each).granted for each in (holder, waits)] == [True, False]
    assert [taken("db", namespace) for namespace in ("a", "b", "b")] == ["taken", "free", "free"]
    shared("b").release(holder.id)
    assert shared("b").renew([holder.id], 60) == set()
    assert taken("db", "a") == "taken"
    assert [(each.namespace, each.held, each.waiting) for each in shared("a").limits(everywhere=True)] == [("a", 1, 1), ("b", 0, 0)]
    shared("a").release(holder.id)
    assert shared("a").request(waits).granted
    assert shared("a").renew([waits.id], 60) == {waits.id}


def test_a_rate_is_used_up_in_each_namespace() -> None:
    for namespace in ("a", "b"):
        shared(namespace).put_limit("r", 1, 0.001, overwrite=False)

    def use() -> str:
        try:
            rate_limit("r", timeout_seconds=0)
        except AcquireConcurrencySlotTimeoutError:
            return "too early"
        return "used"

    assert [inside(namespace, use) for namespace in ("a", "b", "a", "b")] == ["used", "used", "too early", "too early"]


def test_a_limit_of_a_tag_holds_back_tasks_of_its_namespace_only() -> None:
    """Although the process knows the limits of both."""
    shared("a").put_limit("tag:slow", 1, 0, overwrite=False)

    @task
    def held() -> list[tuple[str, float]]:
        return [(each.namespace, each.held) for each in shared("a").limits(everywhere=True)]

    def tagged() -> Any:
        with tags("slow"):
            return held()

    assert [inside(namespace, tagged) for namespace in ("b", "a")] == [[("a", 0)], [("a", 1)]]
    assert {namespace: sorted(known.among(("slow",))) for namespace, known in KNOWN.items()} == {"b": [], "a": ["tag:slow"]}


def test_a_limit_that_is_missing_is_named_with_its_namespace(caplog: pytest.LogCaptureFixture) -> None:
    """And the command that makes it, in that namespace."""
    shared("b").put_limit("db", 1, 0, overwrite=False)

    def use() -> None:
        with concurrency("db"):
            pass

    inside("a", use)
    assert "there is no limit db in namespace a of " in caplog.text
    assert "mintaka limit create db --slots N --namespace a" in caplog.text


_SCRIPT = """
import json
from mintaka import flow, runtime
from mintaka.concurrency.sync import concurrency
from mintaka.variables import Variable

@flow(flow_run_name="run")
def main():
    with concurrency("db"):
        pass
    return [runtime.flow_run.namespace, Variable.get("x")]

print(json.dumps([*main(), Variable.get("x"), Variable.get("only-b")]))
"""


def script(**environment: str) -> Any:
    """The output of that script, in a process of its own."""
    words = [sys.executable, "-c", _SCRIPT]
    done = subprocess.run(words, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_process_is_in_the_namespace_that_its_environment_states() -> None:
    """Its runs too; without a word it is in that of scripts."""
    for namespace in NAMESPACES:
        shared(namespace).put_variable("x", f"of {namespace}", [], overwrite=False)
    shared("b").put_variable("only-b", 1, [], overwrite=False)
    assert script(MINTAKA_NAMESPACE="a") == ["a", "of a", "of a", None]
    assert script(MINTAKA_NAMESPACE="b") == ["b", "of b", "of b", 1]
    assert script() == script(MINTAKA_NAMESPACE="") == ["local", "of local", "of local", None]
    with history(namespace="a") as there:
        assert [run["namespace"] for run in there.flow_runs()] == ["a"]
        assert there.flow_run("run")["namespace"] == "a"


@pytest.mark.parametrize("name", ["A", "a/b", "-a", "a" * 64, "a b"])
def test_an_environment_that_states_no_namespace_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Before anything runs or is read."""
    with monkeypatch.context() as patch:
        patch.setenv("MINTAKA_NAMESPACE", name)
        for use in (lambda: Variable.get("x"), flow(lambda: 1)):
            with pytest.raises(InvalidEnvironment, match="MINTAKA_NAMESPACE: a namespace has 1 to 63 lower case letters"):
                use()


_WAITS = """
from mintaka import flow, runtime
from mintaka.flow_runs import pause_flow_run

@flow(flow_run_name="waits")
def main():
    key = f"in-{runtime.flow_run.namespace}"
    return pause_flow_run(wait_for_input=str, timeout=60, poll_interval=0.1, key=key)

print(main())
"""


def test_a_pause_is_in_the_namespace_of_its_run() -> None:
    """Two runs of the same name wait, each in a namespace; what is answered is the one that is meant."""
    words, spaces = [sys.executable, "-c", _WAITS], ("a", "b")
    processes = [
        subprocess.Popen(words, env=os.environ | {"MINTAKA_NAMESPACE": namespace}, stdout=subprocess.PIPE, text=True)
        for namespace in spaces
    ]
    deadline = time.monotonic() + 30
    for namespace, process in zip(spaces, processes, strict=True):
        waits: list[Any] = []
        while not waits:
            assert (time.monotonic() < deadline, process.poll()) == (True, None)
            time.sleep(0.05)
            with suppress(FlowRunNotFound), history(namespace=namespace) as there:
                run = there.flow_run("waits")
                waits = [(each["namespace"], each["key"]) for each in there.pauses(run["uid"])]
        assert (run["namespace"], waits) == (namespace, [(namespace, f"in-{namespace}")])
        resume_flow_run(run["uid"], f"for {namespace}")
        assert process.communicate(timeout=30)[0] == f"for {namespace}\n"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command line: its exit code and what it printed."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mintaka", *words])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_the_command_line_means_one_namespace(run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """That of scripts, of MINTAKA_NAMESPACE, or of --namespace, which stands above it; lists may show all."""
    assert run("variable", "set", "x", "mine")[0] == 0
    assert run("variable", "set", "x", "of a", "-n", "a")[0] == 0
    assert run("variable", "set", "x", "again", "--namespace", "a")[0] == 2
    monkeypatch.setenv("MINTAKA_NAMESPACE", "b")
    assert run("variable", "set", "x", "of b")[0] == 0
    assert [run("variable", "get", "x", *more)[1] for more in ([], ["-n", "a"], ["-n", "local"])] == ["of b\n", "of a\n", "mine\n"]
    assert [(each["namespace"], each["value"]) for each in json.loads(run("variable", "list", "--json")[1])] == [("b", "of b")]
    lines = [line.split()[:2] for line in run("variable", "list", "-A")[1].splitlines()]
    assert lines == [["NAMESPACE", "NAME"], ["a", "x"], ["b", "x"], ["local", "x"]]
    assert "NAMESPACE" not in run("variable", "list")[1]
    assert json.loads(run("variable", "unset", "x", "-n", "a", "--json")[1]) == {"namespace": "a", "name": "x"}
    code, _, reported = run("variable", "get", "x", "-n", "a")
    assert (code, "there is no variable 'x' in namespace a of " in reported) == (2, True)
    assert run("variable", "get", "x")[1] == "of b\n"


def test_limits_on_the_command_line_are_of_one_namespace(run: Callable[..., tuple[int, str, str]]) -> None:
    assert run("limit", "create", "db", "--slots", "1", "-n", "a")[0] == 0
    assert run("limit", "create", "db", "--slots", "2", "-n", "b")[0] == 0
    assert run("limit", "create", "db", "--slots", "3", "-n", "b", "--overwrite")[0] == 0

    def hold() -> Any:
        with concurrency("db"):
            return [run("limit", "show", "db", "-n", namespace)[1] for namespace in ("a", "b")], run("limit", "list", "-A")[1]

    (in_a, in_b), listed = inside("a", hold)
    assert ["flow run" in in_a, "flow run" in in_b] == [True, False]
    assert [line.split() for line in listed.splitlines()] == [
        ["NAMESPACE", "NAME", "SLOTS", "HELD", "WAITING"],
        ["a", "db", "1", "1", "0"],
        ["b", "db", "3", "0", "0"],
    ]
    assert [each["namespace"] for each in json.loads(run("limit", "list", "--json", "-n", "b")[1])] == ["b"]
    assert run("limit", "list")[1].split() == ["NAME", "SLOTS", "HELD", "WAITING", "PER", "SECOND"]
    code, _, reported = run("limit", "delete", "db")
    assert (code, "there is no limit 'db' in namespace local of " in reported) == (2, True)
    assert run("limit", "delete", "db", "-n", "a")[0] == 0
    assert [each.slots for each in shared("b").limits()] == [3]


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        (("variable", "get", "x", "-n", "A"), "a namespace has 1 to 63 lower case letters"),
        (("limit", "list", "-n", "a/b"), "a namespace has 1 to 63 lower case letters"),
        (("limit", "list", "-A", "-n", "a"), "--all-namespaces goes with no --namespace"),
        (("variable", "list", "-A", "-n", "a"), "--all-namespaces goes with no --namespace"),
    ],
)
def test_a_command_that_means_no_namespace_is_refused(
    run: Callable[..., tuple[int, str, str]], words: tuple[str, ...], reported: str
) -> None:
    """In one line, with exit code 2."""
    code, out, error = run(*words)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert reported in error


def test_kubectl_mintaka_means_the_namespace_of_kubectls_context(
    place: str, run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At an API; a script's file is in no cluster."""
    monkeypatch.setattr("mintaka.cli.places.is_plugin", lambda: True)
    monkeypatch.setattr("mintaka.cli.cluster_api.current_namespace", lambda: "b")
    code, _, reported = run("variable", "set", "x", "1")
    if place == "script":
        assert (code, "kubectl port-forward" in reported) == (2, True)
        return
    assert code == 0
    assert run("variable", "set", "y", "1", "-n", "a")[0] == 0
    assert [(each.namespace, each.name) for each in shared("a").variables(everywhere=True)] == [("a", "y"), ("b", "x")]


def test_places_of_several_namespaces_stay_open_side_by_side() -> None:
    """So that slots of one are renewed while another is used; all are closed at once."""
    first, second = shared("a"), shared("b")
    assert (first is shared("a"), second is shared("b"), first is second) == (True, True, False)
    sharing.close()
    assert shared("a") is not first
