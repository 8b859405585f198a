"""What a process could not deliver before it ended is taken in later: at least once, by one of many, whatever state it is in."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.registry import _registry as registry

from mintaka.recording.leftovers_of_pods import LeftoversOfPods
from mintaka.recording.sinks import ApiSink
from mintaka_core.reports import decode_report
from object_store import ObjectStore

if TYPE_CHECKING:
    from real_api import RealApi

SCRIPT = """
    import os, signal, sys, time
    from pathlib import Path
    from mintaka import flow, task
    @task
    def add(n):
        return n
    @flow
    def main(count):
        for n in range(count):
            add(n)
    @flow
    def dies():
        main(300)
        spool = Path(os.environ["MINTAKA_HOME"], "spool")
        while not list(spool.glob("[!.]*/*.gz")):
            time.sleep(0.01)
        time.sleep(0.6)  # one flush more
        os.kill(os.getpid(), signal.SIGKILL)
"""
KILLED = SCRIPT + "    dies()\n"
ORDINARY = SCRIPT + "    main(10)\n"


class Scripts:
    """Runs scripts and commands whose history goes to one place."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {"MINTAKA_HISTORY": "on", "MINTAKA_HOME": str(home), "MINTAKA_HISTORY_GRACE_SECONDS": "0.3"}

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(command, env=os.environ | self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, text: str) -> tuple[int, str]:
        process = self.start(sys.executable, "-c", textwrap.dedent(text))
        _, said = process.communicate(timeout=60)
        return process.returncode, said

    def deliver(self, *places: str) -> subprocess.Popen[str]:
        return self.start(str(Path(sys.executable).with_name("mintaka")), "deliver", "--json", *places)

    def delivered(self, *places: str) -> tuple[int, dict[str, int], str]:
        process = self.deliver(*places)
        out, said = process.communicate(timeout=60)
        return process.returncode, json.loads(out), said

    @property
    def folders(self) -> list[Path]:
        return sorted(path for path in (self.home / "spool").iterdir() if not path.name.startswith("."))


@pytest.fixture
def scripts(api: Any, tmp_path: Path) -> Scripts:
    """Scripts that report to the stand-in, which is away at first."""
    found = Scripts(tmp_path)
    found.environment["MINTAKA_API_URL"] = api.url
    api.stop()
    return found


def killed(scripts: Scripts) -> None:
    code, _ = scripts.run(KILLED)
    assert code == -signal.SIGKILL


def test_the_next_script_takes_in_what_a_killed_one_left(api: Any, scripts: Scripts) -> None:
    killed(scripts)
    assert len(scripts.folders) == 1
    api.start()
    code, said = scripts.run(ORDINARY)
    assert (code, said) == (0, "")
    assert scripts.folders == []
    assert len({report["flow_run"]["name"] for report in api.reports}) == 2
    assert max(api.tasks) == 300  # the subflow, and what it called


def test_a_script_that_ended_without_the_api_is_taken_in_by_the_command(api: Any, scripts: Scripts) -> None:
    code, said = scripts.run(ORDINARY)
    assert code == 0
    assert "does not take history, which is kept on disk meanwhile" in said
    assert "is not delivered yet: it is in" in said
    assert scripts.delivered()[:2] == (1, {"unavailable": 1})
    api.start()
    assert scripts.delivered()[:2] == (0, {"delivered": 1})
    api.assert_complete(10)
    assert scripts.delivered()[:2] == (0, {})


def test_a_place_that_is_not_there_is_no_empty_one(scripts: Scripts, tmp_path: Path) -> None:
    process = scripts.deliver(str(tmp_path / "elsewhere"))
    out, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"there is no folder {tmp_path / 'elsewhere'}" in out + said


def test_a_living_process_keeps_what_it_has(api: Any, scripts: Scripts) -> None:
    process = scripts.start(
        sys.executable,
        "-c",
        textwrap.dedent(SCRIPT.replace("os.kill(", "print('spooled', flush=True); signal.pause(); print(") + "    dies()\n"),
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "spooled\n"
        api.start()
        assert scripts.delivered()[:2] == (0, {})
    finally:
        process.kill()
        process.communicate()


def test_takers_at_once_lose_nothing(api: Any, scripts: Scripts) -> None:
    for _ in range(4):
        killed(scripts)
    api.start()
    ends = []
    for process in [scripts.deliver() for _ in range(3)]:
        out, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, "")
        ends.append(json.loads(out).get("delivered", 0))
    assert sum(ends) == 4
    assert scripts.folders == []
    names = {report["flow_run"]["name"] for report in api.reports}
    assert len(names) == 4
    for name in names:
        rows = {row["n"]: row["state"] for report in api.reports if report["flow_run"]["name"] == name for row in report["tasks"]}
        assert [rows[n] for n in range(301)] == ["COMPLETED"] * 301


