"""Listing and watching, against a scripted server on a clock that jumps."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from mintaka_kubernetes import FLOW_RUNS, OPENED, ClusterAway, ClusterRefusal, Informer, NoCluster, Unreadable
from mintaka_kubernetes.client import MalformedAnswer
from mintaka_kubernetes.decoding import decode_event, decode_page
from mintaka_kubernetes.informer import STALLED_SECONDS
from poison import event, flow_run_json, nested, page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from jumping import Clock
    from mintaka_kubernetes import Document, Page


class Gap:
    """Seconds of silence within a watch."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


def run_at(name: str, version: int | str) -> bytes:
    """A flow run of a version."""
    return flow_run_json(name, "{}").replace(b'"resourceVersion": "7"', f'"resourceVersion": "{version}"'.encode())


def added(name: str, version: int | str) -> dict[str, Any]:
    """An event of a watch."""
    return decode_event(event("MODIFIED", run_at(name, version)))


def listed(version: int | str, *names: str) -> bytes:
    """A list of one page, of objects in version 5."""
    return page(*(run_at(name, 5) for name in names), version=str(version))


def error_event(code: int, **details: Any) -> dict[str, Any]:
    """What a server sends before it ends a watch."""
    return {"type": "ERROR", "object": {"kind": "Status", "code": code, "reason": "Expired", "message": "too old", "details": details}}


EXPIRED = ClusterRefusal(410, "Gone", "too old")
REFUSED = ClusterRefusal(403, "Forbidden", "flowruns.mintaka.dev is forbidden")
MALFORMED = MalformedAnswer("<html>")
BUG = RuntimeError("a bug")


class Server:
    """Answers lists and watches from a script: a list of pages, a list of events, or an exception; after its end it hangs."""

    def __init__(self, clock: Clock, *steps: Any) -> None:
        self.clock = clock
        self.steps = list(steps)
        self.asked: list[str] = []
        self.times: list[float] = []
        self.allowed: Callable[[], bool] = lambda: True
        self.over = asyncio.Event()

    async def may_list(self, _resource: Any, _namespace: str) -> bool:
        self._ask("may list")
        return self.allowed()

    async def list_pages(self, _path: str, _query: Any = None, *, page_size: int, typed: bool = False) -> AsyncIterator[Page]:
        assert page_size == 100
        self._ask("list")
        step = await self._step()
        for body in [step] if isinstance(step, bytes) else step:
            if isinstance(body, Exception):
                raise body
            yield decode_page(body, typed=typed)

    async def watch(self, _path: str, version: str, **_: Any) -> AsyncIterator[dict[str, Any]]:
        self._ask(f"watch {version}")
        step = await self._step()
        yield {"type": OPENED}
        for each in step:
            if isinstance(each, Gap):
                await asyncio.sleep(each.seconds)
            elif isinstance(each, Exception):
                raise each
            else:
                yield each

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        self.times.append(self.clock.now())

    async def _step(self) -> Any:
        if not self.steps:
            self.over.set()
            await asyncio.sleep(10**9)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step.with_traceback(None)
        return step

    @property
    def waits(self) -> list[float]:
        """The seconds between two requests."""
        return [round(later - earlier, 2) for earlier, later in zip(self.times, self.times[1:], strict=False)]


class Notes:
    """A handler that writes down what it is called with."""

    def __init__(self, **known: str) -> None:
        self.calls: list[str] = []
        self.known_versions = known
        self.fails: dict[str, Exception] = {}
        self.unready_seconds = 0.0

    async def known(self) -> dict[str, str]:
        return dict(self.known_versions)

    async def ready(self) -> None:
        await asyncio.sleep(self.unready_seconds)

    def present(self, document: Document) -> None:
        self._note("+", document)

    def gone(self, document: Document) -> None:
        self._note("-", document)

    def vanished(self, uids: Collection[str]) -> None:
        self.calls.append(f"?{','.join(sorted(uids))}")

    def unreadable(self, found: Unreadable) -> None:
        self._note(f"!{found.reason} ", found.document)

    def _note(self, mark: str, document: Document) -> None:
        name = document["metadata"]["name"]
        self.calls.append(f"{mark}{name}")
        if error := self.fails.get(f"{mark}{name}"):
            raise error


def play(clock: Clock, notes: Notes, *steps: Any, namespace: str | None = None, counts: list[str] | None = None) -> tuple[Server, Informer]:
    """Run an informer until the script is over."""
    server = Server(clock, *steps)
    informer = Informer(server, FLOW_RUNS, namespace, notes, count=(counts if counts is not None else []).append)

    async def story() -> None:
        running = asyncio.create_task(informer.run())
        await server.over.wait()
        assert not running.done()
        running.cancel()

    clock.run(story())
    return server, informer


