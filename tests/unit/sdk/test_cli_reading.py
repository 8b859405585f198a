"""Commands that read history and ask for intents: local history, an API, a cluster through kubectl."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import stat
import sys
import threading
from contextlib import closing
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest

from mintaka import cli, flow, get_run_logger, runtime, task
from mintaka.cli import COMMANDS
from mintaka.recording.historian import historian


@task(retries=1)
def load(n: int) -> int:
    get_run_logger().warning("loading %d", n)
    if n == 2:
        raise ValueError("two is bad")
    return n


@flow(flow_run_name="survey-run")
def survey(n: int = 1) -> int:
    return load(n)


RESOURCE = {
    "metadata": {"uid": "u-1", "name": "etl-1", "namespace": "ns", "creationTimestamp": "2026-11-22T10:00:00Z"},
    "spec": {"deployment": "etl", "parameters": {"a": 1}},
    "status": {
        "state": {"type": "CRASHED", "name": "Crashed", "reason": "OOMKilled", "message": "out of memory", "time": "2026-11-22T10:00:05Z"},
        "attempt": 1,
        "sequence": 3,
        "podName": "etl-1-1",
        "startTime": "2026-11-22T10:00:01Z",
        "endTime": "2026-11-22T10:00:05Z",
        "transitions": [
            {"sequence": 3, "from": "RUNNING", "to": "CRASHED", "name": "Crashed", "rule": "", "verdict": "Accept", "reason": "OOMKilled",
             "time": "2026-11-22T10:00:05Z"},
        ],
    },
}  # fmt: skip


class Terminal:
    """Runs a command as the shell would: its exit code, and what it printed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str, program: str = "mintaka") -> tuple[int, str, str]:
        self._patch.setattr(sys, "argv", [program, *arguments])
        self._capsys.readouterr()
        try:
            cli.main()
            code: Any = 0
        except SystemExit as end:
            code = end.code or 0
        printed = self._capsys.readouterr()
        return int(code), printed.out, printed.err


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mintaka_home: str) -> Terminal:
    """A terminal whose local history is empty."""
    assert mintaka_home
    return Terminal(monkeypatch, capsys)


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubectl that answers with RESOURCE and keeps what it was asked, in the file that is returned."""
    asked = tmp_path / "asked"
    (tmp_path / "resource.json").write_text(json.dumps(RESOURCE))
    (tmp_path / "list.json").write_text(json.dumps({"items": [RESOURCE]}))
    program = tmp_path / "kubectl"
    program.write_text(
        f"""#!/bin/sh
echo "$@" >> {asked}
case "$*" in
  "get flowruns.mintaka.dev --output json") cat {tmp_path}/list.json ;;
  "get flowruns.mintaka.dev etl-1 --output json") cat {tmp_path}/resource.json ;;
  get*) echo 'Error from server (NotFound): flowruns "x" not found' >&2; exit 1 ;;
  logs*) echo "2026-11-22T10:00:01Z hello" ;;
  apply*) cat > {tmp_path}/applied; echo applied ;;
