"""`mintaka plan` as it is called: what it prints and its exit codes, in a cluster that a script plays, and without a server."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

from command_calls import call_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

type Call = Callable[..., tuple[int, str, str]]

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "mintaka.dev/v1alpha1",
    "kind": "FlowDeployment",
    "metadata": {"name": "etl", "namespace": "ns", "uid": "u"},
    "spec": {"entrypoint": "etl.py:main", "image": "etl:1"},
}
LIVE_RUN = {"metadata": {"name": "etl-a"}, "status": {"state": {"type": "RUNNING"}, "attempt": 1, "revision": "etl-1"}}
DONE_RUN = {"metadata": {"name": "etl-b"}, "status": {"state": {"type": "COMPLETED"}, "attempt": 1, "revision": "etl-1"}}


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, mintaka_home: str) -> Call:
    """The command line, in a folder with `etl.json`, with a kubectl: `live` is there, a dry run of anything returns what was given,
    or, for the image `refused`, an error.
    """
    assert mintaka_home
    (tmp_path / "live.json").write_text(json.dumps({"kind": "List", "items": [DEPLOYMENT]}))
    (tmp_path / "runs.json").write_text(json.dumps({"items": [LIVE_RUN, DONE_RUN]}))
    program = tmp_path / "kubectl"
    program.write_text(
        f"""#!/bin/sh
case "$*" in
  "get --raw /version") test -e {tmp_path}/away && {{ echo 'Unable to connect to the server: dial tcp' >&2; exit 1; }}; echo '{{}}' ;;
  "get --ignore-not-found"*) cat > /dev/null; test -e {tmp_path}/new || cat {tmp_path}/live.json ;;
  "get flowruns.mintaka.dev --namespace ns --field-selector spec.deployment=etl"*) cat {tmp_path}/runs.json ;;
  apply\\ --dry-run=server*) cat > {tmp_path}/given
    grep -q refused {tmp_path}/given && {{ echo 'The FlowDeployment "etl" is invalid: spec.image: no' >&2; exit 1; }}
    cat {tmp_path}/given ;;
  *) echo "not expected: $*" >&2; exit 1 ;;
esac
"""
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return lambda *words: call_command(monkeypatch, capsys, *words)


#: The kind, the image of the manifest, a file that changes what kubectl answers, the exit code, and what is printed.
PLANS: list[tuple[str, str, str, int, str]] = [
    ("nothing would change", "etl:1", "", 0, "unchanged  FlowDeployment ns/etl\n1 unchanged\n"),
    (
        "another image",
        "etl:2",
        "",
        2,
        (
            'changed    FlowDeployment ns/etl\n    spec.image: "etl:1" → "etl:2"\n'
            "    1 unfinished run keeps the old version: etl-a (RUNNING, etl-1)\n1 changed\n"
        ),
    ),
    ("a new deployment", "etl:2", "new", 2, "created    FlowDeployment ns/etl\n1 created\n"),
    (
        "one that is refused",
        "refused",
        "",
        1,
        'refused    FlowDeployment ns/etl: The FlowDeployment "etl" is invalid: spec.image: no\n1 refused\n',
    ),
]


@pytest.mark.parametrize(("image", "file", "code", "printed"), [pytest.param(*plan, id=kind) for kind, *plan in PLANS])
def test_what_is_printed_and_the_exit_code(call: Call, tmp_path: Path, image: str, file: str, code: int, printed: str) -> None:
    """For people and for programs."""
    (tmp_path / "etl.json").write_text(json.dumps({**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "image": image}}))
    if file:
        (tmp_path / file).touch()
    assert call("plan", "etl.json", "--cluster") == (code, printed, "")
    found, out, _ = call("plan", "etl.json", "--cluster", "--json")
    document = json.loads(out)
    assert (found, document["exit_code"]) == (code, code)
    assert [each["action"] for each in document["objects"]] == [printed.split(maxsplit=1)[0]]


#: The kind, the words of the command, and what it prints on standard error.
ERRORS: list[tuple[str, list[str], str]] = [
    ("there is no such file", ["nothing.yaml", "--cluster"], "there is no manifest at nothing.yaml"),
    ("the cluster is away", ["etl.json", "--cluster"], "Unable to connect to the server"),
    ("there is no server", ["etl.json"], "etl.json cannot be tried: no server runs on this machine"),
    ("an option that does not exist", ["etl.json", "--wrong"], "No such option: --wrong"),
]


@pytest.mark.parametrize(("words", "said"), [pytest.param(*each, id=kind) for kind, *each in ERRORS])
def test_what_goes_wrong_is_exit_code_1(call: Call, tmp_path: Path, words: list[str], said: str) -> None:
    """Never 2, which means that something would change."""
    (tmp_path / "etl.json").write_text(json.dumps(DEPLOYMENT))
    (tmp_path / "away").touch()
    code, out, error = call("plan", *words)
    assert (code, out) == (1, "")
    assert said in error
    code, _, error = call("plan", *words, "--json")
    assert (code, json.loads(error)["error"]["exit_code"]) == (1, 1)
