"""Every command against a real API, and against ones that are away, not ours, or of another version."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from kube import eventually
from terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from real_api import RealApi

SOURCE = """from mintaka import flow, get_run_logger, task


@task(persist_result=True)
def load(n):
    get_run_logger().warning("loading %d", n)
    return n


@task(persist_result=True)
def check(total, limit):
    if total > limit:
        raise ValueError(f"{total} is more than {limit}")
    return total


@flow(persist_result=True)
def etl(n: int = 3, limit: int = 2):
    return check(sum(load(number) for number in range(n)), limit)
"""


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: the command line sees no database, only an API."""
    return f"sqlite:///{tmp_path / 'api.db'}"


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A terminal in a folder with etl.py."""
    (tmp_path / "etl.py").write_text(SOURCE)
    return Terminal(tmp_path, MINTAKA_HOME=str(tmp_path / "home"), MINTAKA_HISTORY="on")


@pytest.fixture
def at_api(terminal: Terminal, real_api: RealApi) -> Terminal:
    """The same, with an API that is up."""
    terminal.environment["MINTAKA_API_URL"] = real_api.url
    return terminal


def test_a_run_is_made_looked_at_and_explained_through_an_api(at_api: Terminal, tmp_path: Path) -> None:
    assert at_api("get").err == "no flow runs\n"
    assert at_api("get", "--json").out == "[]\n"
    ran = at_api("run", "etl.py:etl", "--name", "first")
    assert ran.code == 1
    assert "why    mintaka explain" in ran.err
    assert "again  mintaka resume" in ran.err
    good = json.loads(at_api("run", "etl.py:etl", "--name", "second", "-p", "limit=5", "--json").out.splitlines()[-1])
    assert (good["kind"], good["state"]["type"], good["result"], good["tasks"]) == ("flow_run", "COMPLETED", 3, {"completed": 4})

    listed = at_api("get").out.splitlines()
    assert [line.split()[:3] for line in listed] == [["NAME", "FLOW", "STATE"], ["second", "etl", "Completed"], ["first", "etl", "Failed"]]
    assert [run["name"] for run in json.loads(at_api("get", "--state", "failed", "--json").out)] == ["first"]
    assert at_api("get", "-o", "name").out == "second\nfirst\n"
    assert at_api("get", "--namespace", "elsewhere").out == ""
    one = json.loads(at_api("get", "first", "--json").out)
    assert [task["name"] for task in one["task_runs"]] == ["load-0", "load-1", "load-2", "check-3"]
    assert [task["name"] for task in json.loads(at_api("get", "first", "--state", "FAILED", "--json").out)["task_runs"]] == ["check-3"]
    assert "3 is more than 2" in at_api("explain", "first").out
    assert {"flow_run", "transitions", "task_runs"} <= json.loads(at_api("explain", "first", "--json").out).keys()

    assert at_api("logs", "first").out.count("loading") == 3
    assert at_api("logs", "first", "load-1").out.count("loading 1") == 1
    assert at_api("logs", "first", "--tail", "1", "--level", "warning").out.count("\n") >= 1
    assert at_api("logs", "first", "--since", "2100-01-01").out == ""
    followed = at_api("logs", "first", "--follow", "--json")
    assert sum("loading" in json.loads(line)["message"] for line in followed.out.splitlines()) == 3
    assert at_api("watch", "first").code == 1
    assert at_api("watch", "second", "--json").code == 0

    compared = at_api("diff", "first", "second", "--json")
    assert compared.code == 1
    kinds = {(each["kind"], each["what"]) for each in json.loads(compared.out)["differences"]}
    assert {("state", "flow run"), ("parameter", "limit"), ("state", "check #1")} <= kinds

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    stopped = at_api("replay", "first", "--until", "check", cwd=elsewhere)
    assert (stopped.code, stopped.out) == (0, "check(3, 2)\n")
    repaired = at_api("replay", "first", "-p", "limit=9", "--json", cwd=elsewhere)
    assert repaired.code == 0
    assert json.loads(repaired.out)["replayed"] == ["load-0", "load-1", "load-2"]


def test_what_is_not_there_or_cannot_be_done_is_one_line_and_exit_code_2(at_api: Terminal) -> None:
    at_api("run", "etl.py:etl", "--name", "over")
    for command in ("get", "logs", "watch", "explain", "cancel", "suspend", "resume"):
        said = at_api(command, "nobody")
        assert (said.code, said.out) == (2, ""), command
        assert said.err.count("\n") == 1
        assert "nobody" in said.err
        told = at_api(command, "nobody", "--json")
        assert (told.code, told.out) == (2, "")
        assert json.loads(told.err)["error"]["exit_code"] == 2
    assert "has no task run 'nix'" in at_api("logs", "over", "nix").err


AWAY = {
    "an API that is away": ("http://127.0.0.1:1", "start it, or correct MINTAKA_API_URL"),
    "an address that is none": ("nowhere:80/x", "is no address of an API: write MINTAKA_API_URL=http://HOST:PORT"),
    "a name nobody knows": ("http://api.invalid", "correct MINTAKA_API_URL"),
}


@pytest.mark.parametrize(("url", "said"), AWAY.values(), ids=AWAY)
@pytest.mark.parametrize("command", [("get",), ("logs", "x"), ("explain", "x"), ("watch", "x"), ("cancel", "x"), ("diff", "x", "y")])
def test_what_cannot_be_asked_is_named(terminal: Terminal, url: str, said: str, command: tuple[str, ...]) -> None:
    terminal.environment["MINTAKA_API_URL"] = url
    answered = terminal(*command)
    assert (answered.code, answered.out) == (2, "")
    assert said in answered.err
    assert answered.err.count("\n") == 1


class Answers(BaseHTTPRequestHandler):
    """Answers everything alike."""

    status, kind, body = 200, "text/html", b"<html>"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Type", self.kind)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        pass


OTHERS = {
    "a page": (200, "text/html", b"<html>", "is not the API of Mintaka (HTTP 200, text/html)"),
    "another API": (404, "application/json", b'{"error": "x"}', "is not the API of Mintaka (HTTP 404, application/json)"),
    "JSON that is none": (200, "application/json", b"{", "is not the API of Mintaka"),
    "an older API": (
        400,
        "application/problem+json",
        b'{"title": "unknown parameter", "detail": "tag?"}',
        "is the API of the same version",
    ),
    "an API without its database": (
        503,
        "application/problem+json",
        b'{"title": "away", "detail": "the database is away"}',
        "away (HTTP 503)",
    ),
}


@pytest.fixture
def answering() -> Iterator[str]:
    """The URL of a server that answers as `Answers` says."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("status", "kind", "body", "said"), OTHERS.values(), ids=OTHERS)