def test_takers_of_one_storage_at_once_lose_nothing(api: Any, scripts: Scripts, tmp_path: Path) -> None:
    """What is in a storage cannot be locked, so reports may come twice; that does no harm."""
    killed(scripts)
    killed(scripts)
    for folder in scripts.folders:
        place = tmp_path / "results" / "spools" / folder.name
        place.mkdir(parents=True)
        for path in (folder / "owner", *folder.glob("*.gz")):
            path.rename(place / path.name)
    api.start()
    for process in [scripts.deliver(f"file://{tmp_path}/results") for _ in range(3)]:
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, "")
    assert [path for path in (tmp_path / "results").rglob("*") if path.is_file()] == []
    found = {(report["flow_run"]["name"], row["n"]) for report in api.reports for row in report["tasks"] if row["state"] == "COMPLETED"}
    assert len(found) == 2 * 301


def test_the_next_pod_with_the_same_folder_takes_in_what_one_left(api: Any, tmp_path: Path) -> None:
    api.stop()
    assert pod(tmp_path, api.url).history_complete is False
    api.start()
    assert pod(tmp_path, api.url, MINTAKA_ATTEMPT="2").history_complete is True
    assert {report["attempt"] for report in api.reports if report["final"]} == {1, 2}
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_taker_that_is_killed_leaves_the_rest_to_the_next(api: Any, scripts: Scripts) -> None:
    killed(scripts)
    api.start()
    api.fault_forever = 0.2
    process = scripts.deliver()
    while not api.reports:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    api.fault_forever = None
    assert scripts.delivered()[0] == 0
    assert {row["state"] for n, row in api.tasks.items() if n} == {"COMPLETED"}
    assert len(api.tasks) == 301


def test_what_was_cut_short_is_lost_alone_and_said(api: Any, scripts: Scripts) -> None:
    killed(scripts)
    (folder,) = scripts.folders
    newest = max(folder.glob("*.gz"))
    newest.write_bytes(newest.read_bytes() + newest.read_bytes()[:40])
    api.start()
    code, ends, said = scripts.delivered()
    assert (code, ends) == (0, {"delivered": 1})
    assert "ends with 40 bytes that were cut short" in said
    assert len(api.tasks) == 301


@pytest.mark.parametrize(
    ("status", "problem"), [(404, "https://mintaka.dev/problems/not-found"), (410, "about:blank"), (422, "about:blank")]
)
def test_what_the_api_will_never_take_is_set_aside_and_said_once(api: Any, scripts: Scripts, status: int, problem: str) -> None:
    killed(scripts)
    (folder,) = scripts.folders
    api.problem = problem
    api.fault_forever = status
    api.start()
    code, ends, said = scripts.delivered()
    assert (code, ends) == (1, {"refused": 1})
    aside = scripts.home / "spool" / "set-aside" / folder.name
    assert f"what was left of it is in {aside}" in said
    assert list(aside.glob("*.gz"))
    assert scripts.delivered() == (0, {}, "")


def test_what_was_to_go_elsewhere_stays(api: Any, scripts: Scripts) -> None:
    killed(scripts)
    api.start()
    scripts.environment["MINTAKA_API_URL"] = "http://127.0.0.1:9"
    assert scripts.delivered()[:2] == (0, {"elsewhere": 1})
    assert scripts.delivered(str(scripts.home / "spool"))[:2] == (1, {"unavailable": 1})
    scripts.environment["MINTAKA_API_URL"] = api.url
    assert scripts.delivered(str(scripts.folders[0]))[:2] == (0, {"delivered": 1})


def test_a_script_whose_database_could_not_be_written_is_taken_in_by_the_next(tmp_path: Path) -> None:
    scripts = Scripts(tmp_path)
    database = tmp_path / "history.db"
    database.write_text("not a database, but long enough to be taken for one" * 100)
    code, said = scripts.run(ORDINARY)
    assert (code, "move the file away" in said) == (0, True)
    database.unlink()
    assert scripts.run(ORDINARY) == (0, "")
    assert scripts.folders == []
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT state, final_attempt FROM flow_runs").fetchall() == [(4, 1), (4, 1)]
        assert connection.execute("SELECT state, count(*) FROM task_runs GROUP BY state").fetchall() == [(4, 20)]


