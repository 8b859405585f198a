"""FlowRun → process: command, interpreter, folder, variables and files."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mintaka.environment import Environment
from mintaka_api.local.processes.launch import AttemptPlaces, InvalidLaunch, Launch, Machine, build_launch, source_files
from mintaka_api.local.processes.leftovers import TOKEN
from mintaka_api.local.processes.references import InvalidReference, config_map_files, container_variables, expanded, secret_files
from mintaka_core.resources import FlowRun, FlowTemplate
from mintaka_core.states import CRASHED, FAILED
from process_world import command, flow_run

if TYPE_CHECKING:
    from collections.abc import Mapping

MACHINE = Machine(
    "/srv/venv/bin/python",
    "http://127.0.0.1:4200",
    "/home/ada/server.token",
    variables={"PATH": "/bin", "LANG": "C", "MINTAKA_DATABASE_URL": "x", "MINTAKA_SECRET_KEY": "k"},
)
PLACES = AttemptPlaces("/p/source", "/p/work", "/p/report")


def launch(
    run: FlowRun | None = None, own: Mapping[str, str] | None = None, files: Mapping[str, bytes] | None = None, **template: Any
) -> Launch:
    """The launch of a template."""
    run = run or flow_run(entrypoint="sales:main")
    return build_launch(
        run,
        FlowTemplate.model_validate(template),
        3,
        "",
        machine=MACHINE,
        places=PLACES,
        own_variables=own or {},
        files=files or {},
        token="t0",  # noqa: S106 - no secret
    )


class TestCommands:
    def test_a_flow_is_run_by_the_servers_interpreter(self) -> None:
        assert launch(entrypoint="sales:main").command == ["/srv/venv/bin/python", "-m", "mintaka.runner"]

    def test_an_interpreter_of_its_own(self, tmp_path: Path) -> None:
        assert launch(entrypoint="sales:main", process={"python": "/usr/bin/python3.12"}).command[0] == "/usr/bin/python3.12"
        (tmp_path / "venv" / "bin").mkdir(parents=True)
        found = launch(entrypoint="sales:main", process={"python": str(tmp_path / "venv")})
        assert found.command[0] == str(tmp_path / "venv" / "bin" / "python")
        assert found.environment["PATH"] == f"{tmp_path}/venv/bin{os.pathsep}/bin"
        assert launch(entrypoint="sales:main", process={"python": "~/venv/bin/python"}).command[0] == str(Path.home() / "venv/bin/python")

    def test_requirements_are_installed_by_uv(self) -> None:
        given = {"requirements": ["pandas>=2", "duckdb"], "python": "/usr/bin/python3"}
        assert launch(entrypoint="sales:main", process=given).command == [
            *("uv", "run", "--no-project", "--quiet", "--python", "/usr/bin/python3"),
            *("--with", "pandas>=2", "--with", "duckdb", "--", "python", "-m", "mintaka.runner"),
        ]

    def test_the_containers_command_replaces_the_runner_and_its_arguments_follow(self) -> None:
        container = {"name": "flow", "command": ["nice", "python"], "args": ["-m", "mintaka.runner", "--of=$(MINTAKA_FLOW_RUN)"]}
        template = {"entrypoint": "sales:main", "podTemplate": {"spec": {"containers": [container]}}}
        assert launch(**template).command == ["nice", "python", "-m", "mintaka.runner", "--of=run"]

    @pytest.mark.parametrize(
        ("template", "words"),
        [
            pytest.param(
                {"podTemplate": {"spec": {"containers": [{"name": "flow", "image": "etl"}]}}}, "write the command", id="no command"
            ),
            pytest.param(command("sh", args="-c"), "list of words", id="arguments that are not a list"),
            pytest.param({"entrypoint": "s:f", "process": {"python": "venv/bin/python"}}, "absolute path", id="a relative interpreter"),
            pytest.param({"entrypoint": "s:f", "process": {"workingDir": "project"}}, "absolute path", id="a relative folder"),
        ],
    )
    def test_what_a_process_cannot_have_is_refused_with_what_to_write(self, template: dict[str, Any], words: str) -> None:
        with pytest.raises(InvalidLaunch, match=words) as refused:
            launch(**template)
        assert (refused.value.error.reason, refused.value.error.verdict) == ("InvalidTemplate", FAILED)


class TestSurroundings:
    def test_the_folder(self) -> None:
        container = {"podTemplate": {"spec": {"containers": [{"name": "flow", "workingDir": "/app"}]}}}
        assert launch(entrypoint="s:f").directory == "/p/work"
        assert launch(entrypoint="s:f", **container).directory == "/app"
        assert launch(entrypoint="s:f", **container, process={"workingDir": "~/sales"}).directory == str(Path.home() / "sales")

    def test_the_sdk_reads_what_the_server_writes(self) -> None:
        found = launch(entrypoint="flow.py:main", source={"inline": "x"}, timeoutSeconds=60, parameters={"n": 1}, tags=["a"])
        read = Environment.read(found.environment)
        assert (read.flow_run, read.attempt, read.parsed_parameters(), read.tags) == ("run", 3, {"n": 1}, ("a",))
        assert (read.api_url, read.source_dir, str(read.attempt_dir)) == ("http://127.0.0.1:4200", "/p/source", "/p/work")
        assert (str(read.termination_path), read.timeout_seconds, read.grace_seconds) == ("/p/report", 60.0, 30.0)
        assert found.environment["MINTAKA_API_TOKEN_FILE"] == "/home/ada/server.token"  # noqa: S105 - no secret

    def test_the_servers_own_settings_stay_with_it(self) -> None:
        found = launch(entrypoint="s:f").environment
        assert found["LANG"] == "C"
        assert "MINTAKA_DATABASE_URL" not in found
        assert "MINTAKA_SECRET_KEY" in found, "secrets are for flows"

    def test_the_templates_variables_win_but_for_the_token(self) -> None:
        found = launch(entrypoint="s:f", own={"LANG": "de", "MINTAKA_LOG_LEVEL": "DEBUG", TOKEN: "x"}).environment
        assert (found["LANG"], found["MINTAKA_LOG_LEVEL"], found[TOKEN]) == ("de", "DEBUG", "t0")

    @pytest.mark.parametrize(("written", "read"), [(90, 90), (0, 0), (None, 30), (-1, 30), ("90", 30)])
    def test_the_grace_period_is_that_of_the_pod(self, written: Any, read: int) -> None:
        assert launch(entrypoint="s:f", podTemplate={"spec": {"terminationGracePeriodSeconds": written}}).grace_seconds == read

    def test_what_is_not_done_here_is_noted(self) -> None:
        spec = {"containers": [{"name": "flow"}, {"name": "proxy"}], "volumes": [{"name": "data"}]}
        assert launch(entrypoint="s:f", podTemplate={"spec": spec}).notes == (
            "podTemplate: containers proxy; volumes data: ignored, since this server runs one process for each attempt",
        )
        assert launch(entrypoint="s:f").notes == ()


class TestFiles:
    def test_inline_source_has_the_name_of_the_entrypoint(self) -> None:
        template = FlowTemplate.model_validate({"entrypoint": "flows/etl.py:main", "source": {"inline": "x = 'é'"}})
        assert source_files(template, None) == {"flows/etl.py": "x = 'é'".encode()}

    @pytest.mark.parametrize("entrypoint", ["/etc/flow.py:main", "../flow.py:main"])
    def test_it_does_not_leave_its_folder(self, entrypoint: str) -> None:
        with pytest.raises(InvalidLaunch, match=r"write flow\.py:main"):
            source_files(FlowTemplate.model_validate({"entrypoint": entrypoint, "source": {"inline": "x"}}), None)

    @pytest.mark.parametrize("name", ["../flow.py", "..", "a/b.py", ""])
    def test_nor_do_files_of_a_config_map(self, name: str) -> None:
        template = FlowTemplate.model_validate({"entrypoint": "flow.py:main", "source": {"configMap": {"name": "wine"}}})
        with pytest.raises(InvalidLaunch, match="names of files"):
            source_files(template, {name: b""})
        assert source_files(template, {"flow.py": b"x"}) == {"flow.py": b"x"}

    def test_a_config_map_has_texts_and_bytes(self) -> None:
        document = {"data": {"flow.py": "x"}, "binaryData": {"model.bin": "AP8=", "broken": "!"}}
        assert config_map_files(document) == {"flow.py": b"x", "model.bin": b"\x00\xff"}


class Objects:
    """ConfigMaps and Secrets."""

    async def config_map(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """One."""
        return {"region": b"north", "day": b"monday"} if (namespace, name) == ("local", "settings") else None

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """One."""
        return {"token": b"s3cr3t"} if (namespace, name) == ("local", "api") else None


def variables(**container: Any) -> dict[str, str]:
    """The variables of a container."""
    return asyncio.run(container_variables(container, "local", {"metadata.name": "run-3"}, Objects()))


class TestVariables:
    def test_values_and_references(self) -> None:
        env = [
            {"name": "A", "value": "a"},
            {"name": "B", "value": "$(A)/$(NOWHERE)/$$(A)"},
            {"name": "REGION", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "region"}}},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "no", "key": "x", "optional": True}}},
            {"name": "EMPTY"},
        ]
        assert variables(env=env) == {
            "A": "a",
            "B": "a/$(NOWHERE)/$(A)",
            "REGION": "north",
            "TOKEN": "s3cr3t",
            "POD": "run-3",
            "EMPTY": "",
        }

    def test_all_of_an_object_and_single_ones_over_them(self) -> None:
        sources = [{"configMapRef": {"name": "settings"}, "prefix": "S_"}, {"secretRef": {"name": "no", "optional": True}}]
        assert variables(envFrom=sources, env=[{"name": "S_day", "value": "$(S_day)!"}]) == {"S_region": "north", "S_day": "monday!"}

    @pytest.mark.parametrize(
        ("source", "reason", "words"),
        [
            ({"configMapKeyRef": {"name": "settings", "key": "no"}}, "ConfigMapNotFound", "local/settings with key 'no': apply it"),
            ({"secretKeyRef": {"name": "no", "key": "k"}}, "SecretNotFound", "create secrets/local/no/k under MINTAKA_HOME"),
        ],
    )
    def test_what_is_missing_can_be_supplied(self, source: dict[str, Any], reason: str, words: str) -> None:
        with pytest.raises(InvalidReference, match=words) as missing:
            variables(env=[{"name": "X", "valueFrom": source}])
        error = missing.value.error
        assert (error.reason, error.verdict, error.patience is not None and error.patience.total_seconds()) == (reason, CRASHED, 600)

    def test_a_field_of_a_pod_that_a_process_does_not_have(self) -> None:
        with pytest.raises(InvalidReference, match=r"field status\.podIP.*write a value") as refused:
            variables(env=[{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}])
        assert refused.value.error.verdict == FAILED

    def test_secrets_are_files(self, tmp_path: Path) -> None:
        folder = tmp_path / "secrets" / "local" / "api"
        folder.mkdir(parents=True)
        (folder / "token").write_bytes(b"s3cr3t")
        assert secret_files(tmp_path, "local", "api") == {"token": b"s3cr3t"}
        assert secret_files(tmp_path, "local", "no") is None
        assert secret_files(tmp_path, "local", "../local/api") is None

    def test_dollar_signs_are_those_of_kubernetes(self) -> None:
        assert expanded("$$ $(A) $A ${A} $(B)", {"A": "1"}) == "$ 1 $A ${A} $(B)"
