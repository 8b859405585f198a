"""The command line: manifests, local runs, one-line errors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mintaka import cli
from mintaka.cli import COMMANDS
from mintaka_core.resources import FlowDeployment
from mintaka_core.resources.deployments import FlowDeploymentSpec

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = '''from datetime import date

from mintaka import Failed, flow


@flow(tags=["own"], version="7")
def daily_survey(day: date, n: int = 3, *, cities: tuple[str, ...] = ("a",)):
    """Ask around.

    Every day.
    """
    return f"{day:%d.%m.%Y} {n} {cities}"


@flow
async def asynchronous(word: str = "x"):
    return word


@flow
def failing():
    return Failed(message="not today", reason="Holiday")


def plain():
    pass
'''


@pytest.fixture
def mintaka(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Calls `mintaka ARGUMENTS…` in a folder with flow.py; gives exit code, output and errors."""
    (tmp_path / "survey_flow.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mintaka", *arguments])
        sys.modules.pop("survey_flow", None)
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_deployment_is_printed_as_yaml_that_the_models_take(mintaka: Any) -> None:
    arguments = [
        "--image",
        "x:1",
        "--cron",
        "0 6 * * MON-FRI",
        "--interval",
        "15m",
        "--time-zone",
        "Europe/Berlin",
        "-p",
        "n=4",
        "-p",
        "day=2026-11-22",
    ]
    code, out, err = mintaka(
        "deploy", "survey_flow.py:daily_survey", *arguments, "--tag", "nightly", "--namespace", "team", "--name", "survey"
    )
    assert (code, err) == (0, "")
    manifest = yaml.safe_load(out)
    deployment = FlowDeployment.model_validate(manifest)
    assert (manifest["apiVersion"], manifest["kind"], manifest["metadata"]) == (
        "mintaka.dev/v1alpha1",
        "FlowDeployment",
        {"name": "survey", "namespace": "team"},
    )
    assert manifest["spec"]["entrypoint"] == "survey_flow.py:daily_survey"
    assert manifest["spec"]["parameters"] == {"n": 4, "day": "2026-11-22"}
    assert manifest["spec"]["parameterSchema"]["required"] == ["day"]
    assert manifest["spec"]["parameterSchema"]["properties"]["cities"]["default"] == ["a"]
    assert manifest["spec"]["tags"] == ["nightly", "own"]
    assert manifest["spec"]["version"] == "7"
    assert manifest["spec"]["description"] == "Ask around.\n\nEvery day."
    assert [(each.name, each.cron, each.interval, each.time_zone) for each in deployment.spec.schedules] == [
        ("main", "0 6 * * MON-FRI", None, "Europe/Berlin"),
        ("schedule-2", None, "15m", "Europe/Berlin"),
    ]


def test_json_says_the_same_as_yaml(mintaka: Any) -> None:
    _, as_yaml, _ = mintaka("deploy", "survey_flow.py:daily_survey")
    _, as_json, _ = mintaka("deploy", "survey_flow.py:daily_survey", "-o", "json")
    assert json.loads(as_json) == yaml.safe_load(as_yaml)
    assert json.loads(as_json)["metadata"] == {"name": "daily-survey"}


def test_inline_source_is_the_file_as_it_is(mintaka: Any, tmp_path: Path) -> None:
    _, out, _ = mintaka("deploy", str(tmp_path / "survey_flow.py") + ":daily_survey", "--inline")
    spec = yaml.safe_load(out)["spec"]
    assert spec["source"] == {"inline": SOURCE}
    assert spec["entrypoint"] == "survey_flow.py:daily_survey"
    assert "inline: |\n" in out


def test_a_config_map_is_named(mintaka: Any) -> None:
    _, out, _ = mintaka("deploy", "survey_flow.py:daily_survey", "--config-map", "code")
    assert yaml.safe_load(out)["spec"]["source"] == {"configMap": {"name": "code"}}


def test_results_go_where_the_manifest_says_with_the_credentials_of_a_secret(mintaka: Any) -> None:
    storage = ["--result-storage", "s3://results/survey"]
    _, out, err = mintaka("deploy", "survey_flow.py:daily_survey", "--image", "x:1", *storage, "--result-storage-secret", "access")
    assert (yaml.safe_load(out)["spec"]["resultStorage"], err) == ({"url": "s3://results/survey", "secretRef": {"name": "access"}}, "")
    _, out, _ = mintaka("deploy", "survey_flow.py:daily_survey", "--image", "x:1", *storage)
    assert yaml.safe_load(out)["spec"]["resultStorage"] == {"url": "s3://results/survey"}


