"""Commands show no secret parameters, name the better way when one is written down, and send nothing that passes a limit."""

from __future__ import annotations

import json
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mintaka import cli

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CANARY = "c4nary"
FLOW = """from typing import Annotated

from pydantic import BaseModel, Field, SecretStr

from mintaka import flow


class Database(BaseModel):
    host: str
    password: SecretStr


@flow
def main(
    token: SecretStr | None = None,
    database: Database | None = None,
    marked: Annotated[str, Field(json_schema_extra={"writeOnly": True})] = "c4nary",
    region: str = "north",
    n: int = 1,
    y: str = "no",
):
    return region
"""
SCHEMA = {"type": "object", "properties": {"token": {"type": "string", "format": "password", "default": CANARY}}}
LAST_APPLIED = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"spec": {"parameters": {"token": CANARY}}})}


def _run(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    status = {"state": {"type": "FAILED", "name": "Failed", "reason": "ValueError", "message": "no", "time": "2026-11-22T10:00:00Z"}}
    metadata = {
        "name": name,
        "namespace": "ns",
        "uid": f"u-{name}",
        "creationTimestamp": "2026-11-22T10:00:00Z",
        "annotations": LAST_APPLIED,
    }
    return {
        "apiVersion": "mintaka.dev/v1alpha1",
        "kind": "FlowRun",
        "metadata": metadata,
        "spec": {"parameters": {"token": CANARY, "region": "north"}, **spec},
        "status": {**status, "attempt": 1, "transitions": []},
    }


DEPLOYMENT = {
    "apiVersion": "mintaka.dev/v1alpha1",
    "kind": "FlowDeployment",
    "metadata": {"name": "etl", "namespace": "ns", "annotations": LAST_APPLIED},
    "spec": {
        "entrypoint": "a:b",
        "parameters": {"token": CANARY, "region": "north"},
        "schedules": [{"name": "s", "cron": "@daily", "parameters": {"token": CANARY}}],
        "parameterSchema": SCHEMA,
    },
}
INLINE = {"template": {"entrypoint": "a:b", "parameters": {"token": CANARY}, "parameterSchema": SCHEMA}}


@pytest.fixture
def mintaka(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Calls `mintaka ARGUMENTS…` in a folder with secret_flow.py; gives exit code, output and errors."""
    (tmp_path / "secret_flow.py").write_text(FLOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mintaka", *arguments])
        sys.modules.pop("secret_flow", None)
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubectl that answers from files of a folder: runs, deployments, what it says to `apply`; and keeps what it is given."""
    runs = [_run("by-name", {"deployment": "etl"}), _run("gone", {"deployment": "deleted"}), _run("inline", INLINE)]
    folder = tmp_path / "cluster"
    folder.mkdir()
    for run in runs:
        (folder / f"{run['metadata']['name']}.json").write_text(json.dumps(run))
    (folder / "runs.json").write_text(json.dumps({"items": runs}))
    (folder / "deployments.json").write_text(json.dumps({"items": [DEPLOYMENT]}))
    (folder / "answer").write_text(json.dumps({"kind": "List", "items": [DEPLOYMENT, *runs, {"kind": "ConfigMap"}]}))
    program = tmp_path / "kubectl"
    program.write_text(
        f"""#!/bin/sh
cd {folder}
case "$*" in
  "get flowruns.mintaka.dev --output json") cat runs.json ;;
  "get flowruns.mintaka.dev "*) cat "$3.json" 2>/dev/null || {{ echo 'Error from server (NotFound): x' >&2; exit 1; }} ;;
  "get flowdeployments.mintaka.dev --output json") cat deployments.json ;;
  get*) echo 'Error from server (NotFound): flowdeployments "x" not found' >&2; exit 1 ;;
  apply*) cat > given; [ -e refusal ] && {{ cat refusal >&2; exit 1; }}; cat answer ;;
esac
"""
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return folder


#: kind of output, command, what it shows besides.
SHOWN: list[tuple[str, list[str], str]] = [
    ("list", ["get", "--cluster", "--output", "wide"], "north"),
    ("list as JSON", ["get", "--cluster", "--json"], "north"),
    ("list as YAML", ["get", "--cluster", "--output", "yaml"], "north"),
    ("run", ["get", "by-name", "--cluster"], "north"),
    ("run as JSON", ["get", "by-name", "--cluster", "--json"], "north"),
    ("run as YAML", ["get", "by-name", "--cluster", "--output", "yaml"], "north"),
    ("run with an inline template", ["get", "inline", "--cluster", "--json"], "north"),
    ("run whose deployment is gone", ["get", "gone", "--cluster", "--json"], "region"),
    ("explain", ["explain", "by-name", "--cluster"], "by-name"),
    ("explain as JSON", ["explain", "by-name", "--cluster", "--json"], "by-name"),
    ("diff", ["diff", "by-name", "inline", "--cluster"], ""),
    ("diff as JSON", ["diff", "by-name", "inline", "--cluster", "--json"], "by-name"),
    ("apply as JSON", ["apply", "manifest.yaml", "--json", "--cluster"], "north"),
]


@pytest.mark.parametrize(("command", "besides"), [case[1:] for case in SHOWN], ids=[case[0] for case in SHOWN])
def test_no_command_shows_a_secret_of_a_clusters_run(mintaka: Any, cluster: Path, tmp_path: Path, command: list[str], besides: str) -> None:
    """And all show what is no secret."""
    assert cluster.is_dir()
    (tmp_path / "manifest.yaml").write_text("kind: ConfigMap\n")
    code, out, err = mintaka(*command)
    assert code in (0, 1)
    assert CANARY not in out + err
    assert besides in out


def test_without_a_right_to_read_deployments_every_parameter_is_masked(mintaka: Any, cluster: Path) -> None:
    """Of runs that name one; an inline template says itself what is secret."""
    (cluster / "deployments.json").unlink()
    _, out, _ = mintaka("get", "--cluster", "--json")
    parameters = {run["name"]: run["parameters"] for run in json.loads(out)}
    assert parameters["by-name"] == {"token": "********", "region": "********"}
    assert parameters["inline"] == {"token": "********", "region": "north"}


def test_a_patch_that_is_refused_is_told_without_its_secrets(mintaka: Any, cluster: Path, tmp_path: Path) -> None:
    """Kubectl quotes the whole of it."""
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(DEPLOYMENT))
    (cluster / "refusal").write_text("error when applying patch: " + json.dumps(DEPLOYMENT["spec"]) + " to: x")
    code, out, err = mintaka("apply", "manifest.yaml", "--cluster")
    assert code == 2
    assert "error when applying patch" in err
    assert CANARY not in out + err


#: kind of value, options, whether there is a warning.
WRITTEN: list[tuple[str, list[str], bool]] = [
    ("a secret", ["-p", f"token={CANARY}"], True),
    ("within a model", ["-p", json.dumps({"host": "h", "password": CANARY}).join(["database=", ""])], True),
    ("marked by its field", ["-p", f"marked={CANARY}"], True),
    ("null", ["-p", "token=null"], False),
    ("no secret", ["-p", "region=south"], False),
    ("from a Secret", ["--secret-parameter", "token=billing/api-token"], False),
    ("none", [], False),
]


@pytest.mark.parametrize(("options", "warned"), [case[1:] for case in WRITTEN], ids=[case[0] for case in WRITTEN])
@pytest.mark.parametrize("command", [("deploy",), ("apply", "--cluster")], ids=["deploy", "apply"])
def test_a_secret_that_is_written_into_a_manifest_gets_a_warning_that_names_the_better_way(
    mintaka: Any, cluster: Path, command: tuple[str, ...], options: list[str], warned: bool
) -> None:
    """On standard error; the manifest is made all the same."""
    assert cluster.is_dir()
    code, out, err = mintaka(*command, "secret_flow.py:main", *options, "--image", "x:1")
    assert code == 0
    assert out
    assert ("is secret, and its value stands in the manifest" in err) is warned
    assert ("spec.secretParameters" in err) is warned
    assert CANARY not in err


def test_manifests_are_warned_of_by_file_and_resource(mintaka: Any, cluster: Path, tmp_path: Path) -> None:
    """Secrets in them, and zones that are easily mistaken."""
    assert cluster.is_dir()
    spec = DEPLOYMENT["spec"] | {"schedules": [{"name": "s", "cron": "@daily", "timeZone": "EST", "parameters": {"token": CANARY}}]}  # type: ignore[operator]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.yaml").write_text(yaml.safe_dump_all([{"kind": "ConfigMap"}, DEPLOYMENT | {"spec": spec}]))
    (tmp_path / "folder" / "b.json").write_text(json.dumps({"kind": "List", "items": [_run("r", INLINE)]}))
    code, _, err = mintaka("apply", "folder", "--cluster")
    assert code == 0
    assert CANARY not in err
    assert err.count("warning: folder/a.yaml: FlowDeployment etl: parameter 'token' is secret") == 2
    assert err.count("warning: folder/b.json: FlowRun r: parameter 'token' is secret") == 2
    assert "EST has no summer time" in err


def test_a_parameter_from_a_secret_stands_in_the_manifest_by_reference(mintaka: Any) -> None:
    """And the schema has no default of a secret."""
    _, out, _ = mintaka("deploy", "secret_flow.py:main", "--secret-parameter", "token=billing/api-token", "--image", "x:1")
    spec = yaml.safe_load(out)["spec"]
    assert spec["secretParameters"] == {"token": {"name": "billing", "key": "api-token"}}
    assert CANARY not in out
    assert spec["parameterSchema"]["properties"]["region"]["default"] == "north"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--secret-parameter", "token"], "takes name=SECRET/KEY"),
        (["--secret-parameter", "token=x"], "takes name=SECRET/KEY"),
        (["--secret-parameter", "nix=a/b"], "flow main has no parameter nix"),
        (["--secret-parameter", "token=a/b", "-p", "token=x"], "parameter token is given twice"),
        (["--secret-parameter", "token=Not A Name/b"], "secretParameters.token.name"),
    ],
)
def test_a_reference_that_makes_no_sense_is_refused(mintaka: Any, options: list[str], words: str) -> None:
    """With what it should be."""
    code, _, err = mintaka("deploy", "secret_flow.py:main", *options)
    assert code == 2
    assert words in err


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


