"""Reports of flow pods: what is acknowledged is stored, repetition is harmless, bad input is refused with a problem."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from api_testing import API, report, running, task
from mintaka_api.settings import Settings

if TYPE_CHECKING:
    import httpx

pytestmark = pytest.mark.anyio

UID = str(uuid.uuid4())
REPORTS = f"{API}/flow-runs/{UID}/reports"


def problem(answer: httpx.Response) -> tuple[int, str]:
    """The status of a problem and its name."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].rsplit("/", 1)[1]


async def tasks_of(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """All task runs of the run."""
    return list((await client.get(f"{API}/flow-runs/{UID}/task-runs", params={"limit": 200, **query})).json()["items"])


async def test_a_report_is_stored_as_it_was_sent(database_url: str) -> None:
    """Task runs, logs, counts and the run itself come back."""
    sent = [
        task(0, tags=["a", "b"], name="first"),
        task(1, state="RUNNING", seq=2),
        task(2, reason="R", message="M", parent=0, kind="subflow"),
    ]
    lines = [
        {"seq": n, "time": 1_790_000_000_000_000, "level": 10 * n, "logger": "flow", "n": None, "message": f"line {n} \0"} for n in range(5)
    ]
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        answer = await client.post(REPORTS, json=report(1, sent, logs=lines, counts={"COMPLETED": 2, "RUNNING": 1}, final=True))
        assert (answer.status_code, answer.json()) == (200, {"report": 1, "previous": 0})
        run = (await client.get(f"{API}/flow-runs/{UID}")).json()
        assert (run["name"], run["namespace"], run["deployment"], run["state"]["type"]) == ("run", "ns", "nightly", "RUNNING")
        assert (run["task_counts"], run["attempt"], run["history_complete"]) == ({"COMPLETED": 2, "RUNNING": 1}, 1, True)
        items = await tasks_of(client)
        assert [(item["n"], item["state"], item["sequence"]) for item in items] == [
            (0, "COMPLETED", 3),
            (1, "RUNNING", 2),
            (2, "COMPLETED", 3),
        ]
        assert [item["history"] for item in items] == [item["history"] for item in sent]
        assert (items[0]["name"], items[0]["tags"], items[1]["name"], items[1]["inputs"], items[1]["upstream"]) == (
            "first",
            ["a", "b"],
            "clean-1",
            {"rows": [0]},
            [0],
        )
        assert (items[2]["reason"], items[2]["message"], items[2]["parent"], items[2]["kind"]) == ("R", "M", 0, "subflow")
        assert [item["n"] for item in await tasks_of(client, tag="b")] == [0]
        across = (await client.get(f"{API}/task-runs", params={"tag": ["a", "b"], "namespace": "ns"})).json()["items"]
        assert [(item["n"], item["flow_run"]) for item in across] == [(0, UID)]
        graph = (await client.get(f"{API}/flow-runs/{UID}/graph")).json()
        assert (len(graph["nodes"]), graph["edges"]) == (3, [[0, 1], [1, 2]])
        logs = (await client.get(f"{API}/flow-runs/{UID}/logs", params={"level": 20, "after": 2})).json()["items"]
        assert [(line["seq"], line["message"]) for line in logs] == [
            (3, "line 3 \N{REPLACEMENT CHARACTER}"),
            (4, "line 4 \N{REPLACEMENT CHARACTER}"),
        ]


LOOKALIKES = (r"C:\u0000_backup", json.dumps({"nul": "\0", "half": "\ud800"}), "\\" * 3 + "u0000", "\U0001f600 \\ud83d")


@pytest.mark.parametrize("ascii_only", [True, False], ids=["escaped", "as it is"])
async def test_a_text_comes_back_as_it_was_sent_whatever_it_looks_like(database_url: str, ascii_only: bool) -> None:
    """Parameters, messages, lines, tags and artifacts that hold backslashes, or JSON with escapes in it."""
    artifact = {"kind": "table", "seq": 1, "created": 1, "updated": 1}
    transitions = [[1, "RUNNING", "", 1, "", [], "", LOOKALIKES[0]]]
    local = {"flow": "main", "created": 1, "parameters": {text: [text] for text in LOOKALIKES}, "transitions": transitions}
    body = report(
        1,
        [task(n, message=text, tags=[text]) for n, text in enumerate(LOOKALIKES)],
        logs=[{"seq": n, "time": 1_790_000_000_000_000, "message": text} for n, text in enumerate(LOOKALIKES)],
        artifacts=[{**artifact, "id": str(uuid.uuid4()), "data": {"rows": LOOKALIKES}}],
        flow_run={"name": "run", "namespace": "ns", "local": local},
    )
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        sent = json.dumps(body, ensure_ascii=ascii_only).encode()
        assert (await client.post(REPORTS, content=sent)).status_code == 200
        run = (await client.get(f"{API}/flow-runs/{UID}")).json()
        assert run["parameters"] == {text: [text] for text in LOOKALIKES}
        assert run["state"]["message"] == LOOKALIKES[0]
        assert [(item["message"], item["tags"]) for item in await tasks_of(client)] == [(text, [text]) for text in LOOKALIKES]
        for text in LOOKALIKES:
            assert len((await client.get(f"{API}/task-runs", params={"tag": text})).json()["items"]) == 1
        lines = (await client.get(f"{API}/flow-runs/{UID}/logs")).json()["items"]
        assert [line["message"] for line in lines] == list(LOOKALIKES)
        (stored,) = (await client.get(f"{API}/flow-runs/{UID}/artifacts")).json()["items"]
        assert stored["data"] == {"rows": list(LOOKALIKES)}


async def test_what_no_database_keeps_is_replaced(database_url: str) -> None:
    """NUL and halves of surrogate pairs, in the same places; the rest of the report is stored."""
    text, stored = "a\0b\ud800c", "a\ufffdb\ufffdc"
    body = report(
        1,
        [task(0, message=text, tags=[text])],
        logs=[{"seq": 0, "time": 1_790_000_000_000_000, "message": text}],
        artifacts=[{"id": str(uuid.uuid4()), "kind": "table", "seq": 1, "created": 1, "updated": 1, "data": {text: text}}],
    )
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        assert (await client.post(REPORTS, content=json.dumps(body).encode())).status_code == 200
        (item,) = await tasks_of(client)
        assert (item["message"], item["tags"]) == (stored, [stored])
        (line,) = (await client.get(f"{API}/flow-runs/{UID}/logs")).json()["items"]
        assert line["message"] == stored
        (artifact,) = (await client.get(f"{API}/flow-runs/{UID}/artifacts")).json()["items"]
        assert artifact["data"] == {stored: stored}


async def test_reports_may_come_repeated_and_out_of_order(database_url: str) -> None:
    """Whatever the order, the highest `seq` of each task run and the newest counts remain."""
    states = {1: "PENDING", 2: "RUNNING", 3: "COMPLETED"}
    sent = [report(seq, [task(n, seq=seq, state=states[seq]) for n in range(20)], counts={states[seq]: 20}) for seq in states]
    order = sent * 4
    random.Random(4).shuffle(order)
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        for body in order:
            assert (await client.post(REPORTS, json=body)).status_code == 200
        assert {(item["state"], item["sequence"]) for item in await tasks_of(client)} == {("COMPLETED", 3)}
        assert (await client.get(f"{API}/flow-runs/{UID}")).json()["task_counts"] == {"COMPLETED": 20}


async def test_one_report_may_name_a_task_run_twice(database_url: str) -> None:
    """The higher `seq` counts."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        body = report(1, [task(0, seq=3), task(0, seq=2, state="RUNNING"), task(5), task(5)])
        assert (await client.post(REPORTS, json=body)).status_code == 200
        assert [(item["n"], item["sequence"]) for item in await tasks_of(client)] == [(0, 3), (5, 3)]


async def test_an_attempt_that_was_replaced_is_fenced(database_url: str) -> None:
    """409, and nothing of it is written; older attempts stay readable."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        assert (await client.post(REPORTS, json=report(1, [task(0)]))).status_code == 200
        assert (await client.post(REPORTS, json=report(1, [task(0)], attempt=2))).status_code == 200
        late = await client.post(REPORTS, json=report(2, [task(1)]))
        assert problem(late) == (409, "stale-attempt")
        assert late.json()["attempt"] == 2
        assert [item["n"] for item in await tasks_of(client, attempt=1)] == [0]
        assert [item["attempt"] for item in await tasks_of(client)] == [2]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"attempt": 0}, "attempt"),
        ({"report": "one"}, "report"),
        ({"tasks": [{"n": -1}]}, "tasks[0].n"),
        ({"tasks": [task(0) | {"state": "DONE"}]}, "tasks[0].state"),
        ({"tasks": [task(0) | {"created": 10**30}]}, "tasks[0].created"),
        ({"tasks": [task(0) | {"tags": [""]}]}, "tasks[0].tags[0]"),
        ({"logs": [{"seq": 0}]}, "logs[0]"),
        ({"counts": {"COMPLETED": -1}}, "counts[...]"),
        ({"flow_run": None}, "flow_run"),
    ],
)
async def test_a_malformed_report_is_refused_with_the_place(database_url: str, change: dict[str, Any], place: str) -> None:
    """422, and the problem names the field."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        answer = await client.post(REPORTS, json=report(1) | change)
        assert problem(answer) == (422, "malformed")
        assert answer.json()["errors"][0]["path"] == place


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"\xff\xfe", b'"\\ud800"', b"[" * 100_000, b'{"tasks":' + b"[" * 100_000, b"null", b"1e999", b'{"a":"\x00"}'],
    ids=["nothing", "a list", "half", "no UTF-8", "a lone surrogate", "deep", "deep below", "null", "infinite", "NUL"],
)
async def test_a_body_that_is_no_report_is_refused(database_url: str, body: bytes) -> None:
    """Never a 500."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        assert problem(await client.post(REPORTS, content=body)) == (422, "malformed")