esac
"""
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return asked


def test_a_script_s_run_is_listed_shown_and_explained(terminal: Terminal) -> None:
    survey(1)
    code, out, _ = terminal("get")
    assert code == 0
    assert "survey-run" in out
    assert "Completed" in out
    code, out, _ = terminal("get", "survey-run", "--json")
    document = json.loads(out)
    assert document["state"]["type"] == "COMPLETED"
    assert [each["name"] for each in document["task_runs"]] == ["load-0"]
    code, out, _ = terminal("explain", "survey-run")
    assert code == 0
    assert "COMPLETED" in out or "Completed" in out


def test_explaining_a_failed_run_names_the_task_that_failed(terminal: Terminal) -> None:
    survey(2, return_state=True)
    _, out, _ = terminal("explain", "survey-run")
    assert "load-0" in out
    assert "two is bad" in out
    _, out, _ = terminal("explain", "survey-run", "--json")
    assert [each["name"] for each in json.loads(out)["task_runs"]] == ["load-0"]


@pytest.mark.parametrize("called", ["name", "n", "id"])
def test_the_log_of_one_task_run_is_found_by_its_name_number_and_id(called: str, terminal: Terminal) -> None:
    """The id is the one that the task itself knows."""

    @task(task_run_name=lambda: str(runtime.task_run.id))
    def named() -> None:
        get_run_logger().warning("a line of %s", runtime.task_run.id)

    @flow(flow_run_name="survey-run")
    def two() -> None:
        load(1)
        named()

    two()
    _, out, _ = terminal("get", "survey-run", "--json")
    _, second = json.loads(out)["task_runs"]
    assert second["id"] == second["name"]
    _, out, _ = terminal("logs", "survey-run", str(second[called]))
    assert (f"a line of {second['id']}" in out, "loading" in out) == (True, False)


def test_the_log_of_a_run_is_printed_from_the_level_asked_for(terminal: Terminal) -> None:
    survey(1)
    _, out, _ = terminal("logs", "survey-run", "--level", "warning", "--follow")
    assert "loading 1" in out
    _, out, _ = terminal("logs", "survey-run", "--level", "error")
    assert out == ""
    code, _, error = terminal("logs", "survey-run", "--attempt", "7")
    assert code == 2
    assert "flow run survey-run has no attempt 7: its last is 1" in error
    code, _, error = terminal("logs", "survey-run", "--level", "loud")
    assert code == 2
    assert "--level takes" in error


def test_watching_ends_with_the_run_s_own_exit_code(terminal: Terminal) -> None:
    survey(2, return_state=True)
    code, out, _ = terminal("watch", "survey-run", "--json")
    assert code == 1
    assert json.loads(out.splitlines()[-1])["state"]["type"] == "FAILED"
    survey(1)
    assert terminal("watch", "survey-run")[0] == 0


def test_runs_are_filtered_by_state(terminal: Terminal) -> None:
    survey(1)
    survey(2, return_state=True)
    _, out, _ = terminal("get", "--state", "failed", "--json")
    assert [run["state"]["type"] for run in json.loads(out)] == ["FAILED"]


def test_a_run_that_is_not_there_is_one_line_and_exit_code_2(terminal: Terminal) -> None:
    code, out, error = terminal("get", "nothing")
    assert (code, out) == (2, "")
    assert "there is no flow run nothing" in error
    assert error.count("\n") == 1


def test_a_run_that_is_over_is_not_cancelled_or_suspended(terminal: Terminal) -> None:
    survey(1)
    for action in ("cancel", "suspend"):
        code, _, error = terminal(action, "survey-run")
        assert code == 2
        assert f"has already ended Completed: there is nothing to {action}" in error


def test_a_run_whose_process_would_not_hear_it_is_not_cancelled(terminal: Terminal) -> None:
    """Here the flow is in a thread: SIGTERM would kill the whole process."""
    said: list[tuple[int, str, str]] = []

    @flow(flow_run_name="in-a-thread")
    def asking() -> None:
        flush = historian()
        for recorder in tuple(flush._open):
            recorder.flush(monotonic() + 10)
        said.append(terminal("cancel", "in-a-thread"))
        said.append(terminal("suspend", "in-a-thread"))

    thread = threading.Thread(target=asking)
    thread.start()
    thread.join()
    (code, _, error), (_, _, other) = said
    assert code == 2
    assert f"does not listen (process {os.getpid()})" in error
    assert "no other process can suspend it" in other


def test_the_cluster_is_asked_through_kubectl(terminal: Terminal, kubectl: Path) -> None:
    _, out, _ = terminal("get", "--cluster", "--json")
    assert [run["name"] for run in json.loads(out)] == ["etl-1"]
    _, out, _ = terminal("explain", "etl-1", program="/usr/bin/kubectl-mintaka")
    assert "OOMKilled" in out
    _, out, _ = terminal("logs", "etl-1", "--cluster")
    assert "hello" in out
    assert terminal("watch", "etl-1", "--cluster")[0] == 4
    assert "logs etl-1-1 --namespace ns --timestamps" in kubectl.read_text()


@pytest.mark.parametrize(("action", "spec"), [("cancel", '{"cancel": true}'), ("suspend", '{"suspend": true}')])
def test_intents_are_patches_of_the_spec_in_a_cluster(terminal: Terminal, kubectl: Path, tmp_path: Path, action: str, spec: str) -> None:
    running = {**RESOURCE, "status": {**RESOURCE["status"], "state": {"type": "RUNNING", "name": "Running"}}}
    (tmp_path / "resource.json").write_text(json.dumps(running))
    assert terminal(action, "etl-1", "--cluster")[0] == 0
    assert f'patch flowruns.mintaka.dev etl-1 --namespace ns --type merge --patch {{"spec": {spec}}}' in kubectl.read_text()


def test_a_run_of_a_cluster_that_is_over_cannot_be_cancelled(terminal: Terminal, kubectl: Path) -> None:
    code, _, error = terminal("cancel", "etl-1", "--cluster")
    assert code == 2
    assert "flow run ns/etl-1 has already ended Crashed" in error
    assert "patch" not in kubectl.read_text()


def test_without_the_api_a_cluster_s_runs_are_shown_and_what_lacks_is_said_once(terminal: Terminal, kubectl: Path) -> None:
    code, out, error = terminal("get", "etl-1", "--cluster")
    assert code == 0
    assert "OOMKilled" in out
    assert error.count("without task runs: the API is not found in the cluster") == 1
    assert "MINTAKA_API_NAMESPACE" in error
    assert "get services --all-namespaces" in kubectl.read_text()


def test_what_kubectl_says_is_the_error(terminal: Terminal, kubectl: Path) -> None:
    code, _, error = terminal("get", "gone", "--cluster")
    assert code == 2
    assert "NotFound" in error
    assert kubectl.exists()


RESUMED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "crashed": ({}, {}, '{"reruns": 1}'),
    "crashed, run again before": ({"reruns": 4}, {}, '{"reruns": 5}'),
    "suspended": ({"suspend": True}, {"type": "PAUSED", "name": "Suspended", "reason": "Suspended"}, '{"suspend": false}'),
    "suspended itself": ({}, {"type": "PAUSED", "name": "Suspended", "reason": "SuspendedItself"}, '{"reruns": 1}'),
    "running": ({}, {"type": "RUNNING", "name": "Running"}, ""),
    "cancelled for good": ({"cancel": True}, {}, ""),
}


@pytest.mark.parametrize(("spec", "state", "patch"), RESUMED.values(), ids=RESUMED)
def test_resuming_in_a_cluster_is_a_patch_that_suits_the_state(
    terminal: Terminal, kubectl: Path, tmp_path: Path, spec: dict[str, Any], state: dict[str, Any], patch: str
) -> None:
    """What goes on, or is cancelled for good, is refused."""
    status = {**RESOURCE["status"], **({"state": state} if state else {})}
    (tmp_path / "resource.json").write_text(json.dumps({**RESOURCE, "spec": spec, "status": status}))
    code, _, err = terminal("resume", "etl-1", "--cluster")
    assert (code, f'--patch {{"spec": {patch}}}' in kubectl.read_text()) == (0 if patch else 2, bool(patch))
    assert bool(patch) or "neither suspended nor over" in err or "spec.resumeFrom" in err


def test_intents_are_posted_to_an_api(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINTAKA_API_URL", "http://api.invalid")
    uid = "00000000-0000-0000-0000-000000000001"
    asked: list[str] = []
    known: dict[str, Any] = {"uid": uid, "name": "etl-1", "namespace": "ns", "state": {"type": "RUNNING", "name": "Running"}}

    def request(_client: object, method: str, url: str, **_: object) -> httpx.Response:
        if method == "POST":
            asked.append(url)
            return httpx.Response(202, json={"intent": "suspend"}, request=httpx.Request(method, url))
        return httpx.Response(200, json=known, request=httpx.Request(method, url))

    monkeypatch.setattr(httpx.Client, "request", request)
    code, out, _ = terminal("suspend", uid, "--json")
    assert (code, json.loads(out)["asked"]) == (0, "suspend")
    assert asked == [f"http://api.invalid/api/v1/flow-runs/{uid}/suspend"]
    known["flow"] = "etl"
    code, _, error = terminal("cancel", uid)
    assert code == 2
    assert "belongs to a script" in error


def test_apply_hands_a_flow_s_deployment_to_kubectl(terminal: Terminal, kubectl: Path, tmp_path: Path) -> None:
    (tmp_path / "etl.py").write_text("from mintaka import flow\n\n@flow\ndef main():\n    return 1\n")
    code, out, _ = terminal("apply", f"{tmp_path}/etl.py:main", "--namespace", "ns", "--cluster")
    assert (code, out) == (0, "applied\n")
    assert "apply --filename - --namespace ns" in kubectl.read_text()
    applied = json.loads((tmp_path / "applied").read_text())
    assert applied["kind"] == "FlowDeployment"
    assert "def main" in applied["spec"]["source"]["inline"]


def test_apply_applies_what_deploy_prints(terminal: Terminal, kubectl: Path, tmp_path: Path) -> None:
    (tmp_path / "etl.py").write_text("from mintaka import flow\n\n@flow\ndef main(n: int = 1):\n    return n\n")
    options = ["--cron", "0 6 * * *", "--time-zone", "Europe/Berlin", "-p", "n=2", "--tag", "x", "--name", "nightly", "-n", "team"]
    options += ["--result-storage", "s3://results", "--result-storage-secret", "access"]
    assert terminal("apply", f"{tmp_path}/etl.py:main", *options, "--cluster")[0] == 0
    _, printed, error = terminal("deploy", f"{tmp_path}/etl.py:main", "--inline", "--json", *options)
    assert error == ""
    assert json.loads((tmp_path / "applied").read_text()) == json.loads(printed)
    assert "apply --filename - --namespace team" in kubectl.read_text()
    code, _, error = terminal("apply", f"{tmp_path}/x.yaml", "--cron", "0 6 * * *")
    assert code == 2
    assert "with manifests only --namespace, --dry-run, --json and the options of the place are allowed" in error
    assert terminal("apply", f"{tmp_path}/x.yaml", "--result-storage", "s3://results")[2] == error


def test_deploy_says_where_the_code_has_to_be(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "etl.py").write_text("from mintaka import flow\n\n@flow\ndef main():\n    return 1\n")
    assert "--inline takes the file along" in terminal("deploy", f"{tmp_path}/etl.py:main")[2]
    assert terminal("deploy", f"{tmp_path}/etl.py:main", "--image", "x:1")[2] == ""


def test_the_doctor_tells_what_is_there_and_what_is_ill(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    code, out, _ = terminal("doctor", "--json")
    assert code == 0
    found = {finding["what"]: finding["well"] for finding in json.loads(out)}
    assert found == {"python": True, "mintaka": True, "history": True, "results": None, "spool": True, "cluster": None}
    monkeypatch.setenv("MINTAKA_API_URL", "http://127.0.0.1:1")
    code, out, _ = terminal("doctor")
    assert code == 1
    assert re.search("ill .*history .*start it, or correct MINTAKA_API_URL", out)
    assert terminal("doctor", "--cluster")[0] == 1, "no kubectl, and the cluster is asked for"


def test_the_doctor_tells_a_database_of_a_newer_version_from_one_that_is_none(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.db"
    monkeypatch.setenv("MINTAKA_DATABASE_URL", f"sqlite:///{path}")
    survey(1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    code, out, _ = terminal("doctor")
    assert code == 1
    assert "schema 9999 of a newer version" in out
    assert "pip install --upgrade mintaka" in out
    other = tmp_path / "other.db"
    other.write_text("something else")
    monkeypatch.setenv("MINTAKA_DATABASE_URL", f"sqlite:///{other}")
    code, out, _ = terminal("doctor")
    assert code == 1
    assert "is not a history database of Mintaka" in out


def test_the_doctor_finds_what_was_left_on_disk_and_a_storage_that_cannot_be_written(
    terminal: Terminal, mintaka_home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = Path(mintaka_home, "spool", "run-1")
    left.mkdir(parents=True)
    (left / "0001.gz").write_bytes(b"x" * 10)
    blocked = Path(mintaka_home, "file")
    blocked.write_text("")
    monkeypatch.setenv("MINTAKA_RESULT_STORAGE", f"file://{blocked}/results")
    code, out, _ = terminal("doctor", "--json")
    assert code == 1
    found = {finding["what"]: finding for finding in json.loads(out)}
    assert (found["spool"]["well"], found["results"]["well"]) == (False, False)
    assert "run-1" in found["spool"]["told"]
    assert str(blocked) in found["results"]["told"]


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"completion", "diff", "replay"}))
def test_every_command_speaks_json_and_has_the_help_of_the_table(terminal: Terminal, name: str) -> None:
    group = getattr(import_module(COMMANDS[name].module), "group", None)
    for words in [[]] if group is None else [[str(command.name)] for command in group.registered_commands]:
        code, out, _ = terminal(name, *words, "--help")
        assert code == 0
        assert "--json" in out


@pytest.mark.parametrize("words", [("variable", "list"), ("limit", "list")])
def test_what_a_cluster_shares_is_not_looked_for_on_this_machine(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, words: tuple[str, str]
) -> None:
    monkeypatch.delenv("MINTAKA_API_URL", raising=False)
    code, out, told = terminal(*words, program="kubectl-mintaka")
    assert (code, out) == (2, "")
    assert "kubectl port-forward" in told
