"""Two who resume one flow run at once, in processes of their own: one goes on with it, the other is told so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from real_api import RealApi

ROUNDS = 25
FLOWS = """
import sys, time
from pathlib import Path
from mintaka import flow, suspend_flow_run
from mintaka.exceptions import Suspension

@flow(persist_result=True)
def suspends():
    suspend_flow_run()
    with open("began", "a") as file:
        file.write("x")
    while not Path("go").exists():
        time.sleep(0.05)
    return "done"

if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        try:
            suspends()
        except Suspension:
            pass
"""
CLAIMER = """
import sys
from mintaka.exceptions import NotPausedError
from mintaka.persisting.resuming import resume

for uid in sys.stdin:
    try:
        print(resume(uid.strip(), call=lambda *_: None).attempt, flush=True)
    except NotPausedError as error:
        print(error, flush=True)
"""
MAIN = "from mintaka.cli import main; main()"


@pytest.fixture
def began(place: str, tmp_path: Path, place_apis: Callable[[str], RealApi]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Begins a Python process in a folder with the flows, its history in that place."""
    (tmp_path / "flows.py").write_text(FLOWS, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MINTAKA_")}
    variables = kept | {"MINTAKA_HOME": str(tmp_path / "home")} | ({} if place == "script" else {"MINTAKA_API_URL": place_apis(place).url})
    processes: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        processes.append(subprocess.Popen([sys.executable, *words], cwd=tmp_path, env=variables, text=True, **pipes))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def suspended(begin: Callable[..., subprocess.Popen[str]], number: int) -> list[str]:
    """The uids of that many runs that have just suspended themselves."""
    done = begin("flows.py", str(number))
    _, err = done.communicate(timeout=120)
    uids = [line.rsplit(" ", 1)[1] for line in err.splitlines() if "mintaka resume" in line]
    assert len(uids) == number, err
    return uids


def test_of_two_processes_that_claim_a_run_one_wins_every_time(began: Callable[..., subprocess.Popen[str]]) -> None:
    """Round after round: one has the next attempt, the other is told who has it, and what to do."""
    uids = suspended(began, ROUNDS)
    claimers = [began("-c", CLAIMER) for _ in range(2)]
    for uid in uids:
        for claimer in claimers:
            claimer.stdin.write(f"{uid}\n")  # type: ignore[union-attr]
        for claimer in claimers:
            claimer.stdin.flush()  # type: ignore[union-attr]
        told = sorted(claimer.stdout.readline().strip() for claimer in claimers)  # type: ignore[union-attr]
        refusal = (
            f"flow run {uid} is SCHEDULED, in attempt 2: it goes on already, so there is nothing to resume; mintaka watch {uid} follows it"
        )
        assert told == ["2", refusal]


def wait_for_one(process: subprocess.Popen[str], seconds: float) -> subprocess.Popen[str] | None:
    """The process, once it has ended; None where it does not in that time."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    return process


def test_of_two_commands_one_runs_the_flow(began: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """One line and exit code 2 for the other; the flow went on once, and history tells one story."""
    (uid,) = suspended(began, 1)
    first, second = began("-c", MAIN, "resume", uid), began("-c", MAIN, "resume", uid)
    loser = next(filter(None, (wait_for_one(one, seconds) for seconds in [0.1] * 600 for one in (first, second))))
    winner = first if loser is second else second
    (tmp_path / "go").touch()
    out, err = winner.communicate(timeout=60)
    assert (winner.returncode, out) == (0, "done\n"), err
    out, err = loser.communicate(timeout=60)
    assert (loser.returncode, out, len(err.splitlines())) == (2, "", 1), err  # its words depend on how far the winner was
    assert (tmp_path / "began").read_text(encoding="utf-8") == "x"
    told = began("-c", MAIN, "explain", uid, "--json").communicate(timeout=60)[0]
    rows = json.loads(told)["transitions"]
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["from"] for row in rows[1:]] == [row["to"] for row in rows[:-1]]
    assert [row["to"] for row in rows[-4:]] == ["SCHEDULED", "PENDING", "RUNNING", "COMPLETED"]


def test_a_second_command_is_told_that_the_run_goes_on(began: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    """While the first one runs the flow: in which attempt it is, and how to follow it."""
    (uid,) = suspended(began, 1)
    first = began("-c", MAIN, "resume", uid)
    deadline = time.monotonic() + 60
    while not (tmp_path / "began").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = began("-c", MAIN, "resume", uid)
    out, err = second.communicate(timeout=60)
    assert (second.returncode, out) == (2, "")
    sentence = rf"mintaka resume: flow run {uid} is [A-Z]+, in attempt 2: it goes on already, so there is nothing to resume; mintaka watch {uid} follows it\n"
    assert re.fullmatch(sentence, err), err
    (tmp_path / "go").touch()
    out, err = first.communicate(timeout=60)
    assert (first.returncode, out) == (0, "done\n"), err


def test_who_knows_that_an_attempt_died_begins_the_next_one_before_history_does(
    began: Callable[..., subprocess.Popen[str]], place: str, place_apis: Callable[[str], RealApi], tmp_path: Path
) -> None:
    """At an API, where a killed process is found out by its silence alone; once, and not where another attempt goes on."""
    (uid,) = suspended(began, 1)
    first = began("-c", MAIN, "resume", uid)
    while not (tmp_path / "began").exists():
        assert wait_for_one(first, 0.05) is None
    if place == "script":
        first.kill()
        first.wait()
        (tmp_path / "go").touch()
        assert began("-c", MAIN, "resume", uid).communicate(timeout=60)[0] == "done\n"
        return
    attempts = f"{place_apis(place).url}/api/v1/flow-runs/{uid}/attempts"
    told = [httpx.post(attempts, json={"died": died}) for died in (None, 1, 3, 2, 2)]
    assert [answer.status_code for answer in told] == [409, 409, 409, 201, 409]
    assert (told[3].json()["attempt"], told[3].json()["uid"]) == (3, uid)
    assert told[4].json()["detail"] == f"flow run {uid} is SCHEDULED, in attempt 3: it goes on already"
    assert httpx.post(attempts, json={"died": 0}).status_code == 422
    assert httpx.post(attempts.replace(uid, str(uuid4()))).status_code == 404
