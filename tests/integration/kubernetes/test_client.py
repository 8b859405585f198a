"""The client and the informer against an API server on loopback."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from loopback_api_server import LoopbackApiServer, status
from mintaka_kubernetes import FLOW_RUNS, ApiError, Client, ClusterAway, ClusterRefusal, Informer, Unreadable
from mintaka_kubernetes.client import MalformedAnswer
from poison import LARGE_BYTES, event, flow_run_json, nested, poisons

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

pytestmark = pytest.mark.anyio
PATH = FLOW_RUNS.path(None)
POISONS = [flow_run_json(f"poison-{number}", parameters) for number, (parameters, _) in enumerate(poisons().values())]


@pytest.fixture
async def server() -> AsyncIterator[LoopbackApiServer]:
    """A server without objects."""
    async with LoopbackApiServer().running() as running:
        running.items[PATH] = []
        yield running


@pytest.fixture
async def client(server: LoopbackApiServer) -> AsyncIterator[Client]:
    """A client of it."""
    async with Client(server.credentials) as opened:
        yield opened


def good(number: int) -> bytes:
    """An ordinary flow run."""
    return flow_run_json(f"good-{number}", "{}")


def name(found: Any) -> str:
    """The name of an object, readable or not."""
    return str((found.document if isinstance(found, Unreadable) else found)["metadata"]["name"])


async def listed(client: Client, **options: Any) -> list[Any]:
    """All objects of a list."""
    return [found async for listed_page in client.list_pages(PATH, page_size=10, **options) for found in listed_page]


class Notes:
    """A handler that collects names."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.reasons: dict[str, str] = {}
        self._changed = asyncio.Event()

    async def heard(self, name: str) -> None:
        """Wait for an object."""
        while name not in self.names:
            self._changed.clear()
            await self._changed.wait()

    async def known(self) -> dict[str, str]:
        return {}

    async def ready(self) -> None:
        return

    def present(self, document: dict[str, Any]) -> None:
        self.names.append(document["metadata"]["name"])
        self._changed.set()

    def gone(self, document: dict[str, Any]) -> None:
        self.names.append(f"-{document['metadata']['name']}")

    def vanished(self, uids: Collection[str]) -> None:
        raise AssertionError(uids)

    def unreadable(self, found: Unreadable) -> None:
        self.reasons[found.document["metadata"]["name"]] = found.reason


async def test_every_poison_is_listed_between_ordinary_objects(server: LoopbackApiServer, client: Client) -> None:
    """In several pages."""
    server.items[PATH] = [raw for number, poison in enumerate(POISONS) for raw in (good(number), poison)]
    found = await listed(client)
    assert [name(each) for each in found] == [f"{kind}-{number}" for number in range(len(POISONS)) for kind in ("good", "poison")]
    assert [isinstance(each, Unreadable) for each in found] == [False, True] * len(POISONS)


async def test_every_poison_is_watched_between_ordinary_objects(server: LoopbackApiServer, client: Client) -> None:
    """In one stream."""
    server.lines[PATH] = [event("ADDED", raw) for number, poison in enumerate(POISONS) for raw in (good(number), poison)]
    found = []
    async for each in client.watch(PATH, "1", seconds=60):
        if each["type"] != "OPENED":
            found.append(each["object"])
        if len(found) == 2 * len(POISONS):
            break
    assert [isinstance(each, Unreadable) for each in found] == [False, True] * len(POISONS)


async def test_an_informer_delivers_all_others(server: LoopbackApiServer, client: Client) -> None:
    """What is listed and what is watched; each poison with its reason."""
    server.items[PATH] = [good(1), *POISONS[:12], good(2)]
    server.lines[PATH] = [event("ADDED", raw) for raw in (*POISONS[12:], good(3))]
    notes = Notes()
    running = asyncio.create_task(Informer(client, FLOW_RUNS, None, notes).run())
    async with asyncio.timeout(30):
        await notes.heard("good-3")
    running.cancel()
    assert notes.names == ["good-1", "good-2", "good-3"]
    assert notes.reasons == {f"poison-{number}": reason for number, (_, reason) in enumerate(poisons().values())}


async def test_one_object_is_read_and_written_however_it_is_made(server: LoopbackApiServer, client: Client) -> None:
    """Reading tells; a write that was accepted is not taken for a failure because of the object in its answer."""
    server.answer = lambda _request: web.Response(body=flow_run_json("deep", nested(9000)), content_type="application/json")
    found = await client.read(f"{PATH}/deep")
    assert isinstance(found, Unreadable)
    answer = await client.request("PATCH", f"{PATH}/deep", body=[])
    assert answer["metadata"]["name"] == "deep"