def test_the_last_words_of_a_run_that_was_thought_to_have_crashed_are_believed(tmp_path: Path) -> None:
    """Its first reports are in the database, its end is on disk, and somebody looked in between."""
    scripts = Scripts(tmp_path)
    text = """
        import shutil, sqlite3, os
        from pathlib import Path
        from mintaka.recording.historian import historian
        from mintaka.recording.sending import Answer
        from mintaka.recording.sinks import EmbeddedSink
        @flow
        def cut_off():
            add(1)
            historian()._leave()  # what the next flush would do
            EmbeddedSink.deliver = EmbeddedSink.deliver_packed = lambda *_, **__: Answer.UNAVAILABLE
            EmbeddedSink.problem = "cut off"
            add(2)
        cut_off()
    """
    code, said = scripts.run(SCRIPT + text.replace("\n        ", "\n    "))
    assert (code, "is not delivered yet: it is in" in said) == (0, True)
    looked = scripts.start(str(Path(sys.executable).with_name("mintaka")), "get", "--json")
    out, _ = looked.communicate(timeout=60)
    assert [run["state"]["type"] for run in json.loads(out)] == ["CRASHED"]
    assert scripts.delivered()[:2] == (0, {"delivered": 1})
    with closing(sqlite3.connect(tmp_path / "history.db")) as connection:
        assert connection.execute("SELECT state, crashes, gap, final_attempt FROM flow_runs").fetchall() == [(4, 0, 0, 1)]
        assert connection.execute("SELECT to_state FROM flow_run_transitions ORDER BY seq").fetchall() == [(2,), (3,), (4,)]
        assert connection.execute("SELECT state FROM task_runs").fetchall() == [(4,), (4,)]


def test_a_run_of_which_only_the_beginning_was_left_ends_crashed(tmp_path: Path) -> None:
    scripts = Scripts(tmp_path)
    (tmp_path / "history.db").write_text("not a database, but long enough to be taken for one" * 100)
    killed(scripts)
    (tmp_path / "history.db").unlink()
    assert scripts.delivered()[:2] == (0, {"delivered": 1})
    looked = scripts.start(str(Path(sys.executable).with_name("mintaka")), "get", "--json")
    out, _ = looked.communicate(timeout=60)
    assert [(run["state"]["type"], run["state"]["reason"]) for run in json.loads(out)] == [("CRASHED", "ProcessDied")]


POD = """
from mintaka import flow, task
@task
def add(n):
    return n
@flow
def work():
    return sum(add(n) for n in range(50))
"""
POD_UID = "0190f5fe-0000-7000-8000-000000000011"


