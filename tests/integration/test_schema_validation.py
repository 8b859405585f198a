"""JSON Schemas of users, checked in a process of its own: whatever the schema, everyone gets an answer and nobody waits long."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mintaka_controller import schema_process
from mintaka_controller.schema_validation import CheckTooCostly, CheckUnavailable, InvalidSchema, SchemaValidator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.anyio

INTEGER = {"properties": {"n": {"type": "integer"}}}


def doubling(levels: int, keyword: str = "allOf") -> dict[str, Any]:
    """A schema of a few kilobytes whose check takes 2**levels steps."""
    steps = {f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": steps | {f"d{levels}": {"type": "integer"}}, "$ref": "#/$defs/d0"}


def deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


def facts(pid: int, name: str) -> str:
    """What the kernel says of a process."""
    return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8")


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def condition(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)


@pytest.fixture
async def validator() -> AsyncIterator[SchemaValidator]:
    async with SchemaValidator() as made:
        yield made


@pytest.fixture
def listener() -> Iterator[tuple[str, list[Any]]]:
    """The URL of a server that never answers, and who connected to it."""
    connections: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            try:
                while True:
                    connections.append(server.accept())
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/schema", connections
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    for connection, _ in connections:
        connection.close()


async def test_a_check_finds_what_is_wrong(validator: SchemaValidator) -> None:
    """The same places and messages as without a process in between."""
    assert await validator.violations(INTEGER, {"n": 1}, "parameters", namespace="a") == []
    found = await validator.violations(INTEGER, {"n": "x"}, "parameters", namespace="a")
    assert found == [{"path": "parameters/n", "message": '"x" is not of type "integer"'}]


async def test_a_schema_opens_no_url_and_no_file(validator: SchemaValidator, listener: tuple[str, list[Any]], tmp_path: Path) -> None:
    """A reference out of the schema is refused; nobody hears of it."""
    url, connections = listener
    secret = tmp_path / "secret.json"
    secret.write_text('{"const": "hidden"}', encoding="utf-8")
    for reference in (url, url.replace("http", "https"), f"file://{secret}", str(secret)):
        with pytest.raises(InvalidSchema, match="a reference in it leads nowhere, or out of the schema"):
            await validator.violations({"properties": {"n": {"$ref": reference}}}, {"n": 1}, "parameters", namespace="a")
    assert connections == []


COSTLY: dict[str, tuple[Any, Any, str]] = {
    "time, by references that double": (doubling(40), 1, "more than 2 s of processor time"),
    "time, by alternatives that double": (doubling(40, "anyOf"), "x", "more than"),
    "memory, by violations that double": (doubling(20), "x", "more than 64 MiB of memory"),
    "memory, by a value with many violations": ({"items": {"type": "integer"}}, ["x"] * 200_000, "more than 64 MiB of memory"),
}


@pytest.mark.parametrize(("schema", "value", "sentence"), COSTLY.values(), ids=COSTLY)
async def test_a_schema_that_uses_up_its_time_or_memory_is_invalid(
    validator: SchemaValidator, schema: Any, value: Any, sentence: str
) -> None:
    """With a sentence; it is not tried a second time, and the next check of another namespace is answered."""
    with pytest.raises(CheckTooCostly, match=sentence):
        await validator.violations(schema, value, "parameters", namespace="hostile")
    began = time.process_time()
    restarts = validator.restarts
    with pytest.raises(CheckTooCostly, match=sentence):
        await validator.violations(schema, value, "parameters", namespace="hostile")
    assert validator.restarts == restarts
    assert time.process_time() - began < 1
    assert await validator.violations(INTEGER, {"n": 1}, "parameters", namespace="honest") == []


async def test_slow_schemas_of_one_namespace_hold_up_no_other(validator: SchemaValidator) -> None:
    """Twenty at once, each different: those that cannot be checked now are refused, and the others' checks take no longer."""

    async def attack(levels: int) -> Any:
        return await validator.violations(doubling(levels), 1, "parameters", namespace="hostile")

    await validator.violations(INTEGER, {"n": 1}, "parameters", namespace="honest")
    attacks = [asyncio.create_task(attack(levels)) for levels in range(40, 60)]
    longest = 0.0
    for _ in range(20):
        began = time.monotonic()
        assert await validator.violations(INTEGER, {"n": 1}, "parameters", namespace="honest") == []
        longest = max(longest, time.monotonic() - began)
        await asyncio.sleep(0.01)
    # Of the attackers one was tried for 0.2 s of processor time beside the honest ones, on a machine that does other work too.
    assert longest < 5
    outcomes = [type(outcome) for outcome in await asyncio.gather(*attacks, return_exceptions=True)]
    assert outcomes.count(CheckTooCostly) == 1
    assert outcomes.count(CheckUnavailable) == 19


async def test_checks_of_different_namespaces_take_turns(validator: SchemaValidator) -> None:
    """One that comes after five hundred of another namespace is answered before most of them."""
    await validator.violations(INTEGER, {"n": 1}, "parameters", namespace="few")
    many = [asyncio.create_task(validator.violations(INTEGER, {"n": n}, "parameters", namespace="many")) for n in range(500)]
    await asyncio.sleep(0)
    await validator.violations(INTEGER, {"n": 1}, "parameters", namespace="few")
    assert sum(task.done() for task in many) < 250
    assert await asyncio.gather(*many) == [[]] * 500


