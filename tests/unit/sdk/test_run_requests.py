"""Requests of `run_deployment` to an API that is unavailable, refuses, is not Mintaka's, or has several deployments with a name."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import pytest

from mintaka.engine.stopping import STOP
from mintaka.exceptions import (
    ConfigurationError,
    DeploymentNotFound,
    InvalidSettingError,
    ParameterTypeError,
    RunRequestAway,
    RunRequestError,
)
from mintaka.recording.sending import Connection
from mintaka.remote_runs import end_watch
from mintaka.remote_runs.api_requests import Deployment, Place, ask, find_deployment, place, repeat
from mintaka.remote_runs.end_watch import EndWatch
from mintaka.remote_runs.run_requests import call_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = Place("http://api", "team")


class FakeApi:
    """Answers in place of an API: `deployments` by (namespace, name), or what `answers` has, one after the other."""

    def __init__(self) -> None:
        self.deployments: dict[tuple[str, str], dict[str, Any]] = {}
        self.answers: list[tuple[int, Any] | Exception] = []
        self.requests: list[tuple[str, str]] = []

    def exchange(self, method: str, path: str, _document: Any = None) -> tuple[int, Any]:
        """Answer a request, as a connection does."""
        self.requests.append((method, path))
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        _, _, namespace, name = path.split("/")
        found = self.deployments.get((namespace, name))
        return (404, {"type": "https://mintaka.dev/problems/not-found", "detail": "none"}) if found is None else (200, found)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """An API; pauses between requests are skipped."""
    fake = FakeApi()
    monkeypatch.setattr(Connection, "exchange", lambda _self, *arguments: fake.exchange(*arguments))
    monkeypatch.setattr(STOP, "skipped", [])
    return fake


def deployment(entrypoint: str, **fields: Any) -> dict[str, Any]:
    """A flow deployment as the API shows it."""
    return {"entrypoint": entrypoint, "deleted": None, "result_storage": None, **fields}


NAMES = {
    "its name": ("nightly", ("team", "nightly")),
    "its flow and name": ("clean-up/nightly", ("team", "nightly")),
    "its flow as the function is called": ("clean_up/nightly", ("team", "nightly")),
    "its namespace and name": ("team/nightly", ("team", "nightly")),
    "another namespace": ("other/nightly", ("other", "nightly")),
}


@pytest.mark.parametrize(("name", "found"), NAMES.values(), ids=NAMES)
def test_a_deployment_is_found_by(api: FakeApi, name: str, found: tuple[str, str]) -> None:
    """The caller's own namespace comes first."""
    api.deployments = {
        ("team", "nightly"): deployment("flows.py:clean_up", result_storage="s3://results"),
        ("other", "nightly"): deployment("flows.py:clean_up"),
    }
    assert find_deployment(HERE, name) == Deployment(*found, "s3://results" if found[0] == "team" else "")


UNKNOWN = {
    "no such name": ("weekly", "there is no flow deployment 'weekly' in namespace 'team'"),
    "of another flow": ("report/nightly", "nor|that of namespace 'team' is of another flow, flows.py:clean_up"),
    "deleted": ("gone", "there is no flow deployment 'gone'"),
}


