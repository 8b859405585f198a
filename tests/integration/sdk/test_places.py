"""The same commands, in the same words, at a server and in a cluster (a real kube-apiserver without an operator); contexts, tokens."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from subprocess import run
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from command_calls import call_command
from local_server import LocalServer, wait_until
from mintaka import flow
from mintaka.recording.contexts import Context, Contexts, contexts, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = """
from time import sleep

from mintaka import flow, get_run_logger


@flow
def etl(seconds: float = 0.0, fail: bool = False):
    get_run_logger().info("begin")
    sleep(seconds)
    if fail:
        raise ValueError("bad day")
    return seconds
"""
MANIFEST: dict[str, Any] = {
    "apiVersion": "mintaka.dev/v1alpha1",
    "kind": "FlowDeployment",
    "metadata": {"name": "etl"},
    "spec": {"entrypoint": "etl.py:etl", "source": {"inline": SOURCE}, "tags": ["x"]},
}
BAD: dict[str, Any] = {**MANIFEST, "metadata": {"name": "bad"}, "spec": {**MANIFEST["spec"], "timeoutSeconds": 0}}

type Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server in a home of its own."""
    server = LocalServer(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.stop("--cancel")


@pytest.fixture(scope="module")
def kubectl_context(kubeconfig: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A kubeconfig and the name of a context in it that is not its current one, in a namespace of its own."""
    own = tmp_path_factory.mktemp("kube") / "config"
    document = yaml.safe_load(Path(kubeconfig).read_text(encoding="utf-8"))
    name = f"places-{os.getpid()}"
    current = next(each for each in document["contexts"] if each["name"] == document["current-context"])
    document["contexts"] = [
        {"name": "elsewhere", "context": {**current["context"], "cluster": "nowhere"}},
        {"name": "places", "context": {**current["context"], "namespace": name}},
    ]
    document["current-context"] = "elsewhere"
    document["clusters"].append({"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}})
    own.write_text(yaml.safe_dump(document), encoding="utf-8")
    kubectl = ["kubectl", "--kubeconfig", str(own), "--context", "places"]
    run([*kubectl, "create", "namespace", name], check=True, capture_output=True)
    yield str(own), "places"
    run([*kubectl, "delete", "namespace", name, "--wait=false"], check=True, capture_output=True)


@pytest.fixture
def mintaka(
    server: LocalServer,
    kubectl_context: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Calls `mintaka ARGUMENTS…` with contexts `server`, `cluster` and `local`, in a folder with manifests; exit code, output, errors."""
    home = tmp_path / "home"
    address = server.address
    known = {
        "local": Context("local"),
        "server": Context("server", server=address.url, token_file=str(server.home / "server.token")),
        "cluster": Context("cluster", cluster=kubectl_context[1]),
    }
    write(Contexts(home / "contexts.json", "", known))
    (tmp_path / "etl.yaml").write_text(yaml.safe_dump(MANIFEST))
    (tmp_path / "changed.yaml").write_text(yaml.safe_dump({**MANIFEST, "spec": {**MANIFEST["spec"], "suspend": True}}))
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump_all([MANIFEST, BAD]))
    (tmp_path / "etl.py").write_text(SOURCE)
    for name in ("MINTAKA_API_URL", "MINTAKA_HISTORY", "MINTAKA_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"MINTAKA_HOME": str(home), "KUBECONFIG": kubectl_context[0], "MINTAKA_API_NAMESPACE": "none"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def call(*arguments: str, program: str = "mintaka") -> tuple[int, str, str]:
        return call_command(monkeypatch, capsys, *arguments, program=program)

    return call


#: Commands in order, their exit code and their output; for those that fail, a part of the message.
STORY: list[tuple[str, int, str]] = [
    ("get deployments -o name", 0, ""),
    ("apply bad.yaml", 2, "spec.timeoutSeconds"),
    ("get deployments -o name", 0, ""),
    ("apply etl.yaml --dry-run", 0, "flowdeployment.mintaka.dev/etl created (server dry run)\n"),
    ("get deployments -o name", 0, ""),
    ("apply etl.yaml", 0, "flowdeployment.mintaka.dev/etl created\n"),
    ("apply etl.yaml", 0, "flowdeployment.mintaka.dev/etl unchanged\n"),
    ("apply changed.yaml --dry-run", 0, "flowdeployment.mintaka.dev/etl configured (server dry run)\n"),
    ("apply etl.py:etl --name from-file", 0, "flowdeployment.mintaka.dev/from-file created\n"),
    ("get deployments -o name", 0, "etl\nfrom-file\n"),
    ("get deployments --tag x -o name", 0, "etl\n"),
    ("get deployment/etl -o name", 0, "etl\n"),
    ("get deployment/nix", 2, "nix"),
    ("run deployment/nix", 2, "nix"),
    ("run deployment/etl -p seconds=60 --name one", 0, "one: created; mintaka watch one shows its progress\n"),
    ("get -o name", 0, "one\n"),
    ("get run/one -o name", 0, "one\n"),
    ("suspend one", 0, "one: asked to suspend\n"),
    ("resume one", 0, "one: asked to resume\n"),
    ("cancel one", 0, "one: asked to cancel\n"),
    ("delete one", 0, "one: asked to delete\n"),
    ("delete deployment/etl deployment/from-file", 0, "deployment etl: deleted\ndeployment from-file: deleted\n"),
    ("get deployments -o name", 0, ""),
    ("delete deployment/etl", 2, "etl"),
]


@pytest.mark.parametrize("place", ["server", "cluster"])
def test_commands_do_and_say_the_same_at_a_server_and_in_a_cluster(mintaka: Command, place: str) -> None:
    """Chosen by --context."""
    for words, code, said in STORY:
        ended, out, err = mintaka(*words.split(), "--context", place)
        if words == "get -o name" and place == "server":
            wait_until(lambda: mintaka("get", "-o", "name", "--context", "server")[1] == "one\n", "the run is listed")
        elif code:
            assert (ended, out) == (code, ""), (words, err)
            assert said in err, words
        else:
            assert (ended, out) == (code, said), (words, err)


#: Commands on this machine's file, without a server: exit code, and a part of the answer.
WITHOUT_SERVER: dict[str, tuple[str, int, str]] = {
    "apply": ("apply etl.yaml", 2, "etl.yaml is not applied: no server runs on this machine. Start one (mintaka server start)"),
    "apply a flow": ("apply etl.py:etl", 2, "etl.py:etl is not applied: no server runs on this machine"),
    "get deployments": ("get deployments", 2, "there are no flow deployments: no server runs on this machine"),
    "run a deployment": ("run deployment/etl", 2, "no run of etl is created: no server runs on this machine"),
    "run a file elsewhere": ("run --remote etl.py:etl", 2, "no run of etl is created: no server runs on this machine"),
    "delete a deployment": ("delete deployment/etl", 2, "there is no flow deployment etl: no server runs on this machine"),
    "delete a run": ("delete done", 2, "done belongs to a script: mintaka retention --days N deletes such runs by age"),
    "cancel": ("cancel done", 2, "has already ended Completed"),
    "suspend": ("suspend done", 2, "has already ended Completed"),
    "get": ("get -o name", 0, "done\n"),
    "explain": ("explain done", 0, "done Completed"),
    "watch": ("watch done", 0, "done Completed"),
    "logs": ("logs done --follow", 0, ""),
    "wait without a place": ("run etl.py:etl --wait", 2, "require --remote or deployment/NAME"),
}


@pytest.mark.parametrize(("words", "code", "said"), WITHOUT_SERVER.values(), ids=WITHOUT_SERVER)
def test_this_machines_file_reads_runs_and_says_what_needs_a_server(mintaka: Command, words: str, code: int, said: str) -> None:
    """The message is one sentence that states what to do."""

    @flow(flow_run_name="done")
    def finished() -> None:
        pass

    finished()
    ended, out, err = mintaka(*words.split())
    assert ended == code
    assert said in (err if code else out)


def test_a_run_is_started_and_followed_and_its_end_is_the_exit_code(mintaka: Command) -> None:
    """This holds for a deployment and for a flow's file."""
    assert mintaka("apply", "etl.yaml", "--context", "server")[0] == 0
    code, out, _ = mintaka("run", "deployment/etl", "--name", "good", "--wait", "--json", "--context", "server")
    assert (code, json.loads(out)["state"]["type"]) == (0, "COMPLETED")
    code, out, err = mintaka("run", "deployment/etl", "--name", "ill", "-p", "fail=true", "--watch", "--context", "server")
    assert code == 1
    assert out.splitlines()[-1].startswith("ill Failed")
    assert "why: mintaka explain" in err
    assert "ValueError" in mintaka("explain", "ill", "--context", "server")[1]
    assert "begin" in mintaka("logs", "good", "--follow", "--context", "server")[1]
    code, out, err = mintaka("run", "--remote", "etl.py:etl", "-p", "seconds=0", "--name", "inline", "--wait", "--context", "server")
    assert (code, out.split()[:2]) == (0, ["inline", "Completed"]), err
    assert mintaka("apply", "etl.py:etl", "--name", "checked", "--context", "server")[0] == 0
    code, _, err = mintaka("run", "deployment/checked", "-p", 'seconds="x"', "--context", "server")
    assert code == 2
    assert "parameters/seconds" in err


def test_each_error_of_each_document_is_reported_by_file_and_field_and_nothing_is_stored(mintaka: Command, tmp_path: Path) -> None:
    """The message also has the rule that a document breaks."""
    flow_run = {
        **MANIFEST,
        "kind": "FlowRun",
        "metadata": {"name": "two"},
        "spec": {"deployment": "a", "template": {"entrypoint": "a.py:b"}},
    }
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.yaml").write_text(yaml.safe_dump_all([{**MANIFEST, "metadata": {"name": "fine"}}, BAD]))
    (tmp_path / "folder" / "b.json").write_text(json.dumps({"kind": "List", "items": [flow_run]}))
    code, out, err = mintaka("apply", "folder", "--context", "server")
    assert (code, out) == (2, "")
    assert err.startswith("mintaka apply: nothing was applied: folder/a.yaml: FlowDeployment bad: spec.timeoutSeconds: Invalid value: 0")
    assert "folder/b.json: FlowRun two: spec: Invalid value" in err
    assert "a run has exactly one of deployment (a name) and template (written out)" in err
    assert "fine" not in mintaka("get", "deployments", "-o", "name", "--context", "server")[1]


UNREADABLE: dict[str, tuple[str, str]] = {
    "no YAML": ("a: [", "is not YAML"),
    "nothing": ("", "there is no document in file.yaml"),
    "a text": ("just words", "has a document that is not an object"),
    "no metadata": ("kind: FlowRun", "FlowRun: metadata is missing"),
    "another kind": (
        "{apiVersion: v1, kind: Pod, metadata: {name: a}}",
        "kind: use one of FlowDeployment, FlowRun, OrchestrationRule, ClusterOrchestrationRule, ConfigMap, not 'Pod'",
    ),
    "another namespace": (
        "{apiVersion: mintaka.dev/v1alpha1, kind: FlowRun, metadata: {name: a, namespace: b}}",
        "file.yaml: FlowRun a is in namespace b, not team: leave --namespace out, or correct metadata.namespace",
    ),
}


@pytest.mark.parametrize(("content", "said"), UNREADABLE.values(), ids=UNREADABLE)
def test_an_invalid_manifest_is_reported_by_file(mintaka: Command, tmp_path: Path, content: str, said: str) -> None:
    """The command or the server detects it."""
    (tmp_path / "file.yaml").write_text(content)
    code, _, err = mintaka("apply", "file.yaml", "--namespace", "team", "--context", "server")
    assert code == 2
    assert "file.yaml" in err
    assert said in err


def test_the_server_of_this_machine_is_found_and_scripts_runs_stand_beside_it(
    server: LocalServer, mintaka: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No context is needed."""
    monkeypatch.setenv("MINTAKA_HOME", str(server.home))
    code, out, _ = mintaka("context", "show")
    assert (code, out.splitlines()[0]) == (0, f"commands: the server of this machine at {server.address.url} (no context is chosen)")
    code, out, _ = mintaka("run", "etl.py:etl", "--name", "of-a-script", "--no-progress")
    assert code == 0
    assert "of-a-script" in mintaka("get", "-o", "name")[1].split()
    assert "belongs to a script" in mintaka("delete", "of-a-script")[2]


def refusals(server: LocalServer) -> dict[str, tuple[Context, str]]:
    """Contexts that cannot be used, and a part of the message."""
    url = server.address.url
    return {
        "no token": (Context("a", server=url), "requires a token (HTTP 401"),
        "another token": (Context("a", server=url, token="x" * 3), "refuses the token (HTTP 401"),
        "a token file that is gone": (
            Context("a", server=url, token_file="/no" + "where"),
            "token file /nowhere that context a names cannot be read",
        ),
        "a server that is down": (Context("a", server="http://127.0.0.1:1"), "start it, or correct context a: mintaka context show a"),
        "a context kubectl does not have": (Context("a", cluster="nix"), "nix"),
    }


@pytest.mark.parametrize(
    "case", ["no token", "another token", "a token file that is gone", "a server that is down", "a context kubectl does not have"]
)
@pytest.mark.parametrize("words", ["get", "apply etl.yaml", "run deployment/etl", "cancel x", "delete deployment/etl"])
def test_a_refusal_says_what_to_do(server: LocalServer, mintaka: Command, tmp_path: Path, case: str, words: str) -> None:
    """The message is one line."""
    context, said = refusals(server)[case]
    write(Contexts(tmp_path / "home" / "contexts.json", "a", {"local": Context("local"), "a": context}))
    code, out, err = mintaka(*words.split())
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_contexts_are_added_used_shown_and_removed(server: LocalServer, mintaka: Command, tmp_path: Path) -> None:
    """The token is in no output."""
    url, token = server.address.url, server.home / "server.token"
    assert mintaka("context", "add", "mine", "--server", url + "/", "--token-file", str(token), "--use")[0] == 0
    assert mintaka("get")[0] == 0
    _, out, _ = mintaka("context", "list")
    assert [line.split()[:2] for line in out.splitlines()][-1] == ["*", "mine"]
    _, out, _ = mintaka("context", "list", "--json")
    assert {each["name"]: each["current"] for each in json.loads(out)} == {"local": False, "server": False, "cluster": False, "mine": True}
    assert token.read_text().strip() not in out
    assert mintaka("context", "use", "cluster")[1] == "cluster is the current context: cluster places\n"
    assert mintaka("context", "show")[1].startswith("commands: the cluster of kubectl's context places (the current context, cluster)")
    assert "cannot be called 'local'" in mintaka("context", "add", "local", "--server", url)[2]
    assert "there is a context mine already" in mintaka("context", "add", "mine", "--server", url)[2]
    assert "kubectl has no context 'nix'" in mintaka("context", "add", "new", "--cluster", "nix")[2]
    assert "give one of them" in mintaka("context", "add", "new")[2]
    assert mintaka("context", "remove", "cluster")[1] == "cluster is removed\n"
    assert contexts(tmp_path / "home").current == ""
    assert "which" in mintaka("context", "use", "cluster")[2]
    assert "context server is not a cluster: leave --cluster out" in mintaka("get", "--cluster", "--context", "server")[2]


def test_variables_are_those_of_the_place_too(mintaka: Command) -> None:
    """Sent with the token."""
    assert mintaka("variable", "set", "region", "north", "--context", "server")[0] == 0
    assert mintaka("variable", "get", "region", "--context", "server")[1] == "north\n"
    assert "there is no variable 'region'" in mintaka("variable", "get", "region", "--context", "local")[2]
    assert "kubectl port-forward" in mintaka("variable", "get", "region", "--context", "cluster")[2]


def test_the_plug_in_takes_a_context_of_kubectl(mintaka: Command) -> None:
    """The current context of `mintaka` has no effect."""
    assert mintaka("context", "use", "server")[0] == 0
    assert mintaka("apply", "etl.py:etl", "--name", "plugged", "--context", "places", program="kubectl-mintaka")[1].endswith(
        "plugged created\n"
    )
    assert mintaka("delete", "deployment/plugged", "--context", "places", program="kubectl-mintaka")[0] == 0
    code, _, err = mintaka("get", program="kubectl-mintaka")
    assert code == 2
    assert "127.0.0.1:1" in err, "kubectl's current context"
