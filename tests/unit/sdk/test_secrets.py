"""Secrets: where they are found, who may read them, and that they are shown nowhere."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import re
import stat
import traceback
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import AfterValidator, BaseModel, Field, SecretBytes, SecretStr

from mintaka import flow, get_run_logger, task
from mintaka.blocks.system import Secret
from mintaka.calling.parameters import Parameters
from mintaka.exceptions import (
    InvalidNameError,
    MissingResult,
    ParameterBindError,
    ParameterTypeError,
    SecretNotFound,
    SharingError,
)
from mintaka.persisting.kept_runs import kept_run, parameters_of
from mintaka.secret_files import MOUNTED
from mintaka.testing import recorded
from mintaka_core.resources import FlowDeployment, FlowRun
from mintaka_core.secret_parameters import MASK, SecretParameters
from mintaka_operator.pods import PodDefaults, build_pod

HIDDEN = "hidden ☃"
CANARY = "c4nary"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a folder of mounted secrets of the test's own."""
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MINTAKA_SECRETS_DIR", str(tmp_path / "mounted"))
    (tmp_path / "mounted").mkdir()
    return tmp_path


def test_the_environment_comes_before_mounted_files_and_those_before_saved_ones(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line feed at the end of a mounted file is nobody's password."""
    with pytest.raises(SecretNotFound, match=r"MINTAKA_SECRET_DB_PASS_1.*mounted.*save"):
        Secret.load("db-pass.1")
    Secret("saved\n").save("db-pass.1")
    assert Secret.load("db-pass.1").get() == "saved\n"
    (home / "mounted" / "db-pass.1").write_bytes(b"mounted\r\n")
    assert Secret.load("db-pass.1").get() == "mounted"
    monkeypatch.setenv("MINTAKA_SECRET_DB_PASS_1", "set")
    assert asyncio.run(Secret.aload("db-pass.1")) == Secret("set")


def test_what_is_saved_can_be_read_by_its_owner_alone(home: Path) -> None:
    """And is replaced only where that is said."""
    assert asyncio.run(Secret(HIDDEN).asave("token")) == "token"
    folder = home / "home" / "secrets"
    assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with pytest.raises(ValueError, match="overwrite=True"):
        Secret("other").save("token")
    assert Secret.load("token").get() == HIDDEN
    Secret("other").save("token", overwrite=True)
    assert Secret.load("token").get() == "other"
    assert [path.name for path in folder.iterdir()] == ["token"]


def test_a_secret_is_shown_as_stars(caplog: pytest.LogCaptureFixture) -> None:
    """In texts, formats, containers, logs and the history of the run that it is given to."""
    secret = Secret(HIDDEN)
    assert HIDDEN not in f"{secret} {secret!r} {[secret]} {'%s' % secret}"  # noqa: UP031 - one of the ways

    @task
    def use(given: Secret) -> Secret:
        get_run_logger().info("using %s", given)
        return given

    @flow
    def main(given: Secret) -> str:
        return use(given).get()

    with caplog.at_level(logging.INFO), recorded() as history:
        assert main(secret) == HIDDEN
    assert HIDDEN not in caplog.text
    assert HIDDEN not in repr([history.row(run.name) for run in history.runs.values()]) + repr(history.lines)
    assert pickle.loads(pickle.dumps(secret)) == secret  # noqa: S301 - our own


class Database(BaseModel):
    """A parameter that holds a secret."""

    host: str
    password: SecretStr


def _plain(token: SecretStr) -> None: ...
def _own(token: Secret) -> None: ...
def _optional(token: SecretStr | None = None) -> None: ...
def _listed(token: list[SecretStr]) -> None: ...
def _named(token: dict[str, SecretStr]) -> None: ...
def _modelled(token: Database) -> None: ...
def _bytes(token: SecretBytes) -> None: ...
def _marked(token: Annotated[str, Field(json_schema_extra={"writeOnly": True})]) -> None: ...
def _formatted(token: Annotated[str, Field(json_schema_extra={"format": "password"})]) -> None: ...
def _variable(*token: SecretStr) -> None: ...
def _keywords(**token: Annotated[str, Field(json_schema_extra={"writeOnly": True})]) -> None: ...


def _local() -> Any:
    """A function whose annotation is imported where no one else can resolve it."""
    from pydantic import SecretStr as SecretStr  # noqa: PLC0414, PLC0415 - as users write it

    def local(token: Unresolvable[SecretStr]) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    return local


def _refuse(value: str) -> str:
    message = f"{value!r} is not good"
    raise ValueError(message)


#: kind of annotation, function, arguments by name, the same with something wrong, where a value can be wrong.
DECLARED: list[tuple[str, Any, dict[str, Any], dict[str, Any] | None]] = [
    ("SecretStr", _plain, {"token": CANARY}, {"token": [CANARY]}),
    ("Secret", _own, {"token": CANARY}, {"token": [CANARY]}),
    ("optional", _optional, {"token": CANARY}, {"token": {"x": CANARY}}),
    ("list", _listed, {"token": [CANARY]}, {"token": CANARY}),
    ("dict", _named, {"token": {"a": CANARY}}, {"token": {"a": [CANARY]}}),
    ("model", _modelled, {"token": {"host": "h", "password": CANARY}}, {"token": {"host": 7, "password": CANARY}}),
    ("model as text", _modelled, {"token": {"host": "h", "password": CANARY}}, {"token": CANARY}),
    ("SecretBytes", _bytes, {"token": CANARY}, {"token": 3.5}),
    ("writeOnly", _marked, {"token": CANARY}, {"token": [CANARY]}),
    ("format", _formatted, {"token": CANARY}, {"token": [CANARY]}),
    ("keywords", _keywords, {"a": CANARY}, {"a": [CANARY]}),
    ("imported inside a function", _local(), {"token": CANARY}, None),
]


@pytest.mark.parametrize(("function", "given"), [case[1:3] for case in DECLARED], ids=[case[0] for case in DECLARED])
def test_a_parameter_that_is_declared_secret_is_masked_in_history(function: Any, given: dict[str, Any]) -> None:
    """Whatever the declaration; the schema of its deployment marks it too."""
    declared = flow(function)
    bound = declared.parameters.bind_by_name(given)
    declared.parameters.validate(bound)
    shown = declared.parameters.described(bound.arguments)
    assert CANARY not in repr(shown)
    assert MASK in repr(shown)
    masked = SecretParameters(declared.parameters.schema()).masked(given)
    assert CANARY not in repr(masked)
    assert MASK in repr(masked)
    assert declared.parameters.is_secret(*next(iter(bound.arguments.items())))


@pytest.mark.parametrize(
    ("function", "wrong"), [(case[1], case[3]) for case in DECLARED if case[3]], ids=[case[0] for case in DECLARED if case[3]]
)
def test_what_is_wrong_with_a_secret_is_said_without_it(function: Any, wrong: dict[str, Any]) -> None:
    """Neither in the message nor in the traceback, of which logs show all."""
    parameters = flow(function).parameters
    with pytest.raises(ParameterTypeError) as error:
        parameters.validate(parameters.bind_by_name(wrong))
    text = "".join(traceback.format_exception(error.value))
    assert CANARY not in text
    assert next(iter(wrong)) in str(error.value)


def test_the_words_of_a_users_own_validator_are_redacted() -> None:
    """They may quote the value."""

    def main(token: Annotated[str, AfterValidator(_refuse), Field(json_schema_extra={"writeOnly": True})], name: str) -> None: ...

    parameters = Parameters(main, "main")
    with pytest.raises(ParameterTypeError, match=r"token: Value error, '\*{8}' is not good; name: .*, not 7") as error:
        parameters.validate(parameters.bind((), {"token": CANARY, "name": 7}))
    assert CANARY not in "".join(traceback.format_exception(error.value))


def test_a_secret_default_does_not_stand_in_the_message_of_a_wrong_call() -> None:
    """Which shows the signature."""

    def main(token: Annotated[str, Field(json_schema_extra={"writeOnly": True})] = CANARY) -> None: ...

    with pytest.raises(ParameterBindError, match="unexpected keyword argument 'other'") as error:
        Parameters(main, "main").bind((), {"other": 1})
    assert CANARY not in str(error.value)


def test_parameters_without_secrets_are_shown_as_they_are() -> None:
    """Also beside one, and in what is wrong with them."""

    def main(token: SecretStr, count: int, names: list[str]) -> None: ...

    parameters = Parameters(main, "main")
    bound = parameters.bind((), {"token": CANARY, "count": 3, "names": ["a"]})
    parameters.validate(bound)
    assert parameters.described(bound.arguments) == {"token": MASK, "count": 3, "names": ["a"]}
    assert not parameters.is_secret("count", 3)
    assert not parameters.is_secret("token", None)
    with pytest.raises(ParameterTypeError, match=r"count: .*, not 'three'"):
        parameters.validate(parameters.bind((), {"token": CANARY, "count": "three", "names": []}))


def test_a_kept_run_does_not_hold_its_secrets_which_are_given_again(home: Path) -> None:
    """Neither by annotation nor by value; giving them again goes on with the same run."""
    storage = home / "results"

    @task
    def fetch(token: SecretStr) -> str:
        return token.get_secret_value()[:2]

    @flow(persist_result=True, result_storage=str(storage))
    def main(token: SecretStr, other: Any, region: str) -> str:
        return f"{fetch(token)} {other} {region}"

    with recorded(flow_run_id="run") as history:
        assert main(SecretStr(CANARY), Secret(CANARY), "north") == "c4 ********** north"
    assert all(CANARY.encode() not in path.read_bytes() for path in storage.rglob("*") if path.is_file())
    run, _ = kept_run("run", str(storage))
    with pytest.raises(MissingResult, match=r"are not kept: give them again \(-p other=… -p token=…\)"):
        parameters_of(run, {})
    values, changed = parameters_of(run, {"token": CANARY, "other": CANARY})
    assert (values, changed) == ({"token": CANARY, "other": CANARY, "region": "north"}, False)
    assert parameters_of(run, {"token": CANARY, "other": CANARY, "region": "south"})[1]
    assert CANARY not in repr(history.lines)


def test_what_cannot_be_a_secret_is_refused() -> None:
    """Names that lead elsewhere, and what is no text."""
    for name in ["", "../history.db", "a/b", ".hidden", "a b", "a\n", "x" * 254]:
        for call in (Secret.load, Secret("x").save):
            with pytest.raises(InvalidNameError):
                call(name)
    with pytest.raises(TypeError, match=r"not dict.*json\.dumps"):
        Secret({"a": 1})  # type: ignore[arg-type]


def test_a_file_that_cannot_be_read_is_said_without_what_is_in_it(home: Path) -> None:
    """Such as one that is no text."""
    (home / "mounted" / "binary").write_bytes(b"\xff\xfehidden")
    with pytest.raises(SecretNotFound, match="cannot be read") as told:
        Secret.load("binary")
    assert "hidden" not in str(told.value)


def test_a_pod_keeps_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its own nor, by accident, those of a folder that was built into its image."""
    Secret("mine").save("own")
    monkeypatch.setenv("MINTAKA_FLOW_RUN_UID", "0190f5fe-0000-7000-8000-000000000001")
    with pytest.raises(SharingError, match="Kubernetes Secret"):
        Secret("x").save("token")
    with pytest.raises(SecretNotFound):
        Secret.load("own")


def documented() -> Any:
    """The manifest of the documentation that mounts a Secret."""
    text = (Path(__file__).parents[3] / "docs" / "sharing.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    return yaml.safe_load(block)


def test_the_documented_manifest_mounts_a_secret_where_it_is_looked_for() -> None:
    """As files and as a variable, in the pod that the operator would make."""
    deployment = FlowDeployment.model_validate(documented())
    uid = "0b7cfd0e-6c4e-4e0b-8a38-c7c1ab2f5a11"
    run = FlowRun.model_validate({"metadata": {"name": "r", "namespace": "ns", "uid": uid}, "spec": {"deployment": "nightly-sales"}})
    pod = json.loads(json.dumps(build_pod(run, deployment.spec, 1, PodDefaults("mintaka-flow:dev", ""))))
    container = next(each for each in pod["spec"]["containers"] if each["name"] == "flow")
    mount = next(each for each in container["volumeMounts"] if each["mountPath"] == MOUNTED)
    volume = next(each for each in pod["spec"]["volumes"] if each["name"] == mount["name"])
    assert (volume["secret"], mount["readOnly"]) == ({"secretName": "sales"}, True)
    variable = next(each for each in container["env"] if each["name"] == "MINTAKA_SECRET_API_TOKEN")
    assert variable["valueFrom"]["secretKeyRef"] == {"name": "sales-api", "key": "token"}
