"""The first steps of a new user: `make run` in a checkout, and the server from the built wheel in an empty environment and folder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from minimal_root import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FLOW = """
from mintaka import flow, task

@task
def double(number: int) -> int:
    return 2 * number

@flow
def doubled(numbers: list[int] = [1, 2, 3]) -> list[int]:
    return double.map(numbers).result()
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """The environment in which none of our variables is set, with a MINTAKA_HOME of its own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MINTAKA_", "PYTHON", "VIRTUAL_ENV"))}
    return own | {"MINTAKA_HOME": str(tmp_path / "home"), "PORT": str(free_port())}


def run(*command: str, folder: Path, environment: dict[str, str], seconds: float = 120) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def stopped(surroundings: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment; servers started in it are stopped afterwards."""
    yield surroundings
    run(str(ROOT / ".venv-server/bin/mintaka"), "server", "stop", folder=ROOT, environment=surroundings)


@pytest.mark.timeout(400)
def test_make_run_shows_the_main_job_and_may_be_repeated(stopped: dict[str, str]) -> None:
    """The second time, the server already runs, and the manifests are unchanged."""
    for applied in ("created", "unchanged"):
        output = run("make", "run", folder=ROOT, environment=stopped, seconds=180)
        assert f"flowdeployment.mintaka.dev/wine-report {applied}" in output
        assert "RUNNING -> Completed" in output  # the states, over REST
        assert "report-4                     COMPLETED  upstream [1, 2, 3]" in output
        assert "mean   spread" in output  # the log


@pytest.fixture(scope="module")
def wheel_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel and the dependencies of `mintaka[server]`, without this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    ordinary = dict(os.environ)
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder), folder=ROOT, environment=ordinary)
    uv, python = str(ROOT / "tools/uv"), str(folder / "environment/bin/python")
    run(uv, "venv", "--python", sys.executable, str(folder / "environment"), folder=folder, environment=ordinary)
    lock = str(ROOT / "requirements-server.lock")
    run(uv, "pip", "sync", "--python", python, "--require-hashes", lock, folder=folder, environment=ordinary, seconds=300)
    [wheel] = folder.glob("*.whl")
    run(uv, "pip", "install", "--python", python, "--no-deps", str(wheel), folder=folder, environment=ordinary)
    return folder / "environment/bin"


@pytest.mark.timeout(600)
def test_the_wheel_alone_serves_and_runs_a_flow(wheel_environment: Path, surroundings: dict[str, str], tmp_path: Path) -> None:
    """In an empty folder: server, a flow file applied, its run, its log and result of tasks, and the end of the server."""
    mintaka, folder = str(wheel_environment / "mintaka"), tmp_path / "empty"
    folder.mkdir()

    def do(*arguments: str) -> str:
        return run(mintaka, *arguments, folder=folder, environment=surroundings)

    try:
        do("server", "start", "--detach", "--port", surroundings["PORT"])
        (folder / "flow.py").write_text(FLOW, encoding="utf-8")
        do("apply", "flow.py:doubled")
        ended = json.loads(do("run", "deployment/doubled", "--parameter", "numbers=[4, 5]", "--wait", "--json").splitlines()[-1])
        assert ended["state"]["type"] == "COMPLETED"
        assert "flow doubled, attempt 1" in do("logs", ended["uid"])
        assert json.loads(do("get", ended["uid"], "--json"))["task_counts"] == {"COMPLETED": 2}
        place = run(
            str(wheel_environment / "python"), "-c", "import mintaka; print(mintaka.__file__)", folder=folder, environment=surroundings
        )
        assert str(wheel_environment.parent) in place
    finally:
        do("server", "stop")
    assert "no server runs" in do("server", "stop")
