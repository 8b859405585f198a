"""Rows and lines as the API takes them, and what its answers mean."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintaka import flow
from mintaka.artifacts import create_table_artifact
from mintaka.context import Launch
from mintaka.engine.entries import Entry, Opinion
from mintaka.engine.runs import Ledger
from mintaka.exceptions import LoadError
from mintaka.recording.recorder import NullRecorder
from mintaka.recording.sending import Answer, Connection, judged
from mintaka.recording.wire import Contents, LogLine, clean, encode, history_batch, task_record
from mintaka.testing import recorded
from mintaka_core.states import COMPLETED, FAILED, RUNNING, SCHEDULED, State
from mintaka_core.wire_versions import WIRE_VERSION

RETRY = (Opinion("retry_failed", "Redirect", "failure 1 of 1 allowed"),)


def test_a_row_has_what_the_contract_names() -> None:
    ledger = Ledger(NullRecorder())
    run = ledger.open("etl.clean", "task", 3, ("a",))
    run.inputs = (("rows", 1), ("rows", 2), ("wait_for", 1))
    created = run.history[0].time
    for entry in (
        Entry(RUNNING, "Running", created + 10),
        Entry(SCHEDULED, "AwaitingRetry", created + 20, RETRY, "ValueError", "no", FAILED, {"failures": 1, "proposed": {"message": "a\0"}}),
        Entry(RUNNING, "Retrying", created + 30),
        Entry(FAILED, "Failed", created + 40, (), "ValueError", "still no"),
        Entry(FAILED, "Failed", created + 90, (Opinion("terminal_states_stay", "Abort", "it ended"),), "ValueError", "still no", COMPLETED),
    ):
        run.history.append(entry)
    row = json.loads(encode(task_record(run)))
    assert row == {
        "n": 0,
        "task": "etl.clean",
        "name": None,
        "state": "FAILED",
        "state_name": "Failed",
        "reason": "ValueError",
        "message": "still no",
        "seq": 6,
        "started": created + 10,
        "ended": created + 40,
        "runs": 2,
        "inputs": {"rows": [1, 2], "wait_for": [1]},
        "tags": ["a"],
        "parent": 3,
        "kind": "task",
        "of": 0,
        "facts": {"2": {"failures": 1, "proposed": {"message": "a\ufffd"}}},
        "history": [
            ["PENDING", "Pending", 0, "", []],
            ["RUNNING", "Running", 10, "", []],
            ["SCHEDULED", "AwaitingRetry", 20, "FAILED", [["retry_failed", "Redirect", "failure 1 of 1 allowed"]]],
            ["RUNNING", "Retrying", 30, "", []],
            ["FAILED", "Failed", 40, "", []],
            ["FAILED", "Failed", 90, "COMPLETED", [["terminal_states_stay", "Abort", "it ended"]]],
        ],
        "created": created,
    }


def test_a_report_is_one_line_of_json_around_rows_and_lines() -> None:
    launch = Launch(name="r", namespace="team", deployment="d", attempt=2)
    row = task_record(Ledger(NullRecorder()).open("t", "task", None))
    line = LogLine(0, 5, 20, "mintaka.flow_runs", None, "hello\nthere").report()
    body = encode(history_batch(launch, 7, Contents([row], [line], [], {"COMPLETED": 1, "FAILED": 0}, None, final=True)))
    assert b"\n" not in body
    assert json.loads(body) == {
        "attempt": 2,
        "report": 7,
        "flow_run": {"name": "r", "namespace": "team", "deployment": "d"},
        "counts": {"COMPLETED": 1},
        "final": True,
        "tasks": [json.loads(encode(row))],
        "logs": [{"seq": 0, "time": 5, "level": 20, "logger": "mintaka.flow_runs", "n": None, "message": "hello\nthere", "of": 0}],
        "artifacts": [],
        "version": WIRE_VERSION,
        "called": [],
        "events": [],
        "lost": None,
    }


@given(st.text(st.characters(), max_size=200) | st.text(st.sampled_from("a\0\ud800\udfff☃"), max_size=20))
def test_texts_are_made_what_every_database_takes(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert "\0" not in cleaned
    if text.isascii() and "\0" not in text:
        assert cleaned == text


@given(
    st.recursive(
        st.text(st.sampled_from("a\0\ud800☃\\u"), max_size=6) | st.floats() | st.builds(object),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.sampled_from("a\0\ud800"), max_size=3), inner),
    )
)
def test_whatever_is_in_a_table_is_made_what_every_database_takes(table: Any) -> None:
    with recorded() as history:
        flow(lambda: create_table_artifact(table))()
    (data,) = [artifact.data for artifact in history.artifacts.values()]
    assert "\0" not in str(msgspec.json.decode(data))


@pytest.mark.parametrize("text", [5, None, b"x", ValueError("no"), ["a"]], ids=repr)
def test_what_should_have_been_a_text_does_not_cost_a_run_its_history(text: Any) -> None:
    assert clean(text) == str(text)
    ledger = Ledger(NullRecorder())
    run = ledger.open("t", "task", None, (text,) if isinstance(text, int) else ())
    ledger.propose_end(run, State(FAILED, reason=text, message=text))
    assert task_record(run).message == ("" if text is None else str(text))


@pytest.mark.parametrize(("level", "kept"), [(-5, 0), (20, 20), (10**20, 2**15 - 1)])
def test_a_level_of_a_line_fits_its_column(level: int, kept: int) -> None:
    assert LogLine(0, 5, level, "x", None, "hello").report().level == kept


def test_a_run_tried_thousands_of_times_still_fits_a_report() -> None:
    run = Ledger(NullRecorder()).open("t", "task", None)
    for n in range(20_000):
        run.history.append(Entry(RUNNING, "Retrying", n, (Opinion("retry_failed", "Redirect", "x" * 100),)))
    row = task_record(run)
    assert (row.seq, len(encode(row)) < 500_000) == (20_001, True)


UNSERVED = {"type": "https://mintaka.dev/problems/unserved-version", "detail": "d", "oldest": 2}
ANSWERS: dict[str, tuple[int, Any, Answer]] = {
    "an acknowledgement by number": (200, {"report": 5}, Answer.ACCEPTED),
    "an acknowledgement of another report": (200, {"report": 4}, Answer.UNAVAILABLE),
    "a proxy's friendly page": (200, "<html>", Answer.UNAVAILABLE),
    "a stale attempt": (409, {"type": "https://mintaka.dev/problems/stale-attempt"}, Answer.FENCED),
    "an attempt that the mirror does not know yet": (
        409,
        {"type": "https://mintaka.dev/problems/unknown-attempt"},
        Answer.UNAVAILABLE,
    ),
    "another conflict": (409, {"type": "about:blank"}, Answer.UNAVAILABLE),
    "a malformed report": (422, {"type": "x"}, Answer.REFUSED),
    "a report that is too large": (413, {}, Answer.REFUSED),
    "a bad request": (400, [], Answer.REFUSED),
    "the database is away": (503, {}, Answer.UNAVAILABLE),
    "a server error": (500, "", Answer.UNAVAILABLE),
    "a gateway without upstream": (502, "<html>", Answer.UNAVAILABLE),
    "not found, by something in between": (404, "", Answer.UNAVAILABLE),
    "not allowed, by something in between": (403, "", Answer.UNAVAILABLE),
    "too many requests": (429, "", Answer.UNAVAILABLE),
    "a wire version that the API does not serve any more": (426, UNSERVED | {"version": 1, "newest": 4}, Answer.TOO_OLD),
    "a wire version that the API does not serve yet": (426, UNSERVED | {"version": 5, "newest": 4}, Answer.TOO_NEW),
    "a proxy that wants TLS": (426, "<html>", Answer.UNAVAILABLE),
}


@pytest.mark.parametrize(("status", "body", "answer"), ANSWERS.values(), ids=ANSWERS)
def test_what_answers_mean(status: int, body: Any, answer: Answer) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    assert judged(status, text.encode(), 5) == answer


@pytest.mark.parametrize("url", ["ftp://host", "host:4200", "http://", ""])
def test_a_url_that_is_none_says_so(url: str) -> None:
    with pytest.raises(LoadError, match="MINTAKA_API_URL"):
        Connection(url)
