"""Runs that flow runs call: they are created once, found by later attempts, awaited, and below their callers in history."""

from __future__ import annotations

import asyncio
import copy
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest

from api_testing import API, ORDINARY, running, seen_run, status
from mintaka_api.backlog import Batch
from mintaka_api.cluster import Cluster
from mintaka_api.intent_changes import run_manifest
from mintaka_api.kubernetes_intents import KubernetesRunControl
from mintaka_api.metrics import Metrics
from mintaka_api.mirror import Mirror
from mintaka_api.problems import Problem
from mintaka_api.settings import Settings
from mintaka_api.snapshots import snapshot_of
from mintaka_core.names import ANNOTATION_CALLED_IN, LABEL_CALLED_BY
from mintaka_history.queries.names import Names
from mintaka_kubernetes import FLOW_RUNS, ClusterRefusal, Credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import httpx

    from mintaka_api.intents import RunRequest
    from mintaka_core.resources import FlowRun
    from mintaka_history.database import Database

pytestmark = pytest.mark.anyio

CALLER = "0190f5fe-0000-7000-8000-000000000001"
LATER = 1_900_000_000_000_000


class MemoryRunControl:
    """The part of a cluster that creates flow runs, in memory. `creations` counts the requests to create one."""

    def __init__(self) -> None:
        self.runs: dict[tuple[str, str], dict[str, Any]] = {}
        self.creations = 0
        self.again: list[tuple[str, str]] = []
        self.unreadable: set[str] = set()

    async def create(self, namespace: str, deployment: str, request: RunRequest) -> dict[str, Any]:
        """Create a run, as a cluster does."""
        self.creations += 1
        await asyncio.sleep(0)
        manifest = run_manifest(namespace, deployment, "uid-of-deployment", request)
        key = namespace, manifest["metadata"]["name"]
        if key in self.runs:
            raise Problem("already-exists", f"there is a flow run {key} already")
        manifest["metadata"] |= {"uid": str(uuid.uuid4()), "resourceVersion": "1", "creationTimestamp": datetime.now(UTC).isoformat()}
        self.runs[key] = manifest
        return copy.deepcopy(manifest)

    async def read(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The run as it is now."""
        if name in self.unreadable:
            raise ClusterRefusal(403, "Forbidden", "not allowed")
        return copy.deepcopy(self.runs.get((namespace, name)))

    async def run_again(self, run: FlowRun, called_in: str) -> None:
        """Record the rerun."""
        self.again.append((run.metadata.name, called_in))
        document = self.runs[run.metadata.namespace, run.metadata.name]
        document["metadata"]["annotations"][ANNOTATION_CALLED_IN] = called_in
        document["spec"]["reruns"] = run.spec.reruns + 1


class World:
    """An API over `database` whose runs are in memory, and its mirror."""

    def __init__(self, api: httpx.AsyncClient, database: Database) -> None:
        self.api, self.control = api, MemoryRunControl()
        api.app.state.services.runs = self.control  # type: ignore[attr-defined]
        cluster = Cluster(credentials=Credentials("http://127.0.0.1:1"))
        self.mirror = Mirror(database, Names(), cluster, Settings(cluster_name="one"), Metrics())
        self.mirror.writer.cluster_key = "one"

    async def call(self, deployment: str = "nightly", *, attempt: int = 1, tries: int = 0, call: str = "a", **body: Any) -> httpx.Response:
        """What the process of the caller requests."""
        caller = {"uid": CALLER, "name": "caller", "attempt": attempt, "tries": tries, "task_run": 3, "call": call}
        return await self.api.post(f"{API}/namespaces/ns/flow-deployments/{deployment}/runs", json={"called_by": caller, **body})

    async def see(self, *documents: dict[str, Any]) -> None:
        """Mirror runs as they are in the cluster."""
        await self.mirror.writer.write(Batch([snapshot_of(each, 0.0) for each in documents]))

    async def finish(self, name: str, *states: str) -> dict[str, Any]:
        """Have a run enter states."""
        document = self.control.runs["ns", name]
        document["status"] = status(states)
        document["metadata"]["resourceVersion"] = str(int(document["metadata"]["resourceVersion"]) + 1)
        await self.see(copy.deepcopy(document))
        return document

    async def ended(self, *uids: str, after: int = -1, wait: float = 0) -> list[str]:
        """The uids of the runs that have ended."""
        body = {"runs": [{"uid": uid, "after": after} for uid in uids], "wait": wait}
        answer = await self.api.post(f"{API}/flow-runs/ended", json=body)
        assert answer.status_code == 200, answer.text
        return [run["uid"] for run in answer.json()["items"]]

    async def check(self, run: dict[str, Any], after: int = -1) -> dict[str, Any]:
        """The answer to a request that checks the run."""
        runs = [{"uid": run["uid"], "after": after, "namespace": "ns", "name": run["name"]}]
        answer = await self.api.post(f"{API}/flow-runs/ended", json={"runs": runs, "check": True})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def get(self, uid: str) -> dict[str, Any]:
        """A run in history."""
        found: dict[str, Any] = (await self.api.get(f"{API}/flow-runs/{uid}")).json()
        return found


@pytest.fixture
async def world(database: Database, database_url: str) -> AsyncIterator[World]:
    """An API with a mirror."""
    async with running(Settings(database_url=database_url, mirror=False)) as api:
        yield World(api, database)


async def test_a_call_has_one_run(world: World) -> None:
    """The run is named after its deployment and records its caller; another call has another run."""
    first, again, other = await world.call(), await world.call(attempt=2), await world.call(call="b")
    assert [answer.status_code for answer in (first, again, other)] == [201, 200, 201], first.text
    assert first.json()["uid"] == again.json()["uid"] != other.json()["uid"]
    document = world.control.runs["ns", first.json()["name"]]
    assert document["metadata"]["name"].startswith("nightly-")
    assert document["metadata"]["labels"][LABEL_CALLED_BY] == CALLER
    assert document["spec"]["calledBy"] == {"uid": CALLER, "name": "caller", "attempt": 1, "taskRun": 3, "detached": False}


async def test_calls_at_the_same_time_have_one_run(world: World) -> None:
    answers = await asyncio.gather(*(world.call() for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["uid"] for answer in answers}) == 1


async def test_a_name_is_part_of_the_runs_name(world: World) -> None:
    """Characters that Kubernetes does not allow are replaced; calls with one key have one run whatever their names."""
    named = (await world.call(flow_run_name="For Tuesday!")).json()["name"]
    assert named.startswith("for-tuesday-")
    assert world.control.runs["ns", named]["metadata"]["annotations"]["mintaka.dev/flow-run-name"] == "For Tuesday!"
    keyed = [await world.call(flow_run_name=name, idempotency_key="k", call=name) for name in ("x", "y")]
    assert [answer.status_code for answer in keyed] == [201, 200]
    answer = await world.api.post(f"{API}/namespaces/ns/flow-deployments/nightly/runs", json={"idempotency_key": "k"})
    assert answer.status_code == 201, "outside of flow runs it is another key"


ENDS: dict[str, tuple[tuple[str, ...], dict[str, Any], int]] = {
    "failed, in the same try": (("RUNNING", "FAILED"), {}, 200),
    "failed, in another try": (("RUNNING", "FAILED"), {"tries": 1}, 202),
    "crashed, in another attempt": (("RUNNING", "CRASHED"), {"attempt": 2}, 202),
    "failed, in an earlier try": (("RUNNING", "FAILED"), {"attempt": 1, "tries": 0}, 200),
    "completed": (ORDINARY, {"attempt": 2}, 200),
    "cancelled": (("RUNNING", "CANCELLED"), {"attempt": 2}, 200),
    "running": (("RUNNING",), {"attempt": 2}, 200),
}


@pytest.mark.parametrize(("states", "later", "code"), ENDS.values(), ids=ENDS)
async def test_what_failed_runs_again_for_a_later_try(world: World, states: tuple[str, ...], later: dict[str, Any], code: int) -> None:
    """The run runs again once for each try, also if the request is repeated; a run requested with a key does not run again."""
    for key, expected in ((None, code), ("a key", 200)):
        run = (await world.call(idempotency_key=key)).json()
        await world.finish(run["name"], *states)
        answers = [await world.call(idempotency_key=key, **later) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [expected, expected]
        assert [answer.json()["uid"] for answer in answers] == [run["uid"]] * 2
    assert len(world.control.again) == (code == 202)


PENDING: dict[str, tuple[str, dict[str, Any], int]] = {
    "failed": ("FAILED", {}, 202),
    "completed": ("COMPLETED", {}, 202),
    "cancelled, but not for good": ("CANCELLED", {}, 202),
    "cancelled for good": ("CANCELLED", {"cancel": True}, 200),
    "still running": ("RUNNING", {}, 200),
}


@pytest.mark.parametrize("key", [None, "a key"], ids=["without a key", "with a key"])
@pytest.mark.parametrize(("state", "spec", "code"), PENDING.values(), ids=PENDING)
async def test_the_end_before_a_pending_rerun_is_not_that_of_the_call(
    world: World, state: str, spec: dict[str, Any], code: int, key: str | None
) -> None:
    """A rerun that anyone requested counts, for the same try and a later one; the answer has the sequence of the old end."""
    run = (await world.call(idempotency_key=key)).json()
    document = await world.finish(run["name"], "RUNNING", state)
    document["spec"] |= {"reruns": 1, **spec}
    answers = [await world.call(idempotency_key=key, attempt=attempt) for attempt in (1, 2)]
    assert [(answer.status_code, answer.json()["sequence"]) for answer in answers] == [(code, 2)] * 2
    assert world.control.again == []
    document["status"] = status(("RUNNING", "FAILED", "SCHEDULED", "RUNNING", "FAILED"), reruns=1)
    if not spec:
        answer = await world.call(idempotency_key=key)
        assert (answer.status_code, answer.json()["sequence"]) == (200, 5), "the rerun is over"


SCHEMA = {"type": "object", "properties": {"token": {"type": "string", "format": "password"}, "day": {"type": "integer"}}}


class OneRun:
    """The objects of a cluster with one flow deployment and one run, as the API's adapter reads and writes them."""

    def __init__(self) -> None:
        self.run: dict[str, Any] | None = None

    async def get(self, resource: Any, namespace: str, name: str) -> dict[str, Any]:
        metadata = {"name": name, "namespace": namespace, "uid": "uid", "resourceVersion": "1"}
        deployment = {"metadata": metadata, "spec": {"entrypoint": "etl.py:main", "parameterSchema": SCHEMA}}
        found = self.run if resource is FLOW_RUNS else deployment
        assert found is not None
        return copy.deepcopy(found)

    async def create(self, _resource: Any, _namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
        if self.run is not None:
            raise ClusterRefusal(409, "AlreadyExists", "the run exists")
        created = {"uid": str(uuid.uuid4()), "resourceVersion": "1", "creationTimestamp": datetime.now(UTC).isoformat()}
        self.run = {**manifest, "metadata": {**manifest["metadata"], **created}}
        return copy.deepcopy(self.run)

    async def patch(self, *_: Any) -> None:
        assert self.run is not None
        self.run["spec"]["reruns"] = 1


async def test_no_answer_contains_a_secret_parameter(world: World) -> None:
    """The run is not in history yet, so the answers are made from its document: created, found, run again, about to run again."""
    services, cluster = world.api.app.state.services, OneRun()  # type: ignore[attr-defined]
    services.runs = KubernetesRunControl(cast("Any", cluster), services.validator)
    answers = [await world.call(parameters={"token": "swordfish", "day": 1}), await world.call()]
    assert cluster.run is not None
    cluster.run["status"] = status(("RUNNING", "FAILED"))
    answers += [await world.call(attempt=2), await world.call(attempt=2)]
    assert [answer.status_code for answer in answers] == [201, 200, 202, 202]
    assert [answer.json()["parameters"] for answer in answers] == [{"token": "********", "day": 1}] * 4
    assert cluster.run["spec"]["parameters"] == {"token": "swordfish", "day": 1}


async def test_a_run_that_left_the_cluster_is_found(world: World) -> None:
    """It is not created a second time."""
    run = (await world.call()).json()
    document = await world.finish(run["name"], *ORDINARY)
    await world.mirror.writer.write(Batch(vanished_runs={run["uid"]: LATER}))
    del world.control.runs["ns", run["name"]]
    again = await world.call(attempt=2)
    assert (again.status_code, again.json()["uid"], again.json()["state"]["type"]) == (200, document["metadata"]["uid"], "COMPLETED")
    assert world.control.creations == 1


async def test_a_run_of_another_caller_does_not_belong_to_this_call(world: World) -> None:
    run = (await world.call()).json()
    world.control.runs["ns", run["name"]]["spec"].pop("calledBy")
    answer = await world.call()
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "already-exists")


async def test_overrides_are_in_the_runs_spec(world: World) -> None:
    overrides = {"image": "flows:2", "pod_template": {"spec": {"priorityClassName": "low"}}}
    run = (await world.call(overrides=overrides)).json()
    assert world.control.runs["ns", run["name"]]["spec"]["overrides"] == {
        "image": "flows:2",
        "podTemplate": {"spec": {"priorityClassName": "low"}},
    }


async def test_the_first_end_of_many_runs_is_waited_for(world: World) -> None:
    """A run that has already ended is returned at once; an end before a rerun does not count."""
    runs = [(await world.call(call=str(number))).json() for number in range(3)]
    uids = [run["uid"] for run in runs]
    assert await world.ended(*uids) == []
    waiting = asyncio.create_task(world.ended(*uids, wait=20))
    await asyncio.sleep(0.1)
    await world.finish(runs[1]["name"], "RUNNING")
    await world.finish(runs[1]["name"], "RUNNING", "FAILED")
    assert await waiting == [uids[1]]
    assert await world.ended(*uids, str(uuid.uuid4()), wait=20) == [uids[1]]
    assert await world.ended(uids[1], after=2) == []
    assert await world.ended(uids[1], after=1) == [uids[1]]
    assert (await world.api.post(f"{API}/flow-runs/ended", json={"runs": [{"uid": "x"}]})).status_code == 404
    assert (await world.api.post(f"{API}/flow-runs/ended", json={"runs": [], "wait": 31})).status_code == 422


def cancel(run: dict[str, Any]) -> None:
    run["spec"]["cancel"] = True


def begin_deletion(run: dict[str, Any]) -> None:
    run["metadata"]["deletionTimestamp"] = datetime.now(UTC).isoformat()


def restore(run: dict[str, Any]) -> None:
    run["spec"]["reruns"], run["status"] = 0, status(("FAILED",))


def begin_rerun(run: dict[str, Any]) -> None:
    run["status"] = status(("RUNNING", "FAILED", "SCHEDULED"), reruns=1)


def replace_run(run: dict[str, Any]) -> None:
    run["metadata"]["uid"] = str(uuid.uuid4())


#: What happens to a run of sequence 2 whose rerun is pending; and the sequence with which a check returns it (None: not at all).
WITHDRAWN: dict[str, tuple[Callable[[dict[str, Any]], None], int | None]] = {
    "nothing": (lambda _run: None, None),
    "its rerun begins": (begin_rerun, None),
    "it is cancelled": (cancel, 2),
    "it is being deleted": (begin_deletion, 2),
    "it is restored to an earlier state": (restore, 1),
    "its name is that of another run": (replace_run, 2),
}


@pytest.mark.parametrize(("happen", "sequence"), WITHDRAWN.values(), ids=WITHDRAWN)
async def test_a_check_finds_what_happened_to_a_run_whose_rerun_is_pending(
    world: World, happen: Callable[[dict[str, Any]], None], sequence: int | None
) -> None:
    """History does not change. Without a check there is no answer."""
    run = (await world.call(parameters={"day": 1})).json()
    document = await world.finish(run["name"], "RUNNING", "FAILED")
    document["spec"]["reruns"] = 1
    happen(document)
    assert await world.ended(run["uid"], after=2) == []
    answer = await world.check(run, after=2)
    assert [(item["uid"], item["sequence"]) for item in answer["items"]] == ([] if sequence is None else [(run["uid"], sequence)])
    masked = {"day": "********"}  # as in history, which does not have the deployment's schema
    assert [item["parameters"] for item in answer["items"]] == [masked] * len(answer["items"])
    assert answer["gone"] == []


@pytest.mark.parametrize(
    "states", [(), ("RUNNING",), ("RUNNING", "FAILED")], ids=["before it started", "while it runs", "before its rerun"]
)
async def test_a_run_that_left_the_cluster_is_over_whatever_its_sequence(world: World, states: tuple[str, ...]) -> None:
    """An open request is answered."""
    run = (await world.call()).json()
    document = await world.finish(run["name"], *(states or ("SCHEDULED",)))
    waiting = asyncio.create_task(world.ended(run["uid"], after=document["status"]["sequence"], wait=20))
    await asyncio.sleep(0.1)
    await world.mirror.writer.write(Batch(vanished_runs={run["uid"]: LATER}))
    assert await waiting == [run["uid"]]


async def test_a_run_that_is_neither_in_the_cluster_nor_in_history_is_gone(world: World) -> None:
    """One that is only in the cluster is not, nor one that cannot be read: it is checked again."""
    lost, new, unreadable = [(await world.call(call=call)).json() for call in ("a", "b", "c")]
    runs = [{"uid": run["uid"], "namespace": "ns", "name": run["name"]} for run in (lost, new, unreadable)]
    del world.control.runs["ns", lost["name"]]
    world.control.unreadable.add(unreadable["name"])
    body = {"runs": [*runs, {"uid": str(uuid.uuid4())}], "check": True}
    answer = await world.api.post(f"{API}/flow-runs/ended", json=body)
    assert answer.json() == {"items": [], "gone": [lost["uid"]]}


async def test_a_run_that_leaves_the_cluster_during_a_check_is_not_gone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It becomes known in history after the check has read that, and before the check reads the cluster."""
    run = (await world.call()).json()

    async def leave(_namespace: str, _name: str) -> None:
        await world.finish(run["name"], *ORDINARY)

    monkeypatch.setattr(world.control, "read", leave)
    answer = await world.check(run)
    assert ([item["state"]["type"] for item in answer["items"]], answer["gone"]) == (["COMPLETED"], [])


async def test_an_api_without_a_cluster_checks_nothing(world: World) -> None:
    run = (await world.call()).json()
    world.api.app.state.services.runs = None  # type: ignore[attr-defined]
    assert await world.check(run) == {"items": [], "gone": []}


def called(name: str, states: tuple[str, ...] = ("RUNNING",), *, version: int = 1, **called_by: Any) -> dict[str, Any]:
    """A run that the caller called, as a watch shows it."""
    spec = {"deployment": "nightly", "calledBy": {"uid": CALLER, "name": "caller", **called_by}}
    return seen_run(name, states, version=version, spec=spec)


async def test_a_called_run_is_below_its_caller(world: World) -> None:
    """This holds even if the caller becomes known later, and includes the calling task run. A detached run has no parent."""
    run, detached = called("called", taskRun=3), called("detached", detached=True)
    await world.see(run, detached)
    assert (await world.get(run["metadata"]["uid"]))["parent"] is None
    await world.see(seen_run("caller", ("RUNNING",), uid=CALLER))
    await world.see(
        called("called", ("RUNNING", "COMPLETED"), version=2, taskRun=3),
        called("detached", ("RUNNING", "COMPLETED"), version=2, detached=True),
    )
    found = await world.get(run["metadata"]["uid"])
    assert (found["parent"], found["root"], found["kind"]) == (CALLER, CALLER, "deployed")
    assert (await world.get(detached["metadata"]["uid"]))["parent"] is None
    below = (await world.api.get(f"{API}/flow-runs", params={"parent": CALLER})).json()["items"]
    assert [each["name"] for each in below] == ["called"]
    roots = (await world.api.get(f"{API}/flow-runs")).json()["items"]
    assert {each["name"] for each in roots} == {"caller", "detached"}
    of_deployment = (await world.api.get(f"{API}/flow-runs", params={"deployment": "nightly"})).json()["items"]
    assert {each["name"] for each in of_deployment} == {"called", "detached"}


async def test_a_run_that_is_called_by_a_called_run_has_the_same_root(world: World) -> None:
    """In the end, a caller that is never reported is replaced by the flow run in whose process it ran."""
    first = called("first")
    await world.see(seen_run("caller", ("RUNNING",), uid=CALLER), first)
    uid = first["metadata"]["uid"]
    second = seen_run("second", ("RUNNING",), spec={"deployment": "nightly", "calledBy": {"uid": uid, "name": "first"}})
    await world.see(second)
    found = await world.get(second["metadata"]["uid"])
    assert (found["parent"], found["root"]) == (uid, CALLER)
    unknown = str(uuid.uuid4())
    third = called("third", flowRun=unknown)
    await world.see(third)
    assert (await world.get(third["metadata"]["uid"]))["parent"] is None
    await world.see(called("third", ("RUNNING", "COMPLETED"), version=2, flowRun=unknown))
    assert (await world.get(third["metadata"]["uid"]))["parent"] == CALLER
