"""What history and `mintaka explain` show of the rules that decide about task runs: limits of tags, replays, cached results, pauses."""

from __future__ import annotations

import ast
import json
import threading
from contextvars import copy_context
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import cli, flow, pause_flow_run, runtime, sharing, task
from mintaka.concurrency.sync import concurrency
from mintaka.concurrency.tagged import KNOWN
from mintaka.flow_runs import resume_flow_run
from mintaka.histories import history
from mintaka.persisting.replaying import Replay
from mintaka.recording.wire import task_record
from mintaka.sharing import shared
from mintaka.testing import recorded
from mintaka.transactions import transaction
from mintaka_core.decision_sentences import task_sentences, transition_sentence
from mintaka_core.policies import FLOW_RUN_POLICY, TASK_RUN_POLICY
from mintaka_history.state_history import compact_history, expand_history, facts_of_history

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka.testing.histories import MemoryRecorder

pytestmark = pytest.mark.timeout(60)
SDK = Path(cli.__file__).parents[1]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database for limits and a folder for results."""
    monkeypatch.delenv("MINTAKA_HISTORY", raising=False)
    monkeypatch.delenv("MINTAKA_API_URL", raising=False)
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path))
    monkeypatch.setenv("MINTAKA_RESULT_STORAGE", f"file://{tmp_path}/results")
    KNOWN.clear()


@pytest.fixture(autouse=True)
def close_sharing() -> Any:
    yield
    sharing.close()
    KNOWN.clear()


@task
def step(n: int = 1) -> int:
    return n


@task(persist_result=True, cache_key_fn=lambda *_: "key")
def cached(n: int = 1) -> int:
    return n


@flow
def one(call: Any) -> Any:
    return call()


def run(call: Callable[[], Any], **launch: Any) -> MemoryRecorder:
    with recorded(**launch) as kept:
        one(call, return_state=True)
    return kept


def _while_held(limit: str, call: Callable[[], Any]) -> MemoryRecorder:
    """`call` runs while another holds the only slot of `limit`, until it is on record that it waits."""
    waits = threading.Event()

    def release_later() -> None:
        with concurrency(limit):
            held.set()
            waits.wait(20)

    held = threading.Event()
    holder = threading.Thread(target=release_later)
    holder.start()
    assert held.wait(20)
    with recorded() as kept:
        context = copy_context()
        runner = threading.Thread(target=lambda: context.run(one, call, return_state=True))
        runner.start()
        until = monotonic() + 20
        while not any(entry.waits for each in list(kept.runs.values()) for entry in each.history):
            assert monotonic() < until
            sleep(0.01)
        shown = next(each for each in kept.runs.values() if any(entry.waits for entry in each.history))
        assert (shown.state.type, shown.state.reason) == ("PENDING", "AwaitingConcurrencySlot")
        assert shown.state.message == f"waits for a slot of {limit}"
        waits.set()
        runner.join(20)
    holder.join(20)
    return kept


def waits_for_a_slot() -> MemoryRecorder:
    shared().put_limit("tag:gpu", 1, 0, overwrite=True)
    return _while_held("tag:gpu", step.with_options(tags=["gpu"]))


def waits_for_one_of_two_limits() -> MemoryRecorder:
    shared().put_limit("tag:gpu", 1, 0, overwrite=True)
    shared().put_limit("tag:io", 5, 0, overwrite=True)
    return _while_held("tag:gpu", step.with_options(tags=["gpu", "io"]))


def has_its_slot_at_once() -> MemoryRecorder:
    shared().put_limit("tag:gpu", 1, 0, overwrite=True)
    return run(step.with_options(tags=["gpu"]))


def has_a_cached_result() -> MemoryRecorder:
    shared().put_limit("tag:gpu", 0, 0, overwrite=True)
    cached()
    return run(cached.with_options(tags=["gpu"]))


def has_an_expired_result() -> MemoryRecorder:
    brief = cached.with_options(cache_expiration=timedelta(microseconds=1))
    brief()
    return run(brief)


def refreshes() -> MemoryRecorder:
    cached()
    return run(cached.with_options(refresh_cache=True))


def has_a_corrupt_result(folder: Path) -> MemoryRecorder:
    cached()
    (file,) = [path for path in (folder / "results").rglob("*") if path.is_file()]
    file.write_bytes(file.read_bytes()[:-3] + b"xyz")
    return run(cached)


def cannot_persist() -> MemoryRecorder:
    @task(persist_result=True, result_serializer="json")
    def step() -> Any:
        return threading.Lock()

    return run(step)


def is_rolled_back() -> MemoryRecorder:
    def body() -> None:
        with transaction():
            step()
            raise ValueError("no")

    return run(body)


def is_replayed() -> MemoryRecorder:
    with recorded(flow_run_id="earlier"):
        one(step.with_options(persist_result=True))
    return run(step.with_options(persist_result=True), flow_run_id="earlier", replay=Replay())


def is_replayed_without_a_result() -> MemoryRecorder:
    return run(step.with_options(persist_result=True), flow_run_id="other", replay=Replay())


def is_retried_later() -> MemoryRecorder:
    tries: list[int] = []

    @task(retries=1, retry_delay_seconds=0.05)
    def step() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("no")

    return run(step)


def is_left_by_its_flow() -> MemoryRecorder:
    begun = threading.Event()

    @task
    def step() -> None:
        begun.set()
        for _ in range(200):
            sleep(0.01)

    @flow(timeout_seconds=0.3)
    def late() -> None:
        step.submit()
        assert begun.wait(10)
        for _ in range(200):
            sleep(0.01)

    with recorded() as kept:
        late(return_state=True)
    return kept


def is_cancelled_by_its_flow() -> MemoryRecorder:
    def body() -> None:
        begun = threading.Event()

        @task
        def step() -> None:
            begun.set()
            for _ in range(200):
                sleep(0.01)

        future = step.submit()
        assert begun.wait(10)
        future.cancel()

    return run(body)


#: Kind · what happens · the states that history has · what explain shows of it, by the beginnings of its lines.
SITUATIONS: dict[str, tuple[Callable[..., MemoryRecorder], list[str], list[str]]] = {
    "tag limit: waits for a slot": (
        waits_for_a_slot,
        ["Pending", "Running", "Completed"],
        ["step-0 Pending: RUNNING was proposed; wait_for_tag_slots had it wait: waits for a slot of tag:gpu"],
    ),
    "tag limit: of two, the one without a free slot is named": (
        waits_for_one_of_two_limits,
        ["Pending", "Running", "Completed"],
        ["step-0 Pending: RUNNING was proposed; wait_for_tag_slots had it wait: waits for a slot of tag:gpu"],
    ),
    "tag limit: with a free slot there is nothing to explain": (has_its_slot_at_once, ["Pending", "Running", "Completed"], []),
    "cache: a valid result needs no slot": (
        has_a_cached_result,
        ["Pending", "Cached"],
        ["cached-0 Cached: RUNNING was proposed; use_kept_result changed that: a result is kept for this call"],
    ),
    "cache: an expired result": (
        has_an_expired_result,
        ["Pending", "Running", "Completed"],
        ["cached-0 Running: use_kept_result let it pass: the kept result expired at 20"],
    ),
    "cache: a refresh": (
        refreshes,
        ["Pending", "Running", "Completed"],
        ["cached-0 Running: use_kept_result let it pass: a new result is requested"],
    ),
    "cache: a corrupt result": (
        has_a_corrupt_result,
        ["Pending", "Running", "Completed"],
        ["cached-0 Running: use_kept_result let it pass: a kept result cannot be used: "],
    ),
    "result: it cannot be persisted": (
        cannot_persist,
        ["Pending", "Running", "NotPersisted"],
        ["step-0 NotPersisted: complete_without_result changed that: its result is not persisted"],
    ),
    "transaction: it is rolled back": (is_rolled_back, ["Pending", "Running", "Completed", "RolledBack"], []),
    "replay: a recorded result": (
        is_replayed,
        ["Pending", "Cached"],
        ["step-0 Cached: RUNNING was proposed; replay_recorded_result changed that: recorded result"],
    ),
    "replay: without a recorded result it runs": (
        is_replayed_without_a_result,
        ["Pending", "Running", "Completed"],
        ["step-0 Running: replay_recorded_result let it pass: no result is recorded of it: "],
    ),
    "retry: it waits for its time": (
        is_retried_later,
        ["Pending", "Running", "AwaitingRetry", "Pending", "Retrying", "Completed"],
        [
            "step-0 AwaitingRetry: FAILED was proposed; retry_failed changed that: failure 1 of 1 allowed",
            "step-0 AwaitingRetry: PENDING was proposed; wait_for_scheduled_time had it wait: due at 20",
        ],
    ),
    "end: its flow ended without it": (
        is_left_by_its_flow,
        ["Pending", "Running", "Cancelled"],
        ["step-0 Cancelled: cancel_what_is_left let it pass: what it is part of has ended"],
    ),
    "end: its flow cancels it": (is_cancelled_by_its_flow, ["Pending", "Running", "Cancelled"], []),
}
#: The facts of the decision that a situation is about, without the values that differ from run to run.
FACTS = {
    "tag limit: waits for a slot": {"names": ["tag:gpu"], "blocked": ["tag:gpu"]},
    "tag limit: of two, the one without a free slot is named": {"names": ["tag:gpu", "tag:io"], "blocked": ["tag:gpu"]},
    "tag limit: with a free slot there is nothing to explain": {"names": ["tag:gpu"]},
}
#: Facts by name that each situation has on record.
NAMES = {
    "cache: a valid result needs no slot": "kept",
    "cache: an expired result": "kept",
    "cache: a refresh": "refresh",
    "cache: a corrupt result": "keptIssue",
    "result: it cannot be persisted": "unpersisted",
    "replay: a recorded result": "recorded",
    "replay: without a recorded result it runs": "unrecorded",
    "retry: it waits for its time": "retries",
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_history_and_explain_show_the_rule_that_decided(situation: str, tmp_path: Path) -> None:
    happen, states, lines = SITUATIONS[situation]
    kept = happen(tmp_path) if happen is has_a_corrupt_result else happen()
    name = "cached-0" if any(run.name == "cached-0" for run in kept.runs.values()) else "step-0"
    assert kept.states_of(name) == states
    record = task_record(kept.run(name))
    stored = compact_history(record.history, record.facts)
    shown = task_sentences({"name": name, "history": expand_history(stored)})
    assert len(shown) == len(lines), shown
    for found, expected in zip(shown, lines, strict=True):
        assert found.startswith(expected)
    facts = facts_of_history(stored)
    if (limits := FACTS.get(situation)) is not None:
        found = next(each["tagLimits"] for each in facts.values() if "tagLimits" in each)
        assert {key: value for key, value in found.items() if key != "nextTime"} == limits
    if fact := NAMES.get(situation):
        assert any(fact in each for each in facts.values()), facts


def test_the_explain_command_shows_pauses_and_the_facts_are_stored(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flow run of a script pauses and is resumed; its transitions are decisions of the policy."""
    tries: list[int] = []

    @flow(flow_run_name="pausing", retries=1)
    def main() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("first")
        uid = runtime.flow_run.id
        threading.Timer(0.1, lambda: resume_flow_run(uid)).start()
        pause_flow_run(timeout=20)

    main()
    with history() as reading:
        found = reading.flow_run("pausing")
        transitions = reading.transitions(found["uid"])
    assert [each["name"] for each in transitions][-5:] == ["Paused", "Resuming", "Pending", "Running", "Completed"]
    assert next(line for line in map(transition_sentence, transitions) if "RUNNING → Paused" in line).endswith("waits to be resumed")
    retry = next(each for each in transitions if each["rule"] == "retry_failed")
    assert retry["facts"]["retries"] == {"onFailure": {"limit": 1, "backoff": retry["facts"]["retries"]["onFailure"]["backoff"]}}
    monkeypatch.setattr("sys.argv", ["mintaka", "explain", "pausing"])
    cli.main()
    assert "retry_failed changed that: failure 1 of 1 allowed" in capsys.readouterr().out


