"""Flow runs that wait, and those who let them go on, in processes of their own: with a file, with an API, as in a pod."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mintaka.exceptions import NotPausedError, ParameterTypeError
from mintaka.histories import HistoryError, history
from mintaka.persisting.resuming import resume
from mintaka.recording.homes import Home
from mintaka.recording.remote_history import RemoteHistory
from mintaka.waiting.intents import answer
from mintaka_core.reports import decode_report
from mintaka_history.embedded_sqlite import EmbeddedDatabase
from mintaka_history.writing.restarts import Claim, NotClaimable

if TYPE_CHECKING:
    from collections.abc import Callable

    from real_api import RealApi

FLOWS = """
import os, signal, sys, time
from pathlib import Path
from pydantic import field_validator
from mintaka import flow, pause_flow_run, suspend_flow_run, task
from mintaka.input import RunInput

class Approval(RunInput):
    approved: bool
    comment: str = ""

    @field_validator("comment")
    @classmethod
    def polite(cls, comment):
        if "!" in comment:
            raise ValueError("do not shout")
        return comment

@task
def load(n):
    with open("ran", "a") as file:
        file.write(f"load {n}\\n")
    return 2 * n

@flow(persist_result=True)
def approves(n: int = 3):
    loaded = load(n)
    approval = suspend_flow_run(Approval, key="approval")
    return loaded, approval.approved

@flow(persist_result=True)
def suspends():
    loaded = load(1)
    suspend_flow_run(timeout=float(os.environ.get("PATIENCE", "60")))
    return loaded, load(2)

@flow(result_storage="own")
def elsewhere():
    return load(3), suspend_flow_run(bool)

@flow
def asks():
    return pause_flow_run(Approval, timeout=60, poll_interval=0.05).approved

@flow(persist_result=True)
def asks_again():
    return load(1), pause_flow_run(Approval, timeout=60, poll_interval=0.05).approved

@flow(persist_result=True)
def dies():
    loaded = load(1)
    suspend_flow_run()
    if not Path("repaired").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return loaded

if __name__ == "__main__":
    print(globals()[sys.argv[1]]())
"""


class Desk:
    """A folder with the flows, and the commands that are typed in it."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        (folder / "flows.py").write_text(FLOWS, encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MINTAKA_")}
        self.variables = kept | {"MINTAKA_HOME": str(folder / "home")} | variables

    def begin(self, *command: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.variables | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *command: str, **variables: str) -> tuple[int, str, str]:
        process = self.begin(*command, **variables)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def script(self, flow: str, **variables: str) -> tuple[int, str, str]:
        return self("flows.py", flow, **variables)

    def mintaka(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        return self("-c", "from mintaka.cli import main; main()", *arguments, **variables)

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.mintaka("get", "--json")[1])
        return found

    def run(self) -> dict[str, Any]:
        (found,) = self.runs()
        return found

    def ran(self) -> list[str]:
        path = self.folder / "ran"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def eventually[T](probe: Callable[[], T | None], seconds: float = 30) -> T:
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)
    return found


def test_a_script_suspends_itself_and_goes_on_with_its_input(desk: Desk) -> None:
    """Exit code 5 and a line that says what to type; the same run, in its next attempt; nothing is done twice."""
    code, _, err = desk.script("approves")
    uid = desk.run()["uid"]
    assert (code, f"mintaka resume {uid}" in err, "Traceback" in err) == (5, True, False)
    assert "waits for input (approved: boolean, comment: string, optional)" in desk.mintaka("get", uid)[1]
    code, _, err = desk.mintaka("resume", uid)
    assert (code, "give it with --input" in err) == (2, True)
    code, _, err = desk.mintaka("resume", uid, "--input", '{"approved": 17}')
    assert (code, 'input/approved: 17 is not of type "boolean"' in err, len(err.splitlines())) == (2, True, 1)
    assert (desk.run()["state"]["name"], desk.run()["attempt"]) == ("Suspended", 1)
    code, _, err = desk.mintaka("resume", uid, "--input", '{"approved": true, "comment": "now!"}')
    assert (code, "do not shout" in err) == (5, True)
    assert "the last answer was refused" in desk.mintaka("get", uid)[1]
    (desk.folder / "answer.json").write_text('{"approved": true}', encoding="utf-8")
    assert desk.mintaka("resume", desk.run()["name"], "--input", "@answer.json")[:2] == (0, "(6, True)\n")
    run = desk.run()
    assert (run["uid"], run["state"]["type"], run["attempt"]) == (uid, "COMPLETED", 3)
    assert desk.ran() == ["load 3"]
    code, _, err = desk.mintaka("replay", uid)
    assert (code, "the replay ended Completed" in err) == (0, True)
    transitions = json.loads(desk.mintaka("explain", uid, "--json")[1])["transitions"]
    assert [row["sequence"] for row in transitions] == list(range(1, len(transitions) + 1))
    assert [row["from"] for row in transitions[1:]] == [row["to"] for row in transitions[:-1]]