def test_what_answers_but_is_not_our_api_is_told(
    terminal: Terminal, answering: str, monkeypatch: pytest.MonkeyPatch, status: int, kind: str, body: bytes, said: str
) -> None:
    for name, value in (("status", status), ("kind", kind), ("body", body)):
        monkeypatch.setattr(Answers, name, value)
    terminal.environment["MINTAKA_API_URL"] = answering
    answered = terminal("get")
    assert (answered.code, answered.out) == (2, "")
    assert said in answered.err


def test_the_doctor_compares_versions_with_the_api(at_api: Terminal, answering: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {each["what"]: each for each in json.loads(at_api("doctor", "--json").out)}
    assert (found["history"]["well"], found["api"]["well"]) == (True, True)
    monkeypatch.setattr(Answers, "kind", "application/json")
    monkeypatch.setattr(Answers, "body", b'{"items": [], "next": null, "version": "99.0"}')
    at_api.environment["MINTAKA_API_URL"] = answering
    ill = at_api("doctor", "--json")
    assert ill.code == 1
    told = {each["what"]: each["told"] for each in json.loads(ill.out)}
    assert told["api"].startswith("it is 99.0, this is ")


def test_a_shell_is_offered_the_runs_of_an_api(at_api: Terminal) -> None:
    at_api("run", "etl.py:etl", "--name", "offered")
    assert at_api("__complete", "bash", "mintaka explain of").out.split("\t")[0] == "offered"


def test_what_is_drawn_on_a_terminal_is_read_by_people(at_api: Terminal) -> None:
    ran = at_api.on_a_terminal("run", "etl.py:etl", "-p", "limit=9", columns=60)
    assert ran.code == 0
    assert "load   3/3" in ran.out
    assert ran.out.rindex("\x1b[?25h") > ran.out.rindex("\x1b[?25l")
    assert "\x1b" not in at_api.on_a_terminal("run", "etl.py:etl", TERM="dumb").out
    listed = at_api.on_a_terminal("get", columns=40).out
    assert max(len(line) for line in listed.splitlines()) < 80
    assert "\x1b[32m" in listed
    assert "\x1b[32m" not in at_api.on_a_terminal("get", NO_COLOR="1").out


LONG = """import asyncio, time
from mintaka import flow, task

@task
def nap():
    time.sleep(100)

@flow(flow_run_name="long")
def main():
    nap.submit().wait()

@flow(flow_run_name="long")
async def main_async():
    await asyncio.sleep(100)

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("how", ["run long.py:main", "run long.py:main_async", "a script"])
def test_a_run_of_this_machine_is_cancelled_by_another_process(terminal: Terminal, tmp_path: Path, how: str) -> None:
    (tmp_path / "long.py").write_text(LONG)
    running = terminal.begin(*how.split(), python="long.py" if how == "a script" else None)
    eventually(lambda: "RUNNING" in terminal("get", "long", "--json").out, "the run in the history")
    assert terminal("cancel", "long").out == "long: asked to cancel\n"
    assert running.wait(30) == (1 if how == "a script" else 3)
    (run,) = json.loads(terminal("get", "--json").out)
    assert (run["state"]["type"], run["state"]["message"]) == ("CANCELLED", "somebody asked for it")
    assert run["task_counts"].keys() <= {"CANCELLED"}
    assert not list((tmp_path / "home").glob("*-cancel-*"))


def test_ctrl_c_on_a_terminal_cancels_the_run_and_gives_the_terminal_back(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(
        "import time\nfrom mintaka import flow, task\n\n@task\ndef nap():\n    print('asleep', flush=True)\n    time.sleep(100)\n\n"
        "@flow\ndef main():\n    nap.submit().wait()\n"
    )
    ran = terminal.on_a_terminal("run", "long.py:main", press=("asleep", b"\x03"))
    assert ran.code == 3
    assert "Cancelled" in ran.out
    assert ran.out.rindex("\x1b[?25h") > ran.out.rindex("\x1b[?25l")
    assert json.loads(terminal("get", "--json").out)[0]["state"]["type"] == "CANCELLED"