#: kind of excess, file, its content, what is said.
EXCESSES: list[tuple[str, str, str, str]] = [
    ("too deep", "a.json", json.dumps(DEPLOYMENT).replace('"north"', _nested(260)), "a.json is nested more than 100 levels deep"),
    ("too deep, just", "a.json", json.dumps(DEPLOYMENT).replace('"north"', _nested(101)), "a.json: FlowDeployment etl: spec.parameters is nested more"),
    ("much too deep", "a.json", json.dumps(DEPLOYMENT).replace('"north"', _nested(20000)), "a.json is nested more than 100 levels deep"),
    ("too deep in YAML", "a.yaml", f"kind: FlowRun\napiVersion: mintaka.dev/v1alpha1\nspec: {{parameters: {{a: {_nested(300)}}}}}", "nested more"),
    ("too large", "a.json", json.dumps(DEPLOYMENT | {"spec": {"podTemplate": {"a": "x" * 300000}}}), "takes 300"),
    ("parameters too large", "a.json", json.dumps(DEPLOYMENT | {"spec": {"parameters": {"a": "漢" * 6000}}}), "spec.parameters take 18008 bytes"),
    ("source too large in bytes", "a.json", json.dumps(DEPLOYMENT | {"spec": {"source": {"inline": "漢" * 60000}}}), "takes 180000 bytes of UTF-8"),
    ("an integer of more than 64 bits", "a.yaml", yaml.safe_dump(DEPLOYMENT | {"spec": {"parameters": {"a": 2**70}}}), "spec.parameters.a is an integer"),
    ("not a number", "a.yaml", yaml.safe_dump(DEPLOYMENT | {"spec": {"parameters": {"a": float("nan")}}}), "spec.parameters.a is nan"),
    ("an alias a billion times", "a.yaml",
     "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
     + "kind: FlowRun\napiVersion: mintaka.dev/v1alpha1\nspec: {parameters: {a: *a39}}\n", "has more than 262144 values"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "words"), [case[1:] for case in EXCESSES], ids=[case[0] for case in EXCESSES])
