"""Variables, limits, leases and pauses belong to a namespace: over REST, the same name in two namespaces means two things."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from api_testing import API, report, running
from mintaka_api.permissions import ANONYMOUS, Permission, Principal
from mintaka_api.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import httpx

pytestmark = pytest.mark.anyio
A, B = f"{API}/namespaces/a", f"{API}/namespaces/b"
RUN_IN_A = "0190f5fe-0000-7000-8000-00000000000a"
LEASE, OTHER = "a" * 32, "b" * 32


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """An API without a cluster."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        yield client


class Calls:
    """Calls of one API, each checked to succeed."""

    def __init__(self, api: httpx.AsyncClient) -> None:
        self.api = api

    async def put(self, path: str, **body: Any) -> Any:
        """PUT."""
        answer = await self.api.put(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def post(self, path: str, **body: Any) -> Any:
        """POST."""
        answer = await self.api.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def get(self, path: str) -> Any:
        """GET; None if there is nothing."""
        answer = await self.api.get(path)
        assert answer.is_success or answer.status_code == 404, answer.text
        return answer.json() if answer.is_success else None

    async def delete(self, path: str) -> int:
        """DELETE; returns the status."""
        return (await self.api.delete(path)).status_code


async def _read_variables(calls: Calls) -> Any:
    await calls.put(f"{A}/variables/x", value="of a")
    await calls.put(f"{B}/variables/x", value="of b")
    return [(await calls.get(f"{scope}/variables/x"))["value"] for scope in (A, B)]


async def _read_absent_variable(calls: Calls) -> Any:
    await calls.put(f"{A}/variables/x", value=1)
    return await calls.get(f"{B}/variables/x")


async def _overwrite_variable(calls: Calls) -> Any:
    await calls.put(f"{A}/variables/x", value=1, tags=["a"])
    await calls.put(f"{B}/variables/x", value=2)
    await calls.put(f"{B}/variables/x", value=3, overwrite=True)
    return [((found := await calls.get(f"{scope}/variables/x"))["value"], found["tags"]) for scope in (A, B)]


async def _delete_variable(calls: Calls) -> Any:
    await calls.put(f"{A}/variables/x", value=1)
    await calls.put(f"{B}/variables/x", value=2)
    return await calls.delete(f"{B}/variables/x"), await calls.delete(f"{B}/variables/x"), (await calls.get(f"{A}/variables/x"))["value"]


async def _list_variables(calls: Calls) -> Any:
    for name in ("y", "x"):
        await calls.put(f"{B}/variables/{name}", value=0)
        await calls.put(f"{A}/variables/{name}", value=0)
    asked = ["", "?namespace=a", "?namespace=b&namespace=a&name=y", "?namespace=c"]
    lists = [(await calls.get(f"{API}/variables{query}"))["items"] for query in asked]
    return [[f"{each['namespace']}/{each['name']}" for each in items] for items in lists]


async def _page_variables(calls: Calls) -> Any:
    for scope in (B, A):
        for name in ("one", "two"):
            await calls.put(f"{scope}/variables/{name}", value=0)
    found, cursor = [], ""
    while True:
        page = await calls.get(f"{API}/variables?limit=1{cursor}")
        found += [f"{each['namespace']}/{each['name']}" for each in page["items"]]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


async def _limit_numbers(calls: Calls) -> Any:
    await calls.put(f"{A}/concurrency-limits/db", slots=1)
    await calls.put(f"{B}/concurrency-limits/db", slots=2)
    await calls.put(f"{B}/concurrency-limits/db", slots=3, overwrite=True)
    shown = [await calls.get(f"{scope}/concurrency-limits/db") for scope in (A, B)]
    listed = (await calls.get(f"{API}/concurrency-limits?namespace=b"))["items"]
    return [(each["namespace"], each["slots"]) for each in [*shown, *listed]]


async def _absent_limit(calls: Calls) -> Any:
    await calls.put(f"{A}/concurrency-limits/db", slots=0)
    return (await calls.post(f"{B}/concurrency-leases", id=LEASE, names=["db"]))["missing"]


async def _slots(calls: Calls) -> Any:
    for scope in (A, B):
        await calls.put(f"{scope}/concurrency-limits/db", slots=1)
    asked = [(A, LEASE), (B, OTHER), (A, OTHER), (B, LEASE)]
    return [(await calls.post(f"{scope}/concurrency-leases", id=lease, names=["db"]))["granted"] for scope, lease in asked]


async def _same_lease_id(calls: Calls) -> Any:
    """The holder in `a` repeats its request, as all do: it still holds; the same id in `b` waits behind another."""
    for scope in (A, B):
        await calls.put(f"{scope}/concurrency-limits/db", slots=1)
    asked = [(A, LEASE), (B, OTHER), (B, LEASE), (A, LEASE), (B, LEASE)]
    granted = [(await calls.post(f"{scope}/concurrency-leases", id=lease, names=["db"]))["granted"] for scope, lease in asked]
    shown = await calls.get(f"{B}/concurrency-limits/db")
    return granted, shown["held"], shown["waiting"]


async def _line(calls: Calls) -> Any:
    """Two wait in `a`, so the third there has its turn after them; the first in `b` is next."""
    for scope in (A, B):
        await calls.put(f"{scope}/concurrency-limits/db", slots=1)
        await calls.post(f"{scope}/concurrency-leases", id=LEASE, names=["db"])
    waits = [(A, "1"), (A, "2"), (A, "3"), (B, "4")]
    turns = [(await calls.post(f"{scope}/concurrency-leases", id=digit * 32, names=["db"]))["turns"] for scope, digit in waits]
    shown = [(await calls.get(f"{scope}/concurrency-limits/db"))["waiting"] for scope in (A, B)]
    return turns, shown


async def _holders(calls: Calls) -> Any:
    for scope in (A, B):
        await calls.put(f"{scope}/concurrency-limits/db", slots=3)
    await calls.post(f"{A}/concurrency-leases", id=LEASE, names=["db"], slots=2, who="one in a")
    await calls.post(f"{B}/concurrency-leases", id=OTHER, names=["db"], who="one in b")
    items = (await calls.get(f"{API}/concurrency-limits"))["items"]
    return [(each["namespace"], each["held"], [lease["who"] for lease in each["leases"]]) for each in items]


async def _renewal(calls: Calls) -> Any:
    await calls.put(f"{A}/concurrency-limits/db", slots=1)
    await calls.put(f"{B}/concurrency-limits/db", slots=1)
    await calls.post(f"{A}/concurrency-leases", id=LEASE, names=["db"], seconds=60)
    before = (await calls.get(f"{A}/concurrency-limits/db"))["leases"][0]["expires"]
    renewed = (await calls.post(f"{B}/concurrency-leases/renewals", leases=[LEASE], seconds=80000))["leases"]
    unchanged = (await calls.get(f"{A}/concurrency-limits/db"))["leases"][0]["expires"] == before
    return renewed, unchanged, (await calls.post(f"{A}/concurrency-leases/renewals", leases=[LEASE]))["leases"] == [LEASE]


async def _release(calls: Calls) -> Any:
    for scope in (A, B):
        await calls.put(f"{scope}/concurrency-limits/db", slots=1)
        await calls.post(f"{scope}/concurrency-leases", id=LEASE, names=["db"])
    released = (await calls.api.delete(f"{B}/concurrency-leases/{LEASE}")).json()["leases"] == [LEASE]
    again = (await calls.api.delete(f"{B}/concurrency-leases/{LEASE}")).json()["leases"]
    return released, again, [(await calls.get(f"{scope}/concurrency-limits/db"))["held"] for scope in (A, B)]


async def _delete_limit(calls: Calls) -> Any:
    """Deleting a limit ends the waits for it, and only those."""
    for scope in (A, B):
        await calls.put(f"{scope}/concurrency-limits/db", slots=1)
        for lease in (LEASE, OTHER):
            await calls.post(f"{scope}/concurrency-leases", id=lease, names=["db"])
    deleted = await calls.delete(f"{B}/concurrency-limits/db"), await calls.delete(f"{B}/concurrency-limits/db")
    found = await calls.get(f"{A}/concurrency-limits/db")
    return deleted, found["held"], found["waiting"]


async def _rates(calls: Calls) -> Any:
    """All slots of the rate in `a` are taken for a long time; those in `b` are free at once."""
    for scope in (A, B):
        await calls.put(f"{scope}/concurrency-limits/r", slots=1, decay_per_second=0.001)
    reserved = [await calls.post(f"{scope}/concurrency-limits/reservations", names=["r"], longest_seconds=1) for scope in (A, A, B)]
    held = [round((await calls.get(f"{scope}/concurrency-limits/r"))["held"]) for scope in (A, B)]
    return [each["granted"] for each in reserved], held


async def _overwritten_rate(calls: Calls) -> Any:
    for scope in (A, B):
        await calls.put(f"{scope}/concurrency-limits/r", slots=5, decay_per_second=0.001)
        await calls.post(f"{scope}/concurrency-limits/reservations", names=["r"], slots=3)
    await calls.put(f"{B}/concurrency-limits/r", slots=9, decay_per_second=0.5, overwrite=True)
    found = await calls.get(f"{A}/concurrency-limits/r")
    return found["slots"], found["decay_per_second"], round(found["held"])


#: kind, what is done, what a user sees.
ISOLATED: dict[str, tuple[Callable[[Calls], Any], Any]] = {
    "variables of the same name have values of their own": (_read_variables, ["of a", "of b"]),
    "a variable is absent in another namespace": (_read_absent_variable, None),
    "overwriting a variable changes no other": (_overwrite_variable, [(1, ["a"]), (3, [])]),
    "deleting a variable deletes no other": (_delete_variable, (200, 404, 1)),
    "lists show all namespaces, or those requested": (_list_variables, [["a/x", "a/y", "b/x", "b/y"], ["a/x", "a/y"], ["a/y", "b/y"], []]),
    "pages continue in the next namespace": (_page_variables, ["a/one", "a/two", "b/one", "b/two"]),
    "limits of the same name have slots of their own": (_limit_numbers, [("a", 1), ("b", 3), ("b", 3)]),
    "a limit of no slots holds up no other namespace": (_absent_limit, ["db"]),
    "slots that are held in one are free in the other": (_slots, [True, True, False, False]),
    "the same id of a lease is two leases": (_same_lease_id, ([True, True, False, True, False], 1, 1)),
    "places in line are counted in each": (_line, ([0, 1, 2, 0], [3, 1])),
    "holders are shown with their own limit": (_holders, [("a", 2, ["one in a"]), ("b", 1, ["one in b"])]),
    "a lease is not renewed through another's path": (_renewal, ([], True, True)),
    "a lease is not released through another's path": (_release, (True, [], [1, 0])),
    "deleting a limit does not affect callers that wait for another": (_delete_limit, ((200, 404), 1, 1)),
    "a rate's slots are counted in each": (_rates, ([True, False, True], [1, 1])),
    "changing a rate frees no slots of another": (_overwritten_rate, (5, 0.001, 3)),
}


@pytest.mark.parametrize(("do", "seen"), ISOLATED.values(), ids=ISOLATED)
async def test_the_same_name_in_two_namespaces_means_two_things(api: httpx.AsyncClient, do: Callable[[Calls], Any], seen: Any) -> None:
    assert await do(Calls(api)) == seen


#: kind, method, path, body, status.
REFUSED: dict[str, tuple[str, str, dict[str, Any] | None, int]] = {
    "a namespace in capitals": ("PUT", f"{API}/namespaces/A/variables/x", {"value": 1}, 422),
    "a namespace with a dot": ("PUT", f"{API}/namespaces/a.b/concurrency-limits/x", {"slots": 1}, 422),
    "a namespace of 64 characters": ("PUT", f"{API}/namespaces/{'a' * 64}/variables/x", {"value": 1}, 422),
    "a namespace that ends with a dash": ("PUT", f"{API}/namespaces/a-/variables/x", {"value": 1}, 422),
    "a namespace with NUL": ("GET", f"{API}/namespaces/a%00/variables/x", None, 422),
    "a slash in a limit's name": ("PUT", f"{A}/concurrency-limits/cluster%2Fdb", {"slots": 1}, 404),
    "a variable without a namespace": ("PUT", f"{API}/variables/x", {"value": 1}, 404),
    "a lease without a namespace": ("POST", f"{API}/concurrency-leases", {"id": LEASE, "names": ["db"]}, 404),
    "a list in a path": ("GET", f"{A}/variables", None, 404),
    "a list by name alone": ("GET", f"{API}/variables?sort=name", None, 400),
}


@pytest.mark.parametrize(("method", "path", "body", "status"), REFUSED.values(), ids=REFUSED)
async def test_what_belongs_to_no_namespace_is_refused(
    api: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    answer = await api.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await api.get(f"{API}/variables")).json()["items"] == []
    assert (await api.get(f"{API}/concurrency-limits")).json()["items"] == []


async def test_a_run_takes_slots_in_its_own_namespace_only(api: httpx.AsyncClient) -> None:
    """A lease that names a run of another namespace would end with that run."""
    calls = Calls(api)
    await calls.post(f"{API}/flow-runs/{RUN_IN_A}/reports", **report(namespace="a"))
    for scope in (A, B):
        await calls.put(f"{scope}/concurrency-limits/db", slots=1)
    wish = {"id": LEASE, "names": ["db"], "flow_run": RUN_IN_A}
    foreign = await api.post(f"{B}/concurrency-leases", json=wish)
    assert (foreign.status_code, foreign.json()["detail"]) == (
        422,
        f"flow run {RUN_IN_A} does not belong to namespace b: request slots in its own",
    )
    assert (await calls.get(f"{B}/concurrency-limits/db"))["leases"] == []
    assert (await calls.post(f"{A}/concurrency-leases", **wish))["granted"]


async def test_a_pause_has_the_namespace_of_its_run(api: httpx.AsyncClient) -> None:
    """Stated by the process until history knows the run; then another one is refused."""
    calls, uid = Calls(api), str(uuid.uuid4())
    run = f"{API}/flow-runs/{uid}"
    unknown = await api.put(f"{run}/pauses/p", json={"attempt": 1})
    assert (unknown.status_code, unknown.json()["detail"]) == (422, f"flow run {uid} is not known yet: state its namespace")
    assert (await api.put(f"{run}/pauses/p", json={"attempt": 1, "namespace": "A b"})).status_code == 422
    assert (await calls.put(f"{run}/pauses/p", attempt=1, namespace="a"))["namespace"] == "a"
    await calls.post(f"{run}/reports", **report(namespace="b"))
    assert (await calls.put(f"{run}/pauses/p", attempt=1))["namespace"] == "b"
    refused = await api.put(f"{run}/pauses/p", json={"attempt": 1, "namespace": "a"})
    assert (refused.status_code, refused.json()["detail"]) == (422, f"flow run {uid} belongs to another namespace than 'a'")
    assert [(each["namespace"], each["key"]) for each in (await calls.get(f"{run}/pauses"))["items"]] == [("b", "p")]


async def test_runs_of_the_same_name_have_pauses_of_their_own(api: httpx.AsyncClient) -> None:
    """The pauses of the run that its namespace and name lead to."""
    calls = Calls(api)
    for namespace in ("a", "b"):
        uid = str(uuid.uuid4())
        await calls.post(f"{API}/flow-runs/{uid}/reports", **report(namespace=namespace))
        await calls.put(f"{API}/flow-runs/{uid}/pauses/{namespace}-waits", attempt=1, namespace=namespace)
    found = [await calls.get(f"{scope}/flow-runs/run") for scope in (A, B)]
    waits = [(await calls.get(f"{API}/flow-runs/{run['uid']}/pauses"))["items"] for run in found]
    assert [[(each["namespace"], each["key"]) for each in items] for items in waits] == [[("a", "a-waits")], [("b", "b-waits")]]


class OnlyNamespaceA:
    """Everybody may do everything in namespace `a`, and nothing elsewhere."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    async def authenticate(self, request: object) -> Principal:
        del request
        return ANONYMOUS

    async def allows(self, principal: Principal, permission: Permission, namespace: str | None) -> bool:
        del principal
        self.asked.append((f"{permission.verb} {permission.resource}", namespace))
        return namespace == "a"


RUN = f"{API}/flow-runs/{RUN_IN_A}"
IN_B = str(uuid.UUID(int=11))
WISH = {"id": LEASE, "names": ["db"]}
#: kind, method, path, body, the required permission, in which namespace.
ASKED: dict[str, tuple[str, str, dict[str, Any] | None, str, str | None]] = {
    "a variable": ("GET", f"{A}/variables/x", None, "get variables", "a"),
    "another's variable": ("GET", f"{B}/variables/x", None, "get variables", "b"),
    "setting a variable": ("PUT", f"{B}/variables/x", {"value": 1}, "update variables", "b"),
    "deleting a variable": ("DELETE", f"{B}/variables/x", None, "delete variables", "b"),
    "all variables": ("GET", f"{API}/variables", None, "list variables", None),
    "the variables of a namespace": ("GET", f"{API}/variables?namespace=a", None, "list variables", "a"),
    "the variables of two namespaces": ("GET", f"{API}/variables?namespace=a&namespace=b", None, "list variables", "b"),
    "a limit": ("GET", f"{B}/concurrency-limits/db", None, "get concurrencylimits", "b"),
    "making a limit": ("PUT", f"{B}/concurrency-limits/db", {"slots": 1}, "update concurrencylimits", "b"),
    "deleting a limit": ("DELETE", f"{B}/concurrency-limits/db", None, "delete concurrencylimits", "b"),
    "all limits": ("GET", f"{API}/concurrency-limits", None, "list concurrencylimits", None),
    "slots": ("POST", f"{B}/concurrency-leases", WISH, "create concurrencyleases", "b"),
    "more time for slots": ("POST", f"{B}/concurrency-leases/renewals", {"leases": [LEASE]}, "update concurrencyleases", "b"),
    "releasing slots": ("DELETE", f"{B}/concurrency-leases/{LEASE}", None, "delete concurrencyleases", "b"),
    "a rate": ("POST", f"{B}/concurrency-limits/reservations", {"names": ["r"]}, "create concurrencylimits/reservations", "b"),
    "the pauses of a run": ("GET", f"{RUN}/pauses", None, "get flowruns", "a"),
    "the pauses of another's run": ("GET", f"{API}/flow-runs/{IN_B}/pauses", None, "get flowruns", "b"),
    "a pause": ("GET", f"{API}/flow-runs/{IN_B}/pauses/p", None, "get flowruns", "b"),
    "an answer": ("POST", f"{API}/flow-runs/{IN_B}/pauses/p/answer", {}, "create flowruns/suspend", "b"),
    "a pause of a run that is not known": ("GET", f"{API}/flow-runs/{uuid.UUID(int=5)}/pauses", None, "get flowruns", None),
    "a pause of an id that is not a uid": ("GET", f"{API}/flow-runs/nonsense/pauses", None, "get flowruns", None),
    "the next attempt of another's run": ("POST", f"{API}/flow-runs/{IN_B}/attempts", {}, "create flowruns/reports", "b"),
}


@pytest.mark.parametrize(("method", "path", "body", "permission", "namespace"), ASKED.values(), ids=ASKED)
async def test_a_request_needs_its_permission_in_the_namespace_of_what_it_concerns(
    api: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None, permission: str, namespace: str | None
) -> None:
    """What concerns no known namespace needs it in all of them."""
    calls = Calls(api)
    for uid, of in ((RUN_IN_A, "a"), (IN_B, "b")):
        await calls.post(f"{API}/flow-runs/{uid}/reports", **report(namespace=of))
    rule = OnlyNamespaceA()
    api.app.state.authenticator = api.app.state.authorizer = rule  # type: ignore[attr-defined]
    answer = await api.request(method, path, json=body)
    assert rule.asked[-1] == (permission, namespace)
    assert (answer.status_code == 403) is (namespace != "a"), answer.text
    if namespace != "a":
        assert answer.json()["detail"].endswith(f"in namespace {namespace}" if namespace else "in all namespaces")