@pytest.mark.parametrize(("name", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_missing_deployment_is_not_found(api: FakeApi, name: str, message: str) -> None:
    """A second request is made, because it may have just been applied; another flow's deployment is not run in its place."""
    api.deployments = {
        ("team", "nightly"): deployment("flows.py:clean_up"),
        ("team", "gone"): deployment("a:b", deleted="2026-01-01T00:00:00Z"),
    }
    with pytest.raises(DeploymentNotFound, match=message):
        find_deployment(HERE, name)
    assert len(api.requests) >= 2
    assert STOP.skipped


ANSWERS: dict[str, tuple[tuple[int, Any] | Exception, type[Exception], str]] = {
    "is not there": (ConnectionRefusedError("refused"), RunRequestAway, "does not answer"),
    "is overloaded": ((503, {"type": "x/overloaded", "detail": "later"}), RunRequestAway, "later"),
    "refuses": (
        (422, {"type": "x/invalid-parameters", "detail": "no", "errors": [{"path": "n", "message": "not a number"}]}),
        RunRequestError,
        r"no \(n: not a number\)",
    ),
    "is a proxy": ((404, {"message": "no route"}), RunRequestError, "HTTP 404"),
    "is a page": (ValueError("no JSON"), RunRequestError, "is not the API of Mintaka"),
}


@pytest.mark.parametrize(("answer", "kind", "message"), ANSWERS.values(), ids=ANSWERS)
def test_what_an_answer_means(api: FakeApi, answer: tuple[int, Any] | Exception, kind: type[Exception], message: str) -> None:
    api.answers = [answer]
    with pytest.raises(RunRequestError, match=message) as raised:
        ask("http://api", "GET", "/x")
    assert type(raised.value) is kind


def test_a_request_is_repeated_while_the_api_is_away(api: FakeApi) -> None:
    """It is repeated for a while, at increasing intervals."""
    api.answers = [ConnectionRefusedError(), (503, {"type": "x"}), (200, {"fine": True})]
    assert repeat(lambda: ask("http://api", "GET", "/x"), 60)[1] == {"fine": True}
    assert STOP.skipped == [0.5, 1.0]
    api.answers = [ConnectionRefusedError()] * 20
    with pytest.raises(RunRequestAway):
        repeat(lambda: ask("http://api", "GET", "/x"), 10)
    assert sum(STOP.skipped[2:]) == 10
    api.answers = [(422, {"type": "x"}), (200, {})]
    with pytest.raises(RunRequestError):
        repeat(lambda: ask("http://api", "GET", "/x"), 60)


def test_without_an_api_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path))
    monkeypatch.delenv("MINTAKA_API_URL", raising=False)
    with pytest.raises(ConfigurationError, match="start a server on this machine"):
        place()


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [({"timeout_seconds": -1}, InvalidSettingError), ({"parameters": {"x": object()}}, ParameterTypeError)],
    ids=["a negative timeout", "a parameter that JSON does not have"],
)
def test_arguments_without_a_meaning_are_refused(monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], kind: type[Exception]) -> None:
    monkeypatch.setenv("MINTAKA_API_URL", "http://api")
    given: dict[str, Any] = dict.fromkeys(("parameters", "scheduled_time", "flow_run_name", "timeout_seconds", "tags"))
    given |= dict.fromkeys(("idempotency_key", "job_variables"))
    with pytest.raises(kind):
        call_of("nightly", None, **(given | arguments))


def found(parameters: dict[str, Any], state: str = "RUNNING", sequence: int = 3) -> dict[str, Any]:
    """The answer to a call whose run exists."""
    return {"uid": "u", "name": "nightly-1", "sequence": sequence, "parameters": parameters, "state": {"type": state}}


FOUND: dict[str, tuple[int, dict[str, Any], bool]] = {
    "created": (201, {"day": 2}, False),
    "the same": (200, {"day": 1}, False),
    "with other parameters": (200, {"day": 2}, True),
    "run again with other parameters": (202, {"day": 2}, True),
    "with a secret": (200, {"day": "********"}, False),
    "not known in history yet": (200, {}, False),
}


@pytest.mark.parametrize(("status", "parameters", "warned"), FOUND.values(), ids=FOUND)
def test_a_run_that_is_found_with_other_parameters_is_worth_a_warning(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int, parameters: dict[str, Any], warned: bool
) -> None:
    """It may belong to another call."""
    monkeypatch.delenv("MINTAKA_HISTORY", raising=False)
    monkeypatch.setenv("MINTAKA_API_URL", "http://api")
    call = call_of("nightly", None, {"day": 1}, None, None, None, None, "key", None)
    api.answers = [(200, deployment("a:b")), (status, found(parameters))]
    with caplog.at_level("WARNING", "mintaka"):
        call.request()
    assert ("has other parameters" in caplog.text) == warned


ANSWERED: dict[str, tuple[int, str, int, int]] = {
    "created": (201, "SCHEDULED", 0, 0),
    "running": (200, "RUNNING", 3, 3),
    "over": (200, "FAILED", 3, 2),
    "over, and runs again": (202, "FAILED", 3, 3),
    "runs again already": (202, "SCHEDULED", 4, 4),
}


@pytest.mark.parametrize(("status", "state", "sequence", "after"), ANSWERED.values(), ids=ANSWERED)
def test_an_end_from_before_the_answer_does_not_count(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, status: int, state: str, sequence: int, after: int
) -> None:
    """History, in which the end is waited for, may be behind: it may have an end that a rerun has replaced."""
    monkeypatch.delenv("MINTAKA_HISTORY", raising=False)
    monkeypatch.setenv("MINTAKA_API_URL", "http://api")
    call = call_of("nightly", None, {}, None, None, None, None, "key", None)
    api.answers = [(200, deployment("a:b")), (status, found({}, state, sequence))]
    assert call.request()[1].after == after