LIMITS: dict[str, tuple[list[str], dict[str, Any] | None]] = {
    "nothing": ([], None),
    "a limit": (["--concurrency-limit", "2"], {"limit": 2}),
    "everything": (
        ["--concurrency-limit", "1", "--concurrency-policy", "CancelNew", "--concurrency-key", "cluster/gpu"],
        {"limit": 1, "policy": "CancelNew", "key": "cluster/gpu"},
    ),
}


@pytest.mark.parametrize(("options", "expected"), LIMITS.values(), ids=LIMITS)
def test_a_manifest_limits_how_many_runs_are_active(mintaka: Any, options: list[str], expected: dict[str, Any] | None) -> None:
    _, out, _ = mintaka("deploy", "survey_flow.py:daily_survey", "--image", "x:1", "--priority", "3", *options)
    spec = yaml.safe_load(out)["spec"]
    assert (spec.get("concurrency"), spec["priority"]) == (expected, 3)


@pytest.mark.parametrize("url", ["file:///results", "results"])
def test_a_folder_for_results_is_told_to_need_a_volume(mintaka: Any, url: str) -> None:
    _, out, err = mintaka("deploy", "survey_flow.py:daily_survey", "--image", "x:1", "--result-storage", url)
    assert yaml.safe_load(out)["spec"]["resultStorage"] == {"url": url}
    assert err.startswith(f"results in {url} go with the pod, but for a volume")


def test_the_documentation_says_of_every_field_whether_deploy_sets_it(mintaka: Any) -> None:
    options = [
        "--inline",
        "--image",
        "x:1",
        "-p",
        "n=1",
        "--secret-parameter",
        "day=s/k",
        "--cron",
        "0 6 * * *",
        "--result-storage",
        "s3://results",
        "--concurrency-limit",
        "2",
        "--priority",
        "1",
    ]
    _, out, _ = mintaka("deploy", "survey_flow.py:daily_survey", *options)
    text = (Path(__file__).parents[3] / "docs" / "deployments.md").read_text(encoding="utf-8")
    section = text.partition("## From a flow's file\n")[2].partition("\n## ")[0]
    by_deploy, _, by_hand = section.partition("All else is written into the manifest")
    assert set(re.findall(r"`(\w+)`", by_deploy)) >= set(yaml.safe_load(out)["spec"])
    of_all = {field.alias or name for name, field in FlowDeploymentSpec.model_fields.items()}
    assert {word for word in re.findall(r"`(\w+)`", by_hand) if word in of_all} == of_all - set(yaml.safe_load(out)["spec"])