def test_rules_list_prints_both_policies_in_order(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With number, name and sentence; wide with the edges, JSON with them as pairs."""
    monkeypatch.setattr("sys.argv", ["mintaka", "rules", "list", "-o", "wide"])
    cli.main()
    out = capsys.readouterr().out
    places = [
        out.index(rule.name, out.index("task-runs:") if policy is TASK_RUN_POLICY else 0)
        for policy in (FLOW_RUN_POLICY, TASK_RUN_POLICY)
        for rule in policy
    ]
    assert places == sorted(places)
    assert all(rule.sentence in out for rule in (*FLOW_RUN_POLICY, *TASK_RUN_POLICY))
    assert "PENDING, RUNNING → FAILED, CRASHED" in out
    monkeypatch.setattr("sys.argv", ["mintaka", "rules", "list", "--policy", "task-runs", "--json"])
    cli.main()
    (document,) = json.loads(capsys.readouterr().out)
    assert [rule["name"] for rule in document["rules"]] == [rule.name for rule in TASK_RUN_POLICY]
    assert document["rules"][0]["number"] == 1
    assert document["rules"][-1]["edges"] == [["PENDING", "RUNNING"]]
    monkeypatch.setattr("sys.argv", ["mintaka", "rules", "list", "--policy", "none"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "use one of flow-runs, task-runs" in capsys.readouterr().err


#: The functions that write to a run's history: each makes its entry of a decision, or is a step of `PLAIN_EDGES`, or a copy of a run.
WRITERS = {
    "engine/entries.py": {"entry_of", "_staying"},
    "engine/runs.py": {"__init__", "_restored", "start", "complete", "_append", "adopt", "started_at"},
}


def test_no_state_is_entered_past_the_policy() -> None:
    """Only the ledger writes to a run's history, and only decisions become entries: read from the sources of the SDK."""
    found: dict[str, set[str]] = {}
    for path in sorted((SDK).rglob("*.py")):
        for function, node in _functions(ast.parse(path.read_text(encoding="utf-8"))):
            if _writes_history(node):
                found.setdefault(path.relative_to(SDK).as_posix(), set()).add(function)
    assert found == WRITERS


def test_the_search_for_writers_finds_every_way_of_writing() -> None:
    """So that the test above can fail."""
    for statement in (
        "run.history.append(x)",
        "run.history += [x]",
        "run.history[-1] = x",
        "run.history = [x]",
        "run.history.extend(xs)",
        "entry = Entry(RUNNING, 'Running', 0)",
        "entry = entries.Entry(RUNNING, 'Running', 0)",
        "entry = last._replace(name='Other')",
    ):
        ((_, node),) = _functions(ast.parse(f"def enter(run):\n    {statement}"))
        assert _writes_history(node), statement
    ((_, node),) = _functions(ast.parse("def read(run):\n    return run.history[-1].name, tuple(run.history)"))
    assert not _writes_history(node)


def _functions(tree: ast.Module) -> list[tuple[str, ast.AST]]:
    return [(node.name, node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


_CHANGES = {"append", "extend", "insert", "clear", "pop", "remove"}


def _writes_history(function: ast.AST) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            if name == "Entry" or (name == "_replace" and isinstance(called, ast.Attribute) and _is_entry(called.value)):
                return True
            if name in _CHANGES and isinstance(called, ast.Attribute) and _is_history(called.value):
                return True
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign | ast.AnnAssign) else []
        if any(_is_history(target.value if isinstance(target, ast.Subscript) else target) for target in targets):
            return True
    return False


def _is_history(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "history"


def _is_entry(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in {"entry", "last"}