def test_a_run_with_a_storage_of_its_own_is_answered_and_goes_on(desk: Desk) -> None:
    """Where its results are is said by who resumes it; it is the same run all the same."""
    desk.script("elsewhere")
    run = desk.run()
    code, _, err = desk.mintaka("resume", run["uid"], "--input", "true")
    assert (code, "nothing is kept of flow run" in err) == (2, True)
    assert desk.mintaka("resume", run["uid"], "--storage", "own")[:2] == (0, "(6, True)\n")
    assert (desk.run()["uid"], desk.run()["attempt"]) == (run["uid"], 2)


def test_of_two_who_resume_a_run_at_once_one_is_refused(desk: Desk) -> None:
    """The claim is one transaction, and the one who lost is told."""
    desk.script("suspends")
    uid = desk.run()["uid"]
    database = EmbeddedDatabase(desk.folder / "home" / "history.db")
    try:
        first = database.restart(uid)
        assert isinstance(first, Claim)
        assert (first.attempt, first.transitions) == (2, 4)
        assert isinstance(database.restart(uid), NotClaimable)
    finally:
        database.close()
    code, _, err = desk.mintaka("resume", uid)
    assert (code, "it goes on already" in err) == (2, True)


def test_a_suspension_that_nobody_ends_in_time_fails_for_whoever_looks_next(desk: Desk) -> None:
    """FAILED, TimedOut; run again, it asks again."""
    desk.script("suspends", PATIENCE="0.01")
    run = desk.run()
    assert (run["state"]["type"], run["state"]["name"], run["state"]["reason"]) == ("FAILED", "TimedOut", "SuspensionTimedOut")
    assert desk.mintaka("resume", run["uid"])[0] == 5
    assert desk.run()["state"]["name"] == "Suspended"
    assert desk.mintaka("resume", run["uid"])[:2] == (0, "(2, 4)\n")


def test_a_run_that_is_killed_after_it_was_resumed_is_resumed_again(desk: Desk) -> None:
    """Found CRASHED; what was resumed stays resumed, what is finished stays finished."""
    desk.script("dies")
    uid = desk.run()["uid"]
    assert desk.mintaka("resume", uid)[0] == -signal.SIGKILL
    assert (desk.run()["state"]["type"], desk.run()["attempt"]) == ("CRASHED", 2)
    (desk.folder / "repaired").touch()
    assert desk.mintaka("resume", uid)[:2] == (0, "2\n")
    assert (desk.run()["state"]["type"], desk.run()["attempt"]) == ("COMPLETED", 3)
    assert desk.ran() == ["load 1"]


def test_a_script_that_waits_in_its_process_is_answered_from_another(desk: Desk) -> None:
    """PAUSED meanwhile; a wrong answer is refused with the reason, and it waits on."""
    process = desk.begin("flows.py", "asks")
    eventually(lambda: [run for run in desk.runs() if run["state"]["type"] == "PAUSED"])
    uid = desk.run()["uid"]
    code, _, err = desk.mintaka("resume", uid, "--input", '{"approved": "perhaps"}')
    assert (code, 'input/approved: "perhaps" is not of type "boolean"' in err) == (2, True)
    assert desk.mintaka("resume", uid, "--input", '{"approved": false}')[0] == 0
    assert process.communicate(timeout=30)[0] == "False\n"
    code, _, err = desk.mintaka("resume", uid, "--input", "1")
    assert (code, "waits for no input" in err) == (2, True)


def test_a_run_that_was_killed_while_it_waited_starts_again_and_asks_again(desk: Desk) -> None:
    """Nobody is left to take an answer: none is taken, and the run is told to be CRASHED."""
    process = desk.begin("flows.py", "asks_again")
    eventually(lambda: [run for run in desk.runs() if run["state"]["type"] == "PAUSED"])
    process.kill()
    process.communicate()
    uid = desk.run()["uid"]
    assert "waits for" not in desk.mintaka("get", uid)[1]
    code, _, err = desk.mintaka("resume", uid, "--input", '{"approved": true}')
    assert (code, "is Crashed and waits for no input" in err) == (2, True)
    process = desk.begin("-c", "from mintaka.cli import main; main()", "resume", uid)
    eventually(lambda: [run for run in desk.runs() if (run["state"]["type"], run["attempt"]) == ("PAUSED", 2)])
    assert desk.mintaka("resume", uid, "--input", '{"approved": true}')[0] == 0
    assert process.communicate(timeout=30)[0] == "(2, True)\n"
    assert desk.ran() == ["load 1"]