async def test_what_is_too_large_is_refused(database_url: str) -> None:
    """More than 4 MiB, packed or not, and more than 5,000 items: 413."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        assert problem(await client.post(REPORTS, content=b" " * (4 * 1024 * 1024 + 1))) == (413, "too-large")
        bomb = gzip.compress(b" " * (400 * 1024 * 1024))
        assert len(bomb) < 1024 * 1024
        assert problem(await client.post(REPORTS, content=bomb, headers={"Content-Encoding": "gzip"})) == (413, "too-large")
        lines = [{"seq": n, "time": 0, "message": ""} for n in range(5001)]
        assert problem(await client.post(REPORTS, json=report(1, logs=lines))) == (413, "too-large")

        async def endless() -> Any:
            while True:
                yield b" " * 65536

        assert problem(await client.post(REPORTS, content=endless())) == (413, "too-large")


async def test_packed_bodies_are_unpacked_and_bad_ones_refused(database_url: str) -> None:
    """Gzip works; half of it, something else, or an unknown encoding do not."""
    packed = gzip.compress(json.dumps(report(1, [task(0)])).encode())
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        for content, encoding, expected in (
            (packed, "gzip", 200),
            (packed[:-5], "gzip", 422),
            (b"hello", "gzip", 422),
            (packed + packed, "gzip", 422),
            (packed, "br", 415),
        ):
            assert (await client.post(REPORTS, content=content, headers={"Content-Encoding": encoding})).status_code == expected


async def test_texts_are_cut_and_names_of_any_kind_kept(database_url: str) -> None:
    """A message of a megabyte is cut, odd names are stored as they are."""
    odd = "ünï çødé 💥 'quote' \"double\" \\ % _ \x7f"
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        body = report(1, [task(0, message="m" * 1_000_000, name=odd, task=odd, tags=[odd[:100]], state_name=odd, reason="r" * 999)])
        assert (await client.post(REPORTS, json=body)).status_code == 200
        (item,) = await tasks_of(client, name=odd[:5])
        assert (item["name"], item["task"], item["state_name"], item["tags"]) == (odd, odd, odd, [odd])
        assert (len(item["message"]), len(item["reason"])) == (16384, 200)
        assert (
            len(await tasks_of(client, tag=odd))
            == len(await tasks_of(client, task=odd))
            == len(await tasks_of(client, state_name=odd))
            == 1
        )


async def test_first_reports_of_a_run_may_come_at_once(database_url: str) -> None:
    """Whoever makes the run's row, all of them are taken in."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        for _ in range(10):
            path = f"{API}/flow-runs/{uuid.uuid4()}"
            sent = [client.post(f"{path}/reports", json=report(number, [task(number)])) for number in range(1, 9)]
            assert {answer.status_code for answer in await asyncio.gather(*sent)} == {200}
            assert len((await client.get(f"{path}/task-runs")).json()["items"]) == 8
