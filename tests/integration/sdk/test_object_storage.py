"""Results in object storage: real s3fs, in processes of its own environment (`tools/object-store`), against a local S3 server."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
SERVER = ROOT / "tests" / "integration" / "object_store" / "s3_server.py"
#: Whom the request is from is all that the server asks for.
SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=somebody/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"}

FLOW = """
import os

from mintaka import flow, task

@task
def build(n):
    return f"{n} built by {os.getpid()}"

@task
def ship(parts):
    if "BROKEN" in os.environ:
        raise ValueError("broken")
    return parts

@flow(persist_result=True)
def main():
    return ship([build(n) for n in range(3)])
"""


@pytest.fixture(scope="module")
def python() -> str:
    """The interpreter that has s3fs."""
    return subprocess.run([ROOT / "tools" / "object-store"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def server(python: str) -> Iterator[str]:
    """The URL of a server with one bucket, `results`."""
    with subprocess.Popen([python, SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = f"http://{process.stdout.readline().strip()}"
        httpx.put(f"{url}/results", headers=SIGNED).raise_for_status()
        yield url
        process.stdin.close()


@pytest.fixture
def terminal(python: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """`mintaka` where s3fs is installed, with history on and credentials in the environment; every warning is an error."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    (tmp_path / "job.py").write_text(FLOW)
    return Terminal(
        tmp_path,
        [python, "-W", "error", "-c", "from mintaka.cli import main; main()"],
        PYTHONPATH=str(ROOT / "sdk"),
        HOME=str(tmp_path),
        MINTAKA_HOME=str(tmp_path / "home"),
        MINTAKA_HISTORY="on",
        MINTAKA_RESULT_STORAGE=f"s3://results/{tmp_path.name}",
        AWS_ENDPOINT_URL=server,
        AWS_ACCESS_KEY_ID="somebody",
        AWS_SECRET_ACCESS_KEY="something",  # noqa: S106 - nobody checks it
        AWS_EC2_METADATA_DISABLED="true",  # else whoever has no credentials asks the cloud that it may run in
    )


def shown(terminal: Terminal) -> dict[str, Any]:
    """The newest run with its task runs."""
    (newest,) = json.loads(terminal("get", "--limit", "1", "--json").out)
    return dict(json.loads(terminal("get", newest["uid"], "--json").out))


def states(run: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and states of its task runs."""
    return [(each["name"], each["state_name"]) for each in run["task_runs"]]


def objects(server: str, prefix: str) -> dict[str, bytes]:
    """What lies in the bucket, by key."""
    listed = httpx.get(f"{server}/results", headers=SIGNED, params={"list-type": "2", "prefix": prefix}).raise_for_status()
    keys = re.findall("<Key>(.*?)</Key>", listed.text)
    return {key: httpx.get(f"{server}/results/{key}", headers=SIGNED).raise_for_status().content for key in keys}


def test_another_process_goes_on_with_what_was_written_and_does_again_what_is_corrupt(terminal: Terminal, server: str) -> None:
    """Objects of finished tasks are found by their calls; one whose checksum does not fit is not used, and replaced."""
    broken = terminal("run", "job.py:main", BROKEN="1")
    assert broken.code == 1, broken.err
    first = shown(terminal)
    assert states(first) == [("build-0", "Completed"), ("build-1", "Completed"), ("build-2", "Completed"), ("ship-3", "Failed")]
    (spoilt,) = [(key, blob) for key, blob in objects(server, terminal.folder.name).items() if b"1 built by" in blob]
    changed = spoilt[1].replace(b"1 built by", b"9 built by")
    httpx.put(f"{server}/results/{spoilt[0]}", headers=SIGNED, content=changed).raise_for_status()
    resumed = terminal("resume", first["uid"])
    assert resumed.code == 0, resumed.err
    second = shown(terminal)
    assert states(second) == [("build-0", "Cached"), ("build-1", "Completed"), ("build-2", "Cached"), ("ship-3", "Completed")]
    assert "is corrupt" in resumed.err
    assert re.findall(r"\d built", resumed.out) == ["0 built", "1 built", "2 built"]
    replaced = objects(server, terminal.folder.name)[spoilt[0]]
    assert replaced not in (spoilt[1], changed)
    assert b"1 built by" in replaced


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        pytest.param(
            {"MINTAKA_RESULT_STORAGE": "s3://nowhere/x"}, "s3://nowhere/x: FileNotFoundError: The specified bucket", id="no bucket"
        ),
        pytest.param({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "NoCredentialsError: Unable to locate", id="no credentials"),
    ],
)
def test_a_storage_that_cannot_be_written_is_told_and_costs_no_run(terminal: Terminal, environment: dict[str, str], told: str) -> None:
    """The runs are COMPLETED, named NotPersisted, with the place and the reason; the value is there; the doctor says the same."""
    ended = terminal("run", "job.py:main", **environment)
    assert (ended.code, re.findall(r"\d built", ended.out)) == (0, ["0 built", "1 built", "2 built"]), ended.err
    run = shown(terminal)
    assert (run["state"]["type"], run["state"]["name"]) == ("COMPLETED", "NotPersisted")
    assert {state for _, state in states(run)} == {"NotPersisted"}
    for state in (run["state"], *run["task_runs"]):
        assert told in state["message"]
    (found,) = [each for each in json.loads(terminal("doctor", "--json", **environment).out) if each["what"] == "results"]
    assert (found["well"], told in found["told"]) == (False, True), found