def pod(folder: Path, url: str, **variables: str) -> Any:
    """A pod's process without an API to report to; its report."""
    (folder / "flow.py").write_text(POD)
    environment = {
        "MINTAKA_ENTRYPOINT": "flow.py:work",
        "MINTAKA_SOURCE_DIR": str(folder),
        "MINTAKA_FLOW_RUN": "work-1",
        "MINTAKA_FLOW_RUN_UID": POD_UID,
        "MINTAKA_NAMESPACE": "team",
        "MINTAKA_API_URL": url,
        "MINTAKA_TERMINATION_MESSAGE_PATH": str(folder / "report"),
        "MINTAKA_SPOOL_DIR": str(folder / "spool"),
        "MINTAKA_HISTORY_GRACE_SECONDS": "0.5",
        **variables,
    }
    process = subprocess.run(
        [sys.executable, "-m", "mintaka.runner"], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return decode_report((folder / "report").read_text())


def test_a_pod_without_an_api_leaves_its_history_in_the_storage_of_results(real_api: RealApi, tmp_path: Path) -> None:
    storage = tmp_path / "results"
    real_api.kill()
    for attempt in ("1", "2"):
        report = pod(tmp_path, real_api.url, MINTAKA_RESULT_STORAGE=f"file://{storage}", MINTAKA_ATTEMPT=attempt)
        assert (report.history_complete, report.spool) == (False, f"file://{storage}/spools/{POD_UID}-{attempt}")
    real_api.start()
    scripts = Scripts(tmp_path)
    scripts.environment["MINTAKA_API_URL"] = real_api.url
    newest = storage / "spools" / f"{POD_UID}-2"
    newest.rename(newest.with_name("0-newest"))  # it is taken in first: the older attempt comes when it was replaced
    assert scripts.delivered(f"file://{storage}")[:2] == (0, {"delivered": 2})
    assert [path for path in (storage / "spools").rglob("*") if path.is_file()] == []
    for attempt in (1, 2):
        rows = real_api.get(f"/flow-runs/{POD_UID}/task-runs?attempt={attempt}")["items"]
        assert [row["state"] for row in rows] == ["COMPLETED"] * 50
    assert real_api.get(f"/flow-runs/{POD_UID}")["history_complete"] is True


def test_the_next_pod_with_the_same_storage_takes_in_what_others_left(real_api: RealApi, tmp_path: Path) -> None:
    """Of other runs too, but for what was to go to another API. A pod spends two seconds on it, so a slow machine needs more pods."""
    storage = tmp_path / "results"
    real_api.kill()
    others = [f"0190f5fe-0000-7000-8000-0000000000{n}" for n in (21, 22)]
    for uid in others:
        pod(tmp_path, real_api.url, MINTAKA_RESULT_STORAGE=f"file://{storage}", MINTAKA_FLOW_RUN_UID=uid, MINTAKA_FLOW_RUN=uid)
    elsewhere = storage / "spools" / "elsewhere"
    shutil.copytree(storage / "spools" / f"{others[0]}-1", elsewhere)
    (elsewhere / "owner").write_text(json.dumps({"flow_run": POD_UID, "destination": "http://another"}))
    real_api.start()
    for _ in range(4):
        assert pod(tmp_path, real_api.url, MINTAKA_RESULT_STORAGE=f"file://{storage}").history_complete is True
        left = {path.parent for path in (storage / "spools").rglob("*") if path.is_file()}
        if left == {elsewhere}:
            break
    assert left == {elsewhere}
    for uid in (*others, POD_UID):
        rows = real_api.get(f"/flow-runs/{uid}/task-runs")["items"]
        assert [row["state"] for row in rows] == ["COMPLETED"] * 50


def test_a_storage_that_hangs_does_not_hold_up_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """What others left is looked for beside the flow; at its end that is waited for a little."""
    answered, asked = threading.Event(), threading.Event()

    def hang(what: str, _key: str) -> None:
        assert what == "list"
        asked.set()
        answered.wait(60)

    monkeypatch.setitem(registry, "s3", ObjectStore)
    monkeypatch.setattr(ObjectStore, "fault", staticmethod(hang))
    others = LeftoversOfPods("s3://hangs/results", ApiSink("http://127.0.0.1:9"))
    assert asked.wait(30)
    begun = time.monotonic()
    others.leave()
    assert time.monotonic() - begun < 10
    answered.set()


def test_a_pod_whose_storage_cannot_be_written_says_where_the_spool_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    report = pod(tmp_path, "http://127.0.0.1:9", MINTAKA_RESULT_STORAGE=f"file://{tmp_path}/file/results")
    assert (report.history_complete, report.spool) == (False, str(tmp_path / "spool" / f"{POD_UID}-1"))


def test_what_others_left_for_an_api_that_hangs_does_not_hold_up_a_flow(tmp_path: Path) -> None:
    """Its own history is on disk when it says so, within its own time."""
    left = tmp_path / "spool" / "dead-1"
    left.mkdir(parents=True)
    (left / "lock").touch()
    (left / "000001.jsonl.gz").write_bytes(gzip.compress(b'{"report": 1}\n'))
    with socket.create_server(("127.0.0.1", 0)) as hangs:  # connections are made, and never answered
        url = f"http://127.0.0.1:{hangs.getsockname()[1]}"
        (left / "owner").write_text(json.dumps({"flow_run": "0190f5fe-0000-7000-8000-000000000001", "destination": url}))
        scripts = Scripts(tmp_path)
        scripts.environment["MINTAKA_API_URL"] = url
        script = SCRIPT + "    main(10)\n    sys.stderr.flush()\n    os._exit(0)  # nothing is done at the interpreter's end\n"
        assert scripts.run(script)[0] == 0
    own = [folder for folder in scripts.folders if folder != left]
    assert [bool(list(folder.glob("*.gz"))) for folder in own] == [True]