class TestListingAndWatching:
    def test_a_list_is_followed_by_a_watch_from_its_version(self, clock: Clock) -> None:
        """Pages are read to the end; a watch that ends is resumed where it stopped, bookmarks included."""
        events = [
            added("c", 11),
            added("a", 12),
            decode_event(event("DELETED", run_at("b", 13))),
            decode_event(event("BOOKMARK", run_at("", 20))),
        ]
        notes = Notes()
        server, informer = play(clock, notes, [page(run_at("a", 1), next_page="more"), page(run_at("b", 2))], events, [])
        assert server.asked == ["list", "watch 10", "watch 20", "watch 20"]
        assert notes.calls == ["+a", "+b", "+c", "+a", "-b"]
        assert informer.synced.is_set()
        assert informer.settled.is_set()
        assert informer.problem == ""

    def test_what_was_known_and_is_not_listed_has_vanished(self, clock: Clock) -> None:
        """Said after the list; what is listed in the known version is not presented again."""
        notes = Notes(**{"uid-a": "5", "uid-b": "4", "uid-x": "9", "uid-y": "9"})
        play(clock, notes, listed(10, "a", "b", "c"))
        assert notes.calls == ["+b", "+c", "?uid-x,uid-y"]

    @pytest.mark.parametrize("expiry", [[error_event(410)], EXPIRED], ids=["within the watch", "as its answer"])
    def test_an_expired_watch_leads_to_a_new_list(self, clock: Clock, expiry: Any) -> None:
        """410, in either form."""
        notes = Notes(**{"uid-b": "5"})
        server, _ = play(clock, notes, listed(10, "a", "b"), expiry, listed(30, "a"), [])
        assert server.asked == ["list", "watch 10", "list", "watch 30", "watch 30"]
        assert notes.calls == ["+a", "+a", "?uid-b"]

    def test_a_list_that_expires_between_its_pages_begins_anew(self, clock: Clock) -> None:
        """Nothing vanishes by half a list."""
        notes = Notes(**{"uid-b": "5"})
        server, _ = play(clock, notes, [page(run_at("a", 1), next_page="more"), EXPIRED], listed(11, "a", "b"))
        assert server.asked == ["list", "list", "watch 11"]
        assert notes.calls == ["+a", "+a"]

    def test_pages_wait_until_the_handler_is_ready(self, clock: Clock) -> None:
        """However long that takes: it has not stalled."""
        notes = Notes()
        notes.unready_seconds = 1000.0
        begin = clock.now()
        _, informer = play(clock, notes, [page(run_at("a", 1), next_page="more"), page(run_at("b", 2))])
        assert clock.now() - begin == 2000.0
        assert not informer.stalled

    def test_what_is_forgotten_is_listed_again(self, clock: Clock) -> None:
        """As at the beginning."""
        _, informer = play(clock, Notes(), listed(10))
        informer.forget()
        assert (informer.synced.is_set(), informer.settled.is_set(), informer.problem) == (False, False, "not listed yet")