def test_a_manifest_that_passes_a_limit_is_not_sent(mintaka: Any, cluster: Path, tmp_path: Path, name: str, text: str, words: str) -> None:
    """The limit, the place and what to do stand on one line."""
    (tmp_path / name).write_text(text)
    code, out, err = mintaka("apply", name, "--cluster")
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert not (cluster / "given").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-p", f"region={_nested(101)}"], "spec.parameters is nested more than 100 levels deep"),
        (["-p", "region=" + "x" * 17000], "spec.parameters take 170"),
        (["-p", f"n={2**64}"], "spec.parameters.n is an integer of more than 64 bits"),
        (["-p", "n=NaN"], "spec.parameters.n is nan"),
        (["-p", "n=1e400"], "spec.parameters.n is inf"),
        (["-p", 'region="\\ud800"'], "spec.parameters.region contains half of a surrogate pair"),
    ],
)
def test_a_parameter_that_passes_a_limit_is_refused(mintaka: Any, options: list[str], words: str) -> None:
    """Before there is a manifest."""
    code, out, err = mintaka("deploy", "secret_flow.py:main", *options)
    assert (code, out) == (2, "")
    assert words in err


def test_source_that_is_too_large_in_bytes_is_refused(mintaka: Any, tmp_path: Path) -> None:
    """Though it has fewer characters than the limit."""
    (tmp_path / "large_flow.py").write_text(FLOW + "#" + "漢" * 21800, encoding="utf-8")
    code, out, err = mintaka("deploy", "large_flow.py:main", "--inline")
    assert (code, out) == (2, "")
    assert "bytes of UTF-8, at most 65536 are allowed: put the code into a ConfigMap" in err


def test_texts_that_kubectl_would_read_as_something_else_are_quoted(mintaka: Any) -> None:
    """YAML 1.1 has more booleans and numbers than PyYAML knows."""
    values = {"y": "y", "region": "1e3"}
    _, out, _ = mintaka("deploy", "secret_flow.py:main", *(f"-p{name}={json.dumps(value)}" for name, value in values.items()))
    assert yaml.safe_load(out)["spec"]["parameters"] == values
    for line in ('"y": "y"', 'region: "1e3"', '"n":', 'default: "no"'):
        assert line in out
