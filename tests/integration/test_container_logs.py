"""Logs of containers in the log of their run: what the SDK did not deliver is readable when the pod is gone, each line once."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from api_testing import API, report, running
from mintaka_api.settings import Settings
from mintaka_history.batches import LINE_STEP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

pytestmark = pytest.mark.anyio
UID = "0190f5fe-0000-7000-8000-000000000008"
RUN = f"{API}/flow-runs/{UID}"
START = 1_790_000_000_000_000
#: START as the kubelet and the runner write it.
DAY = "2026-09-21T14:13:"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        yield client


def line(number: int, second: int, message: str, **members: Any) -> dict[str, Any]:
    """A line as the SDK delivers it."""
    return {"seq": number * LINE_STEP, "time": START + second * 1_000_000, "message": message, "logger": "etl", **members}


def printed(second: int, text: str) -> str:
    """A line as the kubelet gives it."""
    return f"{DAY}{20 + second:02}.000000000Z {text}\n"


def logged(second: int, message: str, level: str = "INFO") -> str:
    """A line that the runner printed."""
    return printed(second, f"{DAY}{20 + second:02}.000Z {level:<7} etl: {message}")


async def put(api: httpx.AsyncClient, text: str, container: str = "flow", attempt: int = 1, **members: Any) -> int:
    """Copy the log of a container; the status of the answer."""
    return (await api.put(f"{RUN}/attempts/{attempt}/container-logs/{container}", json={"text": text, **members})).status_code


async def lines(api: httpx.AsyncClient, **query: Any) -> list[str]:
    """The messages of the log, read in pages of three."""
    found: list[str] = []
    seqs: list[int] = []
    cursor = {}
    while True:
        page = (await api.get(f"{RUN}/logs", params={"limit": 3, **query, **cursor})).json()
        found += [each["message"] for each in page["items"]]
        seqs += [each["seq"] for each in page["items"]]
        if page["next"] is None:
            assert seqs == sorted(set(seqs))
            return found
        cursor = {"cursor": page["next"]}


async def test_what_was_not_delivered_is_in_the_log_in_order(api: httpx.AsyncClient) -> None:
    """Prints, the last lines of a process that died, with their logger and level; nothing twice."""
    await api.post(f"{RUN}/reports", json=report(logs=[line(1, 1, "one"), line(2, 3, "two\nlines")]))
    text = (
        printed(0, "starting")
        + logged(1, "one")
        + printed(2, "a print")
        + logged(3, "two")
        + printed(3, "lines")
        + logged(4, "lost", "WARNING")
        + printed(5, "Fatal Python error: Segmentation fault")
    )
    assert await put(api, text) == 204
    expected = ["starting", "one", "a print", "two\nlines", "lost", "Fatal Python error: Segmentation fault"]
    assert await lines(api) == expected
    items = (await api.get(f"{RUN}/logs")).json()["items"]
    assert [(each["logger"], each["level"]) for each in items] == [
        ("container/flow", 20),
        ("etl", 20),
        ("container/flow", 20),
        ("etl", 20),
        ("container/flow", 30),
        ("container/flow", 20),
    ]
    assert (await api.get(f"{RUN}/logs", params={"after": items[1]["seq"], "level": 30})).json()["items"] == [items[4]]


async def test_the_same_log_twice_is_stored_once(api: httpx.AsyncClient) -> None:
    """A longer one adds to it, and nothing is deleted."""
    await api.post(f"{RUN}/reports", json=report(logs=[line(1, 1, "one")]))
    text = printed(0, "starting") + logged(1, "one") + printed(2, "working")
    for _ in range(3):
        assert await put(api, text) == 204
    assert await lines(api) == ["starting", "one", "working"]
    assert await put(api, text + printed(3, "done")) == 204
    assert await lines(api) == ["starting", "one", "working", "done"]
    assert await put(api, "") == 204
    assert await lines(api) == ["starting", "one", "working", "done"]


@pytest.mark.parametrize("delivered", [(), (2, 4)], ids=["plain containers", "beside lines of the SDK"])
async def test_containers_of_a_pod_are_merged_by_time(api: httpx.AsyncClient, delivered: tuple[int, ...]) -> None:
    """In whatever order they are copied; copying one again leaves the others."""
    await api.post(f"{RUN}/reports", json=report(logs=[line(n, n, f"line {n}") for n in delivered]))
    texts = {
        "flow": printed(1, "flow 1") + printed(3, "flow 3") + printed(6, "flow 6"),
        "sidecar": printed(2, "sidecar 2") + printed(5, "sidecar 5"),
        "init-1": printed(0, "init 0"),
    }
    expected = ["init 0", "flow 1", *["line 2"] * (2 in delivered), "sidecar 2", "flow 3", *["line 4"] * (4 in delivered)]
    expected += ["sidecar 5", "flow 6"]
    for container, text in texts.items():
        await put(api, text, container)
    assert await lines(api) == expected
    await put(api, texts["flow"] + printed(7, "flow 7"))
    assert await lines(api) == [*expected, "flow 7"]


async def test_what_the_sdk_delivers_late_replaces_its_copy(api: httpx.AsyncClient) -> None:
    """The next pod brings what this one could not."""
    await api.post(f"{RUN}/reports", json=report(logs=[line(1, 1, "one")]))
    await put(api, logged(1, "one") + logged(2, "two", "WARNING") + printed(2, "more of it") + printed(3, "a print"))
    assert await lines(api) == ["one", "two", "more of it", "a print"]
    late = report(2, logs=[line(2, 2, "two\nmore of it", level=30)])
    assert (await api.post(f"{RUN}/reports", json=late, params={"late": True})).status_code == 200
    assert await lines(api) == ["one", "two\nmore of it", "a print"]


async def numbers(api: httpx.AsyncClient) -> dict[str, list[int]]:
    """The numbers of the lines by message."""
    found: dict[str, list[int]] = {}
    for each in (await api.get(f"{RUN}/logs", params={"limit": 1000})).json()["items"]:
        found.setdefault(each["message"], []).append(each["seq"])
    return found


async def test_a_line_keeps_its_number_for_ever(api: httpx.AsyncClient) -> None:
    """For each kind of later copy: the same log, a longer one, other containers, one whose beginning is gone."""
    await api.post(f"{RUN}/reports", json=report(logs=[line(n, 10 * n, f"line {n}") for n in (1, 2)]))
    first = printed(0, "starting") + logged(10, "line 1") + printed(11, "again") + printed(12, "again") + logged(20, "line 2")
    last = printed(21, "a print") + printed(22, "again")
    sidecar = printed(9, "envoy") + printed(11, "again") + printed(15, "envoy") + printed(21, "envoy")
    known: dict[str, list[int]] = {}
    texts = [("flow", first), ("sidecar", sidecar), ("flow", first + last), ("init", printed(1, "init")), ("sidecar", sidecar)]
    texts += [("flow", "".join((first + last).splitlines(keepends=True)[3:]) + printed(23, "end")), ("flow", first + last)]
    for container, text in texts:
        assert await put(api, text, container, truncated="starting" not in text and container == "flow") == 204
        seen = await numbers(api)
        assert {message: seqs for message, seqs in seen.items() if not set(known.get(message, ())) <= set(seqs)} == {}
        known = seen
    assert await lines(api) == [
        *("starting", "init", "envoy", "line 1", "again", "again", "again", "envoy", "line 2", "envoy", "a print", "again", "end"),
    ]


async def test_what_the_sdk_delivers_late_takes_the_number_of_its_copy(api: httpx.AsyncClient) -> None:
    """With its own logger and task run; repeated, it is stored once; a line that was never copied has its own number."""
    await api.post(f"{RUN}/reports", json=report(logs=[line(1, 1, "one")]))
    await put(api, logged(1, "one") + logged(2, "two", "WARNING") + printed(2, "more of it") + logged(3, "two", "WARNING"))
    before = await numbers(api)
    late = [line(2, 2, "two\nmore of it", level=30, n=7), line(3, 3, "two", level=30), line(4, 4, "new")]
    for _ in range(2):
        assert (await api.post(f"{RUN}/reports", json=report(2, logs=late), params={"late": True})).status_code == 200
        items = (await api.get(f"{RUN}/logs")).json()["items"]
        assert [(each["message"], each["seq"], each["logger"], each["n"]) for each in items] == [
            ("one", LINE_STEP, "etl", None),
            ("two\nmore of it", before["two"][0], "etl", 7),
            ("two", before["two"][1], "etl", None),
            ("new", 4 * LINE_STEP, "etl", None),
        ]
        assert (
            await put(api, logged(2, "two", "WARNING") + printed(2, "more of it") + logged(3, "two", "WARNING") + logged(4, "new")) == 204
        )


async def test_lines_of_called_runs_are_not_copied_into_the_log_of_their_root(api: httpx.AsyncClient) -> None:
    """They are printed to the same log, and numbered together."""
    called = {"uid": str(uuid.UUID(int=77)), "name": "part", "flow": "part", "created": START}
    logs = [line(1, 1, "one"), line(2, 2, "of the part", of=1), line(3, 3, "three")]
    await api.post(f"{RUN}/reports", json=report(logs=logs, called=[called]))
    await put(api, logged(1, "one") + logged(2, "of the part") + printed(2, "a print") + logged(3, "three"))
    assert await lines(api) == ["one", "a print", "three"]


async def test_attempts_have_logs_of_their_own(api: httpx.AsyncClient) -> None:
    """What is copied for one does not show in another."""
    await api.post(f"{RUN}/reports", json=report())
    await api.post(f"{RUN}/reports", json=report(attempt=2))
    await put(api, printed(1, "first"))
    await put(api, printed(2, "second"), attempt=2)
    assert (await lines(api, attempt=1), await lines(api, attempt=2), await lines(api)) == (["first"], ["second"], ["second"])


async def test_a_long_log_is_matched_by_its_end(api: httpx.AsyncClient) -> None:
    """Of 4,000 delivered lines the container's log holds the last ten; what stood before them stays where it was."""
    for part in range(4):
        logs = [line(n, 0, f"line {n}") for n in range(part * 1000 + 1, part * 1000 + 1001)]
        assert (await api.post(f"{RUN}/reports", json=report(part + 1, logs=logs))).status_code == 200
    await put(api, printed(0, "init").replace(":20.", ":10."), "init")
    tail = "".join(logged(0, f"line {n}") for n in range(3991, 4001))
    await put(api, "…st of a line\n" + tail + printed(1, "killed"), truncated=True, pod="run-1")
    found = (await api.get(f"{RUN}/logs", params={"limit": 1000, "after": 3989 * LINE_STEP})).json()["items"]
    expected = ["line 3990", "the log of container flow of pod run-1 is copied from here on: its beginning is too long ago"]
    assert [each["message"] for each in found] == [*expected, *(f"line {n}" for n in range(3991, 4001)), "killed"]
    beginning = (await api.get(f"{RUN}/logs", params={"limit": 3})).json()["items"]
    assert [each["message"] for each in beginning] == ["init", "line 1", "line 2"]