WRONG = {
    "a file that is not there": (["deploy", "nix.py:main"], "mintaka deploy: no file 'nix.py' in "),
    "a function that is not there": (["deploy", "survey_flow.py:nix"], "has no 'nix'; flows there: asynchronous, daily_survey, failing"),
    "a function that is no flow": (["deploy", "survey_flow.py:plain"], "put @flow on the function"),
    "an entrypoint without a function": (["run", "survey_flow.py"], "write survey_flow.py:FUNCTION"),
    "code that ends its process": (["run", "leaving.py:main"], "importing leaving.py:main failed"),
    "code that raises": (["run", "broken.py:main"], "importing broken.py:main failed"),
    "a cron expression that is none": (
        ["deploy", "survey_flow.py:daily_survey", "--cron", "61 * * * *"],
        "cron expression '61 * * * *' is not valid",
    ),
    "an interval that is none": (["deploy", "survey_flow.py:daily_survey", "--interval", "often"], "duration 'often' is not valid"),
    "a time zone that is none": (["deploy", "survey_flow.py:daily_survey", "--cron", "0 6 * * *", "--time-zone", "Mars/Base"], "Mars/Base"),
    "a name that Kubernetes does not take": (
        ["deploy", "survey_flow.py:daily_survey", "--config-map", "Not A Name"],
        "spec.source.configMap.name",
    ),
    "credentials without a storage": (
        ["deploy", "survey_flow.py:daily_survey", "--result-storage-secret", "access"],
        "name that with --result-storage URL",
    ),
    "a policy without a limit": (
        ["deploy", "survey_flow.py:daily_survey", "--concurrency-policy", "Queue"],
        "add --concurrency-limit N",
    ),
    "a limit of nothing": (
        ["deploy", "survey_flow.py:daily_survey", "--concurrency-limit", "0"],
        "'--concurrency-limit': Input should be greater than or equal to 1",
    ),
    "a key with capitals": (
        ["deploy", "survey_flow.py:daily_survey", "--image", "x:1", "--concurrency-limit", "1", "--concurrency-key", "GPU"],
        "spec.concurrency.key",
    ),
    "two kinds of source": (["deploy", "survey_flow.py:daily_survey", "--inline", "--config-map", "c"], "use one of them"),
    "a parameter without a value": (["run", "survey_flow.py:daily_survey", "-p", "day"], "--parameter takes name=value"),
    "a parameter that is missing": (["run", "survey_flow.py:daily_survey"], "missing a required argument: 'day'"),
    "a parameter that does not fit": (["run", "survey_flow.py:daily_survey", "-p", "day=x"], "day: Input should be a valid date"),
    "an option that is not there": (["deploy", "survey_flow.py:daily_survey", "--nix"], "No such option: --nix"),
    "an option that was removed": (
        ["run", "survey_flow.py:daily_survey", "--restart-on-crash=3"],
        "No such option: --restart-on-crash (it was removed: give the flow a deployment with spec.retries.onCrash",
    ),
    "a command that is not there": (["xyzzy"], "there is no command 'xyzzy': use one of apply, cancel"),
    "a command that is mistyped": (["explian"], "there is no command 'explian': did you mean explain?"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_without_a_traceback_and_with_exit_code_2(
    mintaka: Any, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "broken.py").write_text("1/0\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit(3)\n")
    code, out, err = mintaka(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert "mintaka/" not in err


def test_a_flow_runs_here_and_its_value_is_printed(mintaka: Any) -> None:
    code, out, err = mintaka("run", "survey_flow.py:daily_survey", "-p", "day=2026-11-22", "-p", 'cities=["x", "y"]')
    assert (code, out) == (0, "22.11.2026 3 ('x', 'y')\n")
    assert "daily-survey-" in err
    assert " ended Completed after " in err


def test_an_async_flow_runs_as_well(mintaka: Any) -> None:
    assert mintaka("run", "survey_flow.py:asynchronous", "-p", "word=hello")[:2] == (0, "hello\n")


def test_json_is_all_that_stands_on_standard_output(mintaka: Any, tmp_path: Path) -> None:
    (tmp_path / "talks.py").write_text(
        "from mintaka import flow\nprint('imported')\n\n@flow\ndef main():\n    print('running')\n    return 1\n"
    )
    code, out, err = mintaka("run", "talks.py:main", "--json")
    assert code == 0
    assert [json.loads(line)["kind"] for line in out.splitlines()][-1] == "flow_run"
    assert "imported\n" in err
    assert "running\n" in err
    code, out, err = mintaka("get", "nothing", "-o", "json")
    assert (code, out, json.loads(err)["error"]["command"]) == (2, "", "get")


def test_a_failed_flow_has_the_exit_code_of_a_failure(mintaka: Any) -> None:
    code, _, err = mintaka("run", "survey_flow.py:failing")
    assert code == 1
    assert "ended Failed after " in err
    assert ": Holiday: not today" in err


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(mintaka: Any, arguments: list[str]) -> None:
    code, out, _ = mintaka(*arguments)
    assert code == 0
    assert all(f"  {name}" in out and command.summary in out for name, command in COMMANDS.items())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_that_begins_with_its_summary(mintaka: Any, command: str) -> None:
    code, out, _ = mintaka(command, "--help")
    assert code == 0
    assert COMMANDS[command].summary in out


def test_help_of_a_command_is_asked_for_in_both_ways(mintaka: Any) -> None:
    code, out, _ = mintaka("help", "get")
    assert (code, out) == mintaka("get", "--help")[:2]
    assert "Examples:" in out
    assert "Exit codes: 0 done" in out


def test_the_version_is_that_of_the_package(mintaka: Any) -> None:
    from importlib.metadata import version  # noqa: PLC0415 - only here

    assert mintaka("--version")[:2] == (0, f"mintaka {version('mintaka')}\n")


def test_help_and_version_load_neither_typer_nor_pydantic() -> None:
    for argument in ("--help", "--version"):
        code = f"import sys; sys.argv = ['mintaka', {argument!r}]; from mintaka.cli import main; main(); assert not {{'typer', 'pydantic', 'asyncio'}} & set(sys.modules)"
        subprocess.run([sys.executable, "-I", "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=60)