class Ends:
    """Answers of the route that waits for ends: those of `over`, or errors while there are any."""

    def __init__(self) -> None:
        self.over: dict[str, int] = {}
        #: What a check finds: runs that will not run again, and those that do not exist.
        self.over_for_good: dict[str, int] = {}
        self.gone: list[str] = []
        self.errors: list[Exception] = []
        self.asked: list[list[dict[str, Any]]] = []
        self.changed = threading.Condition()

    def ask(self, _url: str, _method: str, _path: str, body: Any, **_: Any) -> tuple[int, Any]:
        """Answer as the API does."""
        with self.changed:
            self.asked.append(body["runs"])
            if self.errors:
                raise self.errors.pop(0)
            ended = {run["uid"]: self.over[run["uid"]] for run in body["runs"] if self.over.get(run["uid"], -2) > run["after"]}
            gone = []
            if body["check"]:
                named = {run["uid"] for run in body["runs"] if (run["namespace"], run["name"]) == ("team", f"run-{run['uid']}")}
                ended |= {uid: self.over_for_good[uid] for uid in named & set(self.over_for_good)}
                gone = [uid for uid in self.gone if uid in named]
            if not (ended or gone):
                self.changed.wait(0.05)
        return 200, {"items": [{"uid": uid, "sequence": sequence} for uid, sequence in ended.items()], "gone": gone}


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    """A watch that sends its requests to these answers."""
    fake = Ends()
    monkeypatch.setattr(end_watch, "ask", fake.ask)
    monkeypatch.setattr(end_watch, "sleep", lambda _seconds: None)
    return fake


def test_all_runs_that_are_waited_for_share_a_request(ends: Ends) -> None:
    """An end before a rerun does not count; runs that no caller waits for are not requested; the thread ends with the last."""
    watch = EndWatch("http://api")
    ends.over = {"a": 4, "b": 3}
    first, again, forgotten = watch.wait_for("a"), watch.wait_for("b", 3), watch.wait_for("c")
    assert first.result(20)["sequence"] == 4
    assert not again.done()
    forgotten.cancel()
    with pytest.raises(CancelledError):
        forgotten.result(20)
    ends.over["b"] = 7
    assert again.result(20)["sequence"] == 7
    thread = watch._thread
    if thread is not None:
        thread.join(20)
        assert not thread.is_alive()
    ends.over["d"] = 1
    assert watch.wait_for("d").result(20)["uid"] == "d", "the next one starts another thread"


def test_a_request_is_repeated_if_the_api_is_away_but_not_if_it_refuses(ends: Ends) -> None:
    watch = EndWatch("http://api")
    ends.errors = [RunRequestAway("away"), RunRequestAway("away")]
    ends.over = {"a": 1}
    assert watch.wait_for("a").result(20)["uid"] == "a"
    ends.errors = [RunRequestError("refused")]
    with pytest.raises(RunRequestError, match="refused"):
        watch.wait_for("b").result(20)


CHECKED: dict[str, tuple[dict[str, int], list[str], str]] = {
    "over for good with the sequence from before a rerun": ({"a": 3}, [], ""),
    "over for good with a lower sequence": ({"a": 1}, [], ""),
    "unknown to the API": ({}, ["a"], r"has no flow run team/run-a \(a\) any more"),
}


@pytest.mark.parametrize(("over_for_good", "gone", "message"), CHECKED.values(), ids=CHECKED)
def test_a_run_whose_end_does_not_come_is_checked(
    ends: Ends, monkeypatch: pytest.MonkeyPatch, over_for_good: dict[str, int], gone: list[str], message: str
) -> None:
    """A check that the API does not answer is repeated; other runs are still waited for."""
    watch = EndWatch("http://api")
    ends.over_for_good, ends.gone = over_for_good, gone
    awaited, other = watch.wait_for("a", 3, namespace="team", name="run-a"), watch.wait_for("b", 3, namespace="team", name="run-b")
    with pytest.raises(TimeoutError):
        awaited.result(0.2)
    monkeypatch.setattr(end_watch, "_CHECK_SECONDS", 0.1)
    ends.errors = [RunRequestAway("away")]
    if message:
        with pytest.raises(RunRequestError, match=message):
            awaited.result(20)
    else:
        assert awaited.result(20) == {"uid": "a", "sequence": over_for_good["a"]}
    assert not other.done()
    ends.over["b"] = 4
    assert other.result(20)["sequence"] == 4