async def test_a_worker_that_is_killed_again_and_again_leaves_no_check_unanswered(validator: SchemaValidator) -> None:
    """A thousand at once; each gets its own answer from the next worker."""
    checks = [
        asyncio.create_task(validator.violations(INTEGER, {"n": str(n)}, "parameters", namespace=f"team-{n % 7}")) for n in range(1000)
    ]
    for answered in (100, 400, 700):
        await condition(lambda: sum(check.done() for check in checks) >= answered)  # noqa: B023 - called before the next
        for pid in validator.process_ids:
            os.kill(pid, signal.SIGKILL)
    found = await asyncio.gather(*checks)
    assert [each[0]["message"] for each in found] == [f'"{n}" is not of type "integer"' for n in range(1000)]
    assert validator.restarts == 4


async def test_a_check_survives_the_death_of_its_worker(validator: SchemaValidator) -> None:
    """Killed in the middle of a check by someone else, it is made again."""
    slow = asyncio.create_task(validator.violations(doubling(24), 1, "parameters", namespace="a"))
    await condition(lambda: bool(validator.process_ids))
    await asyncio.sleep(0.02)
    for pid in validator.process_ids:
        os.kill(pid, signal.SIGKILL)
    assert await slow == []
    assert validator.restarts > 1


async def test_without_a_worker_every_check_is_answered_at_once(validator: SchemaValidator, monkeypatch: pytest.MonkeyPatch) -> None:
    """No memory for another process: a thousand checks are refused with the reason; once there is memory, they are made."""

    def refused(_niceness: int) -> Any:
        raise OSError(12, "Cannot allocate memory")

    with monkeypatch.context() as patched:
        patched.setattr(schema_process, "_spawn", refused)
        checks = [validator.violations(INTEGER, {"n": 1}, "parameters", namespace=f"team-{n % 7}") for n in range(1000)]
        outcomes = await asyncio.gather(*checks, return_exceptions=True)
    assert {str(outcome) for outcome in outcomes} == {
        "cannot start the process that checks JSON Schemas: [Errno 12] Cannot allocate memory"
    }
    assert {type(outcome) for outcome in outcomes} == {CheckUnavailable}
    await asyncio.sleep(1.1)
    assert await validator.violations(INTEGER, {"n": 1}, "parameters", namespace="a") == []


async def test_a_worker_that_ends_at_its_start_is_told(validator: SchemaValidator, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its exit code."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(CheckUnavailable, match="ended at its start, exit code 1"):
        await validator.violations(INTEGER, {"n": 1}, "parameters", namespace="a")


async def test_a_caller_that_gives_up_disturbs_nobody(validator: SchemaValidator) -> None:
    """Its check ends unheard; the next caller gets the answer to its own."""
    await validator.violations(INTEGER, {"n": 1}, "parameters", namespace="a")
    for n in range(20):
        given_up = asyncio.create_task(validator.violations(INTEGER, {"n": "given up"}, "parameters", namespace="a"))
        await asyncio.sleep(0 if n % 2 else 0.0005)
        given_up.cancel()
        found = await validator.violations(INTEGER, {"n": str(n)}, "parameters", namespace="a")
        assert found[0]["message"] == f'"{n}" is not of type "integer"'


@pytest.mark.parametrize("levels", [260, 1500, 9000, 100_000])
async def test_what_is_too_deep_is_refused(validator: SchemaValidator, levels: int) -> None:
    """As a value and as a schema, however deep."""
    found = await validator.violations({}, deep(levels), "parameters", namespace="a")
    assert [each["path"] for each in found] == ["parameters"]
    assert found[0]["message"].startswith("parameters is nested more than 100 levels deep")
    with pytest.raises(InvalidSchema, match="it is nested more than 100 levels deep"):
        await validator.violations({"items": deep(levels)}, 1, "parameters", namespace="a")


async def test_a_worker_ends_when_it_is_not_needed_and_starts_again() -> None:
    """An idle server has no process more."""
    async with SchemaValidator(idle_seconds=0.1) as validator:
        assert validator.process_ids == ()
        await validator.violations(INTEGER, {"n": 1}, "parameters", namespace="a")
        (pid,) = validator.process_ids
        await condition(lambda: not validator.process_ids and not lives(pid))
        assert await validator.violations(INTEGER, {"n": 1}, "parameters", namespace="a") == []


async def test_closing_leaves_no_process_and_no_caller_behind() -> None:
    """What is under way ends as unavailable."""
    async with SchemaValidator() as validator:
        await validator.violations(INTEGER, {"n": 1}, "parameters", namespace="b")
        under_way = asyncio.create_task(validator.violations(doubling(40), 1, "parameters", namespace="a"))
        await asyncio.sleep(0.05)
        pids = validator.process_ids
    with pytest.raises(CheckUnavailable, match="interrupted"):
        await under_way
    assert pids
    assert not any(lives(pid) for pid in pids)


async def test_a_worker_inherits_no_secrets_and_can_open_nothing(validator: SchemaValidator, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would break out of the library finds no database URL, no file and no socket."""
    monkeypatch.setenv("MINTAKA_DATABASE_URL", "postgresql://user:password@host/name")
    await validator.violations(INTEGER, {"n": 1}, "parameters", namespace="a")
    (pid,) = validator.process_ids
    assert "password" not in facts(pid, "environ")
    assert next(line for line in facts(pid, "limits").splitlines() if line.startswith("Max open files")).split()[3:5] == ["3", "3"]
    assert facts(pid, "oom_score_adj").strip() == "1000"