def test_a_run_that_waits_and_is_asked_to_end_ends_as_terminated(desk: Desk) -> None:
    """`mintaka run` gets SIGTERM in a pause."""
    process = desk.begin("-c", "from mintaka.cli import main; main()", "run", "flows.py:asks", "--no-progress")
    eventually(lambda: [run for run in desk.runs() if run["state"]["type"] == "PAUSED"])
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert (desk.run()["state"]["type"], desk.run()["state"]["reason"]) == ("CRASHED", "Terminated")


def test_code_answers_a_run_of_another_process_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """resume_flow_run, where the run is not one of this process."""
    monkeypatch.setenv("MINTAKA_HOME", str(desk.folder / "home"))
    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    process = desk.begin("flows.py", "asks")
    run = eventually(lambda: next((run for run in desk.runs() if run["state"]["type"] == "PAUSED"), None))
    with pytest.raises(ParameterTypeError, match='input/approved: "perhaps" is not of type "boolean"'):
        answer(run["uid"], {"approved": "perhaps"})
    answer(run["uid"], {"approved": True})
    assert process.communicate(timeout=30)[0] == "True\n"
    with pytest.raises(NotPausedError, match="is not paused"):
        answer(run["uid"], {"approved": True})


def test_a_run_at_an_api_is_answered_there_and_wrong_answers_are_told_apart(real_api: RealApi, tmp_path: Path) -> None:
    """Against the schema, with the places that are wrong; in its process, and suspended."""
    desk = Desk(tmp_path, MINTAKA_API_URL=real_api.url)
    process = desk.begin("flows.py", "asks")

    def paused() -> tuple[str, dict[str, Any]] | None:
        found = [(run["uid"], real_api.get(f"/flow-runs/{run['uid']}/pauses")["items"]) for run in real_api.get("/flow-runs")["items"]]
        return next(((uid, pauses[0]) for uid, pauses in found if pauses), None)

    uid, pause = eventually(paused)
    assert pause["schema"]["properties"]["approved"]["type"] == "boolean"
    assert real_api.get(f"/flow-runs/{uid}")["state"]["type"] == "PAUSED"
    assert "waits for input" in desk.mintaka("get", uid)[1]
    path = f"{real_api.url}/api/v1/flow-runs/{uid}"
    wrong = httpx.post(f"{path}/pauses/{pause['key']}/answer", json={"input": {"approved": 17, "colour": "red"}})
    assert (wrong.status_code, wrong.json()["type"].rsplit("/", 1)[1]) == (422, "invalid-input")
    assert {error["path"] for error in wrong.json()["errors"]} == {"input", "input/approved"}
    with RemoteHistory(real_api.url) as api, pytest.raises(HistoryError, match='input: "approved" is a required property'):
        api.post(f"/flow-runs/{uid}/resume")
    right = httpx.post(f"{path}/pauses/{pause['key']}/answer", json={"input": {"approved": True}})
    assert (right.status_code, right.json()["open"]) == (200, False)
    again = httpx.post(f"{path}/pauses/{pause['key']}/answer", json={"input": {"approved": True}})
    assert (again.status_code, again.json()["type"].rsplit("/", 1)[1]) == (409, "not-paused")
    assert process.communicate(timeout=30)[0] == "True\n"
    assert httpx.put(f"{path}/pauses/nothing", json={"attempt": 0}).status_code == 422
    assert httpx.get(f"{path}/pauses/nothing").status_code == 404
    assert [getattr(httpx, method)(f"{path}/pauses/a%00b").status_code for method in ("get", "put")] == [422, 422]
    told = httpx.put(f"{path}/pauses/more", json={"attempt": 1}).json()
    assert (told["key"], told["open"]) == ("more", False)  # the run is over
    assert httpx.put(f"{path}/pauses/more", json={"attempt": 1, "refusal": "a\0b"}).json()["refusal"] == "ab"
    given = {"attempt": 1, "over": True, "answered": True, "answer": ["a\0b", "\\u0000"]}
    assert httpx.put(f"{path}/pauses/more", json=given).json()["answer"] == given["answer"]


def test_a_script_with_an_api_suspends_itself_and_goes_on_where_its_code_is(real_api: RealApi, tmp_path: Path) -> None:
    """The API keeps the pause and the answer, `mintaka resume` runs the flow."""
    desk = Desk(tmp_path, MINTAKA_API_URL=real_api.url)
    assert desk.script("approves")[0] == 5
    run = desk.run()
    assert (run["state"]["type"], run["state"]["name"]) == ("PAUSED", "Suspended")
    code, _, err = desk.mintaka("resume", run["uid"], "--input", '{"approved": 17}')
    assert (code, "approved" in err) == (2, True)
    assert desk.mintaka("resume", run["uid"], "--input", '{"approved": true}')[:2] == (0, "(6, True)\n")
    assert (desk.run()["state"]["type"], desk.run()["attempt"]) == ("COMPLETED", 2)
    assert desk.ran() == ["load 3"]


