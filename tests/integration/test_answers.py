"""Answers to flow runs that suspended themselves, through an API whose cluster fails at times: given and acted upon, or neither."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any, cast

import pytest

from api_testing import API, report, running
from mintaka_api import cluster_problems
from mintaka_api.kubernetes_intents import KubernetesRunControl
from mintaka_api.settings import Settings
from mintaka_history.queries import pauses
from mintaka_kubernetes import ClusterAway, ClusterRefusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from mintaka_api.services import Services

pytestmark = pytest.mark.anyio
UID = str(uuid.uuid4())
RUN = f"{API}/flow-runs/{UID}"
TIME = "2026-03-04T05:00:00Z"
SCHEMA = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}
YES, NO = {"input": {"approved": True}}, {"input": {"approved": False}}


class OneRun:
    """A cluster with one flow run that suspended itself; `fault` is what becomes of the next patch, which is kept where `applies`."""

    def __init__(self) -> None:
        state = {"type": "PAUSED", "name": "Suspended", "reason": "SuspendedItself", "time": TIME}
        self.run: dict[str, Any] = {
            "metadata": {"name": "nightly", "namespace": "etl", "uid": UID, "creationTimestamp": TIME, "resourceVersion": "7"},
            "spec": {"deployment": "d", "reruns": 2},
            "status": {"state": state, "sequence": 3, "attempt": 1, "reruns": 2},
        }
        self.fault: BaseException | None = None
        self.applies = False

    @property
    def reruns(self) -> int:
        return int(self.run["spec"]["reruns"])

    async def get(self, *_: Any) -> dict[str, Any]:
        return self.run

    async def patch(self, *arguments: Any) -> None:
        await asyncio.sleep(0)
        fault, self.fault = self.fault, None
        if fault is None or self.applies:
            _, before, new = arguments[-1]
            if before["value"] != self.reruns:
                raise ClusterRefusal(422, "Invalid", "the test of /spec/reruns failed")
            self.run["spec"]["reruns"] = new["value"]
        if fault is not None:
            raise fault


@pytest.fixture
def cluster() -> OneRun:
    return OneRun()


@pytest.fixture
async def api(database_url: str, cluster: OneRun) -> AsyncIterator[httpx.AsyncClient]:
    """An API that knows the run and its suspension."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        cluster_problems.install(client.app)  # type: ignore[attr-defined]
        services: Services = client.app.state.services  # type: ignore[attr-defined]
        services.runs = KubernetesRunControl(cast("Any", cluster), services.validator)
        assert (await client.post(f"{RUN}/reports", json=report())).status_code == 200
        assert (await client.put(f"{RUN}/pauses/approval", json={"attempt": 1, "suspended": True, "schema": SCHEMA})).status_code == 200
        yield client


async def kept(api: httpx.AsyncClient) -> tuple[bool, Any]:
    """Whether the suspension waits for somebody, and what it was answered."""
    pause = (await api.get(f"{RUN}/pauses/approval")).json()
    return pause["open"], pause["answer"]


ROUTES = {"the run": f"{RUN}/resume", "the pause": f"{RUN}/pauses/approval/answer"}
FAULTS = {
    "the cluster is away": (ClusterAway("no answer"), 503),
    "somebody else changed it": (ClusterRefusal(422, "Invalid", "the test of /spec/reruns failed"), 409),
    "it is gone": (ClusterRefusal(404, "NotFound", "no such run"), 409),
}


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
@pytest.mark.parametrize(("fault", "status"), FAULTS.values(), ids=FAULTS)
async def test_an_answer_that_cannot_be_acted_upon_is_not_kept(
    api: httpx.AsyncClient, cluster: OneRun, route: str, fault: BaseException, status: int
) -> None:
    """Who is told of an error may think again, and answer anew."""
    cluster.fault = fault
    refused = await api.post(route, json=YES)
    assert (refused.status_code, await kept(api), cluster.reruns) == (status, (True, None), 2)
    assert (await api.post(route, json=NO)).is_success
    assert (await kept(api), cluster.reruns) == ((False, {"approved": False}), 3)


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
async def test_a_second_answer_is_told_whatever_it_says(api: httpx.AsyncClient, cluster: OneRun, route: str) -> None:
    """The first one counts, and the run starts again once."""
    assert (await api.post(route, json=YES)).is_success
    for second in (NO, YES):
        for other in ROUTES.values():
            told = await api.post(other, json=second)
            assert (told.status_code, told.json()["type"].rsplit("/", 1)[1]) == (409, "not-paused")
            assert "has been answered already" in told.json()["detail"]
    told = await api.post(f"{RUN}/resume")
    assert (told.status_code, "already been requested to continue" in told.json()["detail"]) == (409, True)
    assert (await kept(api), cluster.reruns) == ((False, {"approved": True}), 3)