class TestPatience:
    @pytest.mark.parametrize(
        "failure",
        [
            ClusterAway("no route"),
            NoCluster("no kubeconfig"),
            ClusterRefusal(500, "InternalError", "etcd"),
            [error_event(500)],
            [],
            EXPIRED,
            MALFORMED,
            BUG,
        ],
        ids=lambda failure: str(failure)[:30],
    )
    def test_whatever_fails_again_and_again_is_tried_again_with_growing_waits(self, clock: Clock, failure: Any) -> None:
        """Thousands of times; at most ten seconds apart, and never in a tight loop. Also watches that end at once."""
        round_ = [listed(10), failure] if failure in (EXPIRED, MALFORMED, BUG) else [failure]
        last = [listed(10), [added("a", 11)]] if len(round_) > 1 else [[added("a", 11)]]
        server, informer = play(clock, Notes(), listed(10), failure, *round_ * 1500, *last)
        waits = [wait for wait in server.waits if wait]
        assert waits[0] < 0.3
        assert waits[1] > waits[0]
        assert all(7.9 < wait < 12.1 for wait in waits[10:])
        assert informer.problem == ""

    def test_a_watch_that_stood_for_a_while_is_resumed_at_once(self, clock: Clock) -> None:
        """Servers end watches after minutes: nothing is wrong with that."""
        server, _ = play(clock, Notes(), listed(10), *[[Gap(300)]] * 20)
        assert all(wait < 300.3 for wait in server.waits)

    @pytest.mark.parametrize(
        "failure",
        [ClusterRefusal(429, "TooManyRequests", "slow down", 77.0), [error_event(503, retryAfterSeconds=77)]],
        ids=["header", "status"],
    )
    def test_retry_after_is_obeyed(self, clock: Clock, failure: Any) -> None:
        """As the server asks in an answer's header or a watch's error."""
        server, _ = play(clock, Notes(), listed(10), failure)
        assert server.waits == [0.0, 77.0]

    @pytest.mark.parametrize(
        "failure",
        [
            ClusterRefusal(503, "", "maintenance", 86_400.0),
            ClusterRefusal(429, "TooManyRequests", "slow down", float("inf")),
            [error_event(503, retryAfterSeconds=10**400)],
            [error_event(503, retryAfterSeconds=86_400)],
        ],
        ids=["header", "endless", "endless status", "status"],
    )
    def test_no_more_than_two_minutes_are_waited(self, clock: Clock, failure: Any) -> None:
        """A watch that is away for a day is an outage."""
        server, _ = play(clock, Notes(), listed(10), failure)
        assert server.waits == [0.0, 120.0]

    @pytest.mark.parametrize("seconds", ["soon", "77", -5, 0, None, [77]])
    def test_a_wait_that_is_not_a_number_is_ignored(self, clock: Clock, seconds: Any) -> None:
        """The error of a watch is handled all the same."""
        server, informer = play(clock, Notes(), listed(10), [error_event(410, retryAfterSeconds=seconds)], listed(10))
        assert server.asked == ["list", "watch 10", "list", "watch 10"]
        assert informer.problem == ""

    def test_the_problem_says_what_fails_and_goes_when_it_works(self, clock: Clock) -> None:
        """It is written for /readyz."""
        server, informer = play(clock, Notes(), ClusterAway("no route"))
        assert informer.problem == "/apis/mintaka.dev/v1alpha1/flowruns cannot be listed: 0 Unreachable: no route"
        assert not informer.synced.is_set()
        assert server.asked == ["list", "list"]

    def test_what_fails_in_the_same_way_is_logged_once(self, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        """A night of it does not fill the disk."""
        with caplog.at_level(logging.WARNING):
            play(clock, Notes(), listed(10), *[ClusterAway("no route")] * 100)
        assert [record.message for record in caplog.records].count(
            "/apis/mintaka.dev/v1alpha1/flowruns cannot be watched: 0 Unreachable: no route; trying again"
        ) == 1


class TestNamespaces:
    def test_a_namespace_in_which_it_may_not_list_is_asked_about_and_not_listed(self, clock: Clock) -> None:
        """Not one request is refused; it settles, since waiting longer may be waiting for ever; once there is a Role, it is served."""
        notes = Notes()
        server = Server(clock, listed(10, "a"))
        begin = clock.now()
        server.allowed = lambda: clock.now() - begin > 3600
        informer = Informer(server, FLOW_RUNS, "gone", notes)

        async def story() -> None:
            running = asyncio.create_task(informer.run())
            await informer.settled.wait()
            assert informer.refused
            assert not informer.synced.is_set()
            assert "no right to list flowruns in namespace gone" in informer.problem
            await asyncio.sleep(1800)
            assert not informer.stalled
            assert set(server.asked) == {"may list"}
            assert max(server.waits) < 37
            assert min(server.waits[8:]) > 23
            await server.over.wait()
            running.cancel()

        clock.run(story())
        assert notes.calls == ["+a"]
        assert (informer.refused, informer.problem) == (False, "")

    def test_a_namespace_that_goes_is_asked_about_before_it_is_watched_again(self, clock: Clock) -> None:
        """Its Role goes with it: no request of an informer is refused, and it is served again when it comes back."""
        notes = Notes()
        server = Server(clock, listed(10, "a"), [added("b", 11)], [added("c", 12)])
        server.allowed = lambda: len(server.asked) < 4 or len(server.asked) > 20
        informer = Informer(server, FLOW_RUNS, "team", notes)

        async def story() -> None:
            running = asyncio.create_task(informer.run())
            await server.over.wait()
            running.cancel()

        clock.run(story())
        assert server.asked[:3] == ["may list", "list", "watch 10"]
        assert set(server.asked[3:20]) == {"may list"}
        assert server.asked[20:] == ["may list", "watch 11", "may list", "watch 12"]
        assert notes.calls == ["+a", "+b", "+c"]

    @pytest.mark.parametrize("refusal", [REFUSED, ClusterRefusal(404, "NotFound", "the server could not find the requested resource")])
    def test_a_refusal_settles_it_as_well(self, clock: Clock, refusal: ClusterRefusal) -> None:
        """A Role may go between the question and the list; a CRD may not be there yet."""
        server, informer = play(clock, Notes(), *[refusal] * 20)
        assert informer.settled.is_set()
        assert informer.refused
        assert not informer.stalled
        assert 23 < server.waits[-1] < 37


class TestDeafness:
    def test_an_informer_that_never_lists_has_stalled(self, clock: Clock) -> None:
        """Its process must not pass for healthy."""
        _, informer = play(clock, Notes(), *[ClusterAway("no route")] * 40)
        assert informer.stalled

    def test_a_watch_in_which_nothing_comes_has_stalled(self, clock: Clock) -> None:
        """Bookmarks would come once a minute."""
        server = Server(clock, listed(10), [Gap(STALLED_SECONDS - 1), added("a", 11), Gap(10**6)])
        informer = Informer(server, FLOW_RUNS, None, Notes())
        assert not informer.stalled

        async def story() -> None:
            running = asyncio.create_task(informer.run())
            await asyncio.sleep(STALLED_SECONDS)
            assert not informer.stalled
            await asyncio.sleep(STALLED_SECONDS)
            assert informer.stalled
            running.cancel()

        clock.run(story())


class TestUnreadableObjects:
    def test_they_are_reported_and_the_others_are_delivered(self, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        """In a list and in a watch; the watch goes on from their version. Each is logged once, and counted each time."""
        deep = flow_run_json("deep", nested(9000))
        notes, counts = Notes(), []
        events = [
            decode_event(event("ADDED", deep.replace(b'"7"', b'"11"'))),
            added("b", 12),
            decode_event(event("MODIFIED", deep.replace(b'"7"', b'"13"'))),
        ]
        with caplog.at_level(logging.WARNING):
            server, _ = play(clock, notes, page(run_at("a", 1), deep, run_at("c", 1)), events, counts=counts)
        assert notes.calls == ["+a", "!TooDeep deep", "+c", "!TooDeep deep", "+b", "!TooDeep deep"]
        assert server.asked[-1] == "watch 13"
        assert counts.count("unreadable") == 3
        (logged,) = [record.message for record in caplog.records if "ns/deep" in record.message]
        assert "(TooDeep): spec.parameters is nested more than 100 levels deep" in logged

    def test_one_that_is_deleted_is_gone(self, clock: Clock) -> None:
        """Its last state has metadata and status."""
        notes = Notes()
        play(clock, notes, listed(10), [decode_event(event("DELETED", flow_run_json("deep", nested(9000))))])
        assert notes.calls == ["-deep"]

    @pytest.mark.parametrize(
        "error", [TypeError("Recursion limit reached"), RecursionError(), KeyError("metadata"), OverflowError(), MemoryError()]
    )
    def test_what_a_handler_raises_concerns_one_object(self, clock: Clock, caplog: pytest.LogCaptureFixture, error: Exception) -> None:
        """It is reported as unreadable, under its name; the handler may even fail at that."""
        notes, counts = Notes(), []
        notes.fails = {"+b": error, "!Unreadable b": error, "-c": error}
        events = [added("b", 11), decode_event(event("DELETED", run_at("c", 12))), added("d", 13)]
        server, informer = play(clock, notes, listed(10, "a", "b", "c"), events, counts=counts)
        assert notes.calls == ["+a", "+b", "!Unreadable b", "+c", "+b", "!Unreadable b", "-c", "+d"]
        assert server.asked == ["list", "watch 10", "watch 13"]
        assert informer.synced.is_set()
        assert counts.count("unreadable") == 3
        assert "ns/b" in caplog.text

    @pytest.mark.parametrize("call", ["known", "vanished"])
    def test_a_handler_that_fails_as_a_whole_is_asked_again(self, clock: Clock, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        """With a new list."""
        notes = Notes(**{"uid-x": "1"})
        works = getattr(notes, call)

        def fails_once(*_: Any) -> Any:
            monkeypatch.setattr(notes, call, works)
            raise RuntimeError

        monkeypatch.setattr(notes, call, fails_once)
        _, informer = play(clock, notes, *[listed(10, "a")] * (1 if call == "known" else 2))
        assert notes.calls[-2:] == ["+a", "?uid-x"]
        assert informer.problem == ""