def pod(desk: Desk, entrypoint: str, **variables: str) -> tuple[int, Any, str]:
    """Exit code, report and output of a runner."""
    message = desk.folder / "termination-log"
    given = {
        "MINTAKA_FLOW_RUN": "run-1",
        "MINTAKA_FLOW_RUN_UID": "0190f5fe-0000-7000-8000-000000000001",
        "MINTAKA_NAMESPACE": "team",
        "MINTAKA_ENTRYPOINT": f"flows.py:{entrypoint}",
        "MINTAKA_TERMINATION_MESSAGE_PATH": str(message),
        "MINTAKA_RESULT_STORAGE": str(desk.folder / "results"),
        "MINTAKA_RESULTS_PERSIST_BY_DEFAULT": "true",
    }
    code, out, err = desk("-m", "mintaka.runner", **given | variables)
    return code, decode_report(message.read_text(encoding="utf-8")), out + err


def assert_cancelled_while_suspended(desk: Desk) -> None:
    assert desk.script("suspends")[0] == 5
    uid = desk.run()["uid"]
    code, _, err = desk.mintaka("suspend", uid)
    assert (code, "is suspended already" in err) == (2, True)
    assert desk.mintaka("cancel", uid)[:2] == (0, f"{desk.run()['name']}: asked to cancel\n")
    state = desk.run()["state"]
    assert (state["type"], state["reason"], state["message"]) == ("CANCELLED", "Cancelled", "somebody asked for it")
    assert "waits to be resumed" not in desk.mintaka("get", uid)[1]
    code, _, err = desk.mintaka("cancel", uid)
    assert (code, "Traceback" in err) == (2, False)
    transitions = json.loads(desk.mintaka("explain", uid, "--json")[1])["transitions"]
    assert [row["to"] for row in transitions] == ["PENDING", "RUNNING", "PAUSED", "CANCELLED"]


def test_a_script_that_is_suspended_is_cancelled_though_it_has_no_process(desk: Desk) -> None:
    """At once, by whoever asks."""
    assert_cancelled_while_suspended(desk)


def test_a_script_with_an_api_that_is_suspended_is_cancelled_there(real_api: RealApi, tmp_path: Path) -> None:
    """The API has no cluster, and needs none for that."""
    assert_cancelled_while_suspended(Desk(tmp_path, MINTAKA_API_URL=real_api.url))


def test_a_pod_reports_that_its_flow_suspended_itself(desk: Desk) -> None:
    """Which suspension, until when; the next attempt passes it when it is told so."""
    code, report, _ = pod(desk, "suspends")
    assert (code, report.state.type, report.state.name) == (5, "PAUSED", "Suspended")
    assert report.suspension
    assert report.resume_by is not None
    code, again, _ = pod(desk, "suspends", MINTAKA_ATTEMPT="2")
    assert (code, again.suspension) == (5, report.suspension)
    over = json.dumps([report.suspension])
    code, last, _ = pod(desk, "suspends", MINTAKA_ATTEMPT="3", MINTAKA_RESUMED=over)
    assert (code, last.state.type) == (0, "COMPLETED")
    assert desk.ran() == ["load 1", "load 2"]


def test_a_pod_that_is_to_resume_from_what_is_not_there_fails_clearly(desk: Desk) -> None:
    """And is not tried again: nothing will bring it back."""
    code, report, _ = pod(desk, "suspends", MINTAKA_RESUME_FROM="0190f5fe-0000-7000-8000-00000000000f")
    assert (code, report.state.type, report.state.reason, report.retriable) == (1, "FAILED", "InvalidResume", False)
    assert "nothing is kept of flow run" in report.state.message


def test_a_script_without_history_resumes_nothing_in_place(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that only its results tell of is gone on with in a new one."""
    desk.script("suspends")
    uid = desk.run()["uid"]
    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    monkeypatch.setenv("MINTAKA_HOME", str(desk.folder / "other"))
    monkeypatch.setenv("MINTAKA_RESULT_STORAGE", str(desk.folder / "home" / "results"))
    monkeypatch.chdir(desk.folder)
    with pytest.raises(SystemExit):
        resume(uid)
    with history(Home(Path(), "", desk.folder / "other" / "history.db")) as other:
        (new,) = other.flow_runs()
    assert (new["uid"] != uid, new["state"]["name"]) == (True, "Suspended")
