"""The runs that a cancelled flow run called are cancelled by their own spec, however and in whatever order this becomes known."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from memory_cluster import MemoryCluster
from memory_controller import MemoryController
from mintaka_controller.reconciler import Key
from mintaka_kubernetes.resources import FLOW_RUNS
from mintaka_operator.cluster import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_controller.ports import Name

_TIME = "2026-03-04T05:00:00Z"
_DELETED = {"deletionTimestamp": _TIME, "finalizers": ["mintaka.dev/mirror"]}


def run(name: str, state: str = "", *, reason: str = "", metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A run with a template of its own."""
    status = {"state": {"type": state, "name": state.capitalize(), "reason": reason, "time": _TIME}, "sequence": 1} if state else {}
    if state in {"COMPLETED", "CANCELLED", "FAILED"}:
        status["endTime"] = _TIME
    return {
        "kind": "FlowRun",
        "metadata": {"uid": f"uid-of-{name}", "name": name, "namespace": "n", "creationTimestamp": _TIME, **(metadata or {})},
        "spec": {"template": {"entrypoint": "a:b"}, **spec},
        "status": status,
    }


def called(name: str = "called", state: str = "", *, detached: bool = False, **spec: Any) -> dict[str, Any]:
    """A run that `caller` called."""
    return run(name, state, calledBy={"uid": "uid-of-caller", "name": "caller", "detached": detached}, suspend=True, **spec)


class World(MemoryController):
    """A controller that sees every run that is put into its cluster."""

    def __init__(self) -> None:
        self.store = MemoryCluster()
        super().__init__(self.store)
        #: The runs that were woken because of their caller, or of those that they called.
        self.woken: list[Name] = []
        self.context.runs.called.wake = self.woken.extend

    def see(self, document: dict[str, Any]) -> None:
        """Another version of a run arrives."""
        path = FLOW_RUNS.path("n", document["metadata"]["name"])
        self.observe_run(self.store.put(path, document))

    def cancelled(self, name: str = "called") -> bool:
        """Reconcile a run; whether it is cancelled then."""
        asyncio.run(self.reconciler._run(Key("run", "n", name)))
        return bool(self.store.objects[FLOW_RUNS.path("n", name)]["spec"].get("cancel"))


CALLERS: dict[str, tuple[dict[str, Any], bool]] = {
    "runs": (run("caller", "RUNNING"), False),
    "is to be cancelled": (run("caller", "RUNNING", cancel=True), True),
    "was cancelled": (run("caller", "CANCELLED", cancel=True), True),
    "is being deleted": (run("caller", "RUNNING", metadata=_DELETED), True),
    "ended and is being deleted": (run("caller", "COMPLETED", metadata=_DELETED), False),
    "ended before it was cancelled": (run("caller", "COMPLETED", cancel=True), False),
    "failed": (run("caller", "FAILED"), False),
    "is suspended": (run("caller", "PAUSED", suspend=True), False),
    "reports that it was cancelled": (run("caller", "CANCELLED"), False),
}


@pytest.mark.parametrize(("caller", "cancelled"), CALLERS.values(), ids=CALLERS)
@pytest.mark.parametrize("caller_first", [True, False], ids=["its caller known first", "its caller known later"])
def test_a_run_is_cancelled_along_with_its_caller(caller: dict[str, Any], cancelled: bool, caller_first: bool) -> None:
    """It is not cancelled if its caller ends or waits in any other way."""
    world = World()
    for document in (caller, called()) if caller_first else (called(), caller):
        world.see(document)
    assert world.cancelled() == cancelled


def test_a_detached_run_continues() -> None:
    world = World()
    world.see(called(detached=True))
    world.see(run("caller", "RUNNING", cancel=True))
    assert not world.cancelled()


GONE: dict[str, tuple[dict[str, Any], bool]] = {
    "before it ended": (run("caller", "RUNNING"), True),
    "after it had completed": (run("caller", "COMPLETED"), False),
}


@pytest.mark.parametrize(("caller", "cancelled"), GONE.values(), ids=GONE)
def test_a_caller_that_is_gone_was_deleted(caller: dict[str, Any], cancelled: bool) -> None:
    """The deletion appears in no version of the caller."""
    world = World()
    world.see(caller)
    world.see(called())
    world.context.runs.remove(("n", "caller"))
    assert world.cancelled() == cancelled


def test_those_that_it_called_are_woken_once_it_is_cancelled() -> None:
    """Runs that have ended are not woken; the caller is woken when the last of them has spec.cancel."""
    world = World()
    world.see(called())
    world.see(called("ended", "COMPLETED"))
    world.see(run("caller", "RUNNING"))
    assert world.woken == []
    world.see(run("caller", "RUNNING", cancel=True))
    assert world.woken == [("n", "called")]
    world.woken.clear()
    assert world.cancelled()
    assert world.woken == [("n", "caller")]


def refuse_patches(method: str, _path: str) -> Exception | None:
    """The operator may not patch runs."""
    return ApiError(403, "Forbidden", "flowruns is forbidden") if method == "PATCH" else None


@pytest.mark.parametrize(("fault", "state"), [(lambda _m, _p: None, "CANCELLED"), (refuse_patches, "PAUSED")], ids=["patched", "refused"])
def test_a_run_that_cannot_be_cancelled_is_reconciled_all_the_same(fault: Callable[[str, str], Any], state: str) -> None:
    world = World()
    world.see(run("caller", "RUNNING", cancel=True))
    world.see(called(metadata=None))
    world.store.fault = fault
    for _ in range(3):
        world.cancelled()
    assert world.store.objects[FLOW_RUNS.path("n", "called")]["status"]["state"]["type"] == state


def test_its_message_names_the_caller() -> None:
    world = World()
    world.see(run("caller", "RUNNING", cancel=True))
    world.see(called(state="RUNNING"))
    for _ in range(3):
        world.cancelled()
    state = world.store.objects[FLOW_RUNS.path("n", "called")]["status"]["state"]
    assert (state["type"], state["message"]) == ("CANCELLED", "flow run caller, which called it, was cancelled")


@pytest.mark.parametrize(
    ("since", "first"),
    [(timedelta(), "CANCELLING"), (timedelta(days=1), "CANCELLED")],
    ids=["at first", "not for ever"],
)
def test_a_caller_waits_until_what_it_called_is_to_be_cancelled(since: timedelta, first: str) -> None:
    """An operator that starts afterwards does not need the caller."""
    world = World()
    world.see(called())
    caller = run("caller", "CANCELLING", cancel=True)
    caller["status"]["state"]["time"] = (datetime.now(UTC) - since).isoformat()
    world.see(caller)
    path = FLOW_RUNS.path("n", "caller")
    world.cancelled("caller")
    assert world.store.objects[path]["status"]["state"]["type"] == first
    assert world.cancelled()
    world.cancelled("caller")
    assert world.store.objects[path]["status"]["state"]["type"] == "CANCELLED"