async def test_lines_of_an_sdk_that_numbers_without_steps_are_kept(api: httpx.AsyncClient) -> None:
    """There is no room between them: what is copied follows them."""
    logs = [line(n, n, f"line {n}", seq=n) for n in range(3)]
    await api.post(f"{RUN}/reports", json=report(logs=logs))
    await put(api, printed(0, "before") + "".join(logged(n, f"line {n}") + printed(n, f"print {n}") for n in range(3)))
    assert await lines(api) == ["before", "line 0", "line 1", "line 2", "print 0", "print 1", "print 2"]


REFUSED = {
    "a run that is not mirrored yet": (f"{API}/flow-runs/{uuid.UUID(int=1)}/attempts/1/container-logs/flow", {"text": ""}, 404),
    "a uid that is none": (f"{API}/flow-runs/none/attempts/1/container-logs/flow", {"text": ""}, 404),
    "an attempt that is not mirrored yet": (f"{RUN}/attempts/2/container-logs/flow", {"text": ""}, 404),
    "an attempt that never is": (f"{RUN}/attempts/0/container-logs/flow", {"text": ""}, 422),
    "a name that no container has": (f"{RUN}/attempts/1/container-logs/FLOW", {"text": ""}, 422),
    "a name that is too long": (f"{RUN}/attempts/1/container-logs/{'f' * 64}", {"text": ""}, 422),
    "no text": (f"{RUN}/attempts/1/container-logs/flow", {}, 422),
    "a text that is a number": (f"{RUN}/attempts/1/container-logs/flow", {"text": 5}, 422),
    "a member that does not exist": (f"{RUN}/attempts/1/container-logs/flow", {"text": "", "other": 1}, 422),
    "a query": (f"{RUN}/attempts/1/container-logs/flow?x=1", {"text": ""}, 400),
    "too much": (f"{RUN}/attempts/1/container-logs/flow", {"text": "x" * 2 * 1024 * 1024}, 413),
}