async def test_a_page_that_would_be_too_large_is_asked_for_in_smaller_ones(server: LoopbackApiServer, client: Client) -> None:
    """Each object once, in order; later pages are ordinary again."""
    large = [flow_run_json(f"large-{number}", f'{{"x":"{"y" * LARGE_BYTES}"}}') for number in range(30)]
    server.items[PATH] = [*large, *map(good, range(40))]
    found = [name(each) async for listed_page in client.list_pages(PATH, page_size=20) for each in listed_page]
    assert found == [*(f"large-{number}" for number in range(30)), *(f"good-{number}" for number in range(40))]
    assert "limit=20&continue=" in server.requests[-1]


@pytest.mark.parametrize(
    ("body", "error"),
    [(b"<html>no gateway</html>", MalformedAnswer), (b'{"items":', MalformedAnswer), (b'["x"]', MalformedAnswer)],
    ids=["HTML", "cut off", "a list"],
)
async def test_what_is_no_answer_of_an_api_server_is_said_so(
    server: LoopbackApiServer, client: Client, body: bytes, error: type[ApiError]
) -> None:
    """As an ApiError that may pass, never a ValueError."""
    server.answer = lambda _request: web.Response(body=body, content_type="application/json")
    with pytest.raises(error, match="cannot be decoded"):
        await listed(client)
    with pytest.raises(error, match="cannot be decoded") as raised:
        await client.request("GET", PATH)
    assert raised.value.transient


async def test_a_body_that_kubernetes_would_not_store_is_refused_before_it_is_sent(server: LoopbackApiServer, client: Client) -> None:
    """Integers of more than 64 bits, nesting beyond the encoder's limit."""
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    for body in ({"x": 2**64}, {"x": deep}, {"x": object()}):
        with pytest.raises(ClusterRefusal, match="is not JSON that Kubernetes stores") as raised:
            await client.request("POST", PATH, body=body)
        assert raised.value.code == 400
    assert server.requests == []


async def test_refusals_have_their_code_and_the_wait_the_server_asks_for(server: LoopbackApiServer, client: Client) -> None:
    """In lists, watches and single requests."""
    server.answer = lambda _request: status(429, **{"Retry-After": "7"})
    for attempt in (listed(client), client.request("GET", PATH), anext(client.watch(PATH, "1", seconds=9))):
        with pytest.raises(ClusterRefusal, match="said the server") as raised:
            await attempt
        assert (raised.value.code, raised.value.retry_after, raised.value.transient) == (429, 7.0, True)


async def test_a_server_that_is_away_is_said_so() -> None:
    """Connection refused."""
    async with LoopbackApiServer().running() as server:
        credentials = server.credentials
    async with Client(credentials) as client:
        with pytest.raises(ClusterAway, match="did not answer GET"):
            await client.request("GET", "/readyz")


async def test_a_watch_that_breaks_within_a_line_delivers_the_lines_before(server: LoopbackApiServer, client: Client) -> None:
    """And ends."""
    body = event("ADDED", good(1)) + event("ADDED", good(2))[:-30]
    server.answer = lambda _request: web.Response(body=body, content_type="application/json")
    found = [each["type"] async for each in client.watch(PATH, "1", seconds=60)]
    assert found == ["OPENED", "ADDED"]


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        (lambda: web.json_response({"status": {"allowed": True}}, status=201), True),
        (lambda: web.json_response({"status": {"allowed": False}}, status=201), False),
        (lambda: status(403), True),
        (lambda: status(404), True),
    ],
    ids=["allowed", "denied", "may not ask", "cannot answer"],
)
async def test_rights_are_asked_for(server: LoopbackApiServer, client: Client, answer: Any, allowed: bool) -> None:
    """If the server does not say, a list will tell."""
    server.answer = lambda _request: answer()
    assert await client.may_list(FLOW_RUNS, "team-a") is allowed


_MEMORY = """
import asyncio, resource, sys
from mintaka_kubernetes import FLOW_RUNS, Client, Credentials, Informer

class Handler:
    def __init__(self):
        self.kept = []
    async def known(self):
        return {}
    async def ready(self):
        pass
    def present(self, document):
        self.kept.append(document)
    def unreadable(self, found):
        self.kept.append(found.document)

async def main():
    handler = Handler()
    async with Client(Credentials(sys.argv[1])) as client:
        informer = Informer(client, FLOW_RUNS, None, handler)
        running = asyncio.create_task(informer.run())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await informer.synced.wait()
        while len(handler.kept) < int(sys.argv[2]):
            await asyncio.sleep(0.01)
        running.cancel()
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)

asyncio.run(main())
"""


async def test_hundreds_of_large_objects_take_little_memory(server: LoopbackApiServer) -> None:
    """200 of 1.4 MB listed and 100 more watched: less than a tenth of what they are, whichever the page size."""
    large = flow_run_json("large", f'{{"x":"{"y" * LARGE_BYTES}"}}')
    server.items[PATH] = [large] * 200
    server.lines[PATH] = [event("ADDED", large)] * 100
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _MEMORY, server.url, "300", stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert int(out) < 64