@pytest.mark.parametrize("first", [YES, NO], ids=["yes first", "no first"])
async def test_of_two_answers_at_once_one_counts(api: httpx.AsyncClient, cluster: OneRun, first: dict[str, Any]) -> None:
    """Who answered otherwise is told of it."""
    second = NO if first is YES else YES
    told = await asyncio.gather(*(api.post(f"{RUN}/resume", json=given) for given in (first, second)))
    assert sorted(answer.status_code for answer in told) == [202, 409]
    winner = first if told[0].status_code == 202 else second
    assert (await kept(api), cluster.reruns) == ((False, winner["input"]), 3)


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
async def test_an_api_that_died_between_answer_and_cluster_is_made_up_for_by_the_same_answer(
    api: httpx.AsyncClient, cluster: OneRun, route: str
) -> None:
    """Another answer is refused: nobody knows who heard of the first."""
    database = api.app.state.services.database  # type: ignore[attr-defined]
    await database.write(pauses.answer, UID, "approval", '{"approved": true}')
    assert ((await api.post(route, json=NO)).status_code, cluster.reruns) == (409, 2)
    assert ((await api.post(route, json=YES)).is_success, cluster.reruns) == (True, 3)
    assert ((await api.post(route, json=YES)).status_code, cluster.reruns) == (409, 3)


async def test_a_cluster_that_did_it_and_could_not_say_so_does_it_once(api: httpx.AsyncClient, cluster: OneRun) -> None:
    """The run starts again, asks again, and takes the next answer; it is not started a second time."""
    cluster.fault, cluster.applies = ClusterAway("the connection broke"), True
    assert (await api.post(f"{RUN}/resume", json=YES)).status_code == 503
    assert (await api.post(f"{RUN}/resume", json=YES)).status_code == 202
    assert (await kept(api), cluster.reruns) == ((False, {"approved": True}), 3)


SCRIPT = str(uuid.uuid4())
OF_A_SCRIPT = {"flow": "flow.py:etl", "created": 1, "transitions": [[1, "RUNNING", "Running", 2, "", [], "", ""]]}
WISHES = {
    "to cancel": ("POST", "/cancel", "of-a-script"),
    "to suspend": ("POST", "/suspend", "of-a-script"),
    "to resume": ("POST", "/resume", "not-paused"),
    "to run again": ("POST", "/rerun", "of-a-script"),
    "to delete": ("DELETE", "", "of-a-script"),
}


@pytest.mark.parametrize("has_cluster", [True, False], ids=["an API in a cluster", "an API of a database alone"])
@pytest.mark.parametrize(("method", "path", "problem"), WISHES.values(), ids=WISHES)
async def test_of_a_script_that_runs_nothing_is_asked_of_a_cluster(
    api: httpx.AsyncClient, *, has_cluster: bool, method: str, path: str, problem: str
) -> None:
    """It was never there, so it has not left it, nor is the cluster away."""
    if not has_cluster:
        api.app.state.services.runs = None  # type: ignore[attr-defined]
    run = {"name": "etl-1", "namespace": "local", "local": OF_A_SCRIPT}
    assert (await api.post(f"{API}/flow-runs/{SCRIPT}/reports", json=report(flow_run=run))).status_code == 200
    told = await api.request(method, f"{API}/flow-runs/{SCRIPT}{path}")
    assert (told.status_code, told.json()["type"].rsplit("/", 1)[1]) == (409, problem)
    assert "flow run local/etl-1" in told.json()["detail"]


#: A check takes several polls of the worker, each a turn of the event loop, which answers others in between.
LOOKS = 3
HOSTILE: dict[str, tuple[Any, Any, str]] = {
    "a pattern that backtracks": ({"pattern": "^(a+)+$"}, "a" * 60 + "!", 'does not match "^(a+)+$"'),
    "references that double": (
        {"$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)} | {"d60": {}}, "$ref": "#/$defs/d0"},
        1,
        "takes more than 2 s of processor time",
    ),
    "a reference to a URL": ({"$ref": "http://127.0.0.1:9/schema"}, 1, "the schema that the flow run gave is not valid"),
    "a draft nobody knows": ({"$schema": "http://example.com/mine"}, 1, "Unknown meta-schema"),
}


@pytest.mark.parametrize(("schema", "value", "sentence"), HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_schema_stops_nobody_else(api: httpx.AsyncClient, schema: Any, value: Any, sentence: str) -> None:
    """The answer is refused with a sentence; meanwhile /healthz and answers to other runs come as ever."""
    uid = str(uuid.uuid4())
    other = f"{API}/flow-runs/{uid}"
    honest = {"flow_run": {**report()["flow_run"], "namespace": "honest"}} if "flow_run" in report() else {}
    assert (await api.post(f"{other}/reports", json={**report(), **honest})).is_success
    for run, asked in ((RUN, schema), (other, {"type": "integer"})):
        assert (await api.put(f"{run}/pauses/input", json={"attempt": 1, "schema": asked})).is_success
    busy = time.thread_time()
    attack = asyncio.create_task(api.post(f"{RUN}/pauses/input/answer", json={"input": value}))
    looks, longest = 0, 0.0
    while not attack.done() or not looks:
        began = time.thread_time()
        assert (await api.get("/healthz")).is_success
        longest = max(longest, time.thread_time() - began)
        looks += 1
        await asyncio.sleep(0.005)
    refused = attack.result()
    assert (refused.status_code, sentence in refused.json()["detail"]) == (422, True), refused.json()
    # The event loop's own processor time: how long it waits for a turn depends on what else the machine does.
    assert longest < 1, f"the event loop computed for {longest:.1f} s (of {time.thread_time() - busy:.1f} s) without answering anyone"
    assert looks >= LOOKS, "the event loop waited for the check instead of answering"
    assert (await api.post(f"{other}/pauses/input/answer", json={"input": 1})).is_success