@pytest.mark.parametrize(("path", "body", "status"), REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_copied_is_refused(api: httpx.AsyncClient, path: str, body: dict[str, Any], status: int) -> None:
    """With a problem document, and nothing is stored."""
    await api.post(f"{RUN}/reports", json=report())
    answer = await api.put(path, json=body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json"), answer.text
    assert await lines(api) == []


async def test_any_text_of_the_largest_size_is_taken(api: httpx.AsyncClient) -> None:
    """30,000 lines at most, whatever is in them."""
    await api.post(f"{RUN}/reports", json=report())
    assert await put(api, "a\n" * 690_000) == 204
    first = (await api.get(f"{RUN}/logs", params={"limit": 2})).json()["items"]
    assert [each["message"] for each in first] == [
        "the log of container flow is copied from here on: its beginning is too long ago",
        "a",
    ]
    await api.post(f"{RUN}/reports", json=report(attempt=2))
    assert await put(api, printed(0, "\0 💥\x1b[0m" + "m" * 500_000 + "end"), attempt=2) == 204
    (only,) = (await api.get(f"{RUN}/logs", params={"attempt": 2})).json()["items"]
    assert (len(only["message"]), only["message"][:3], only["message"][-5:]) == (16384, "\N{REPLACEMENT CHARACTER} 💥", "mmend")
    surrogate = b'{"text": "half of \\ud83d"}'
    assert (await api.put(f"{RUN}/attempts/1/container-logs/flow", content=surrogate)).status_code == 422
