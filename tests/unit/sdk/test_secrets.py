"""Secrets: where they are found, who may read them, and that they are shown nowhere."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from mintaka import flow, get_run_logger, task
from mintaka.blocks.system import Secret
from mintaka.exceptions import InvalidNameError, SecretNotFound, SharingError
from mintaka.secret_files import MOUNTED
from mintaka.testing import recorded
from mintaka_core.resources import FlowDeployment, FlowRun
from mintaka_operator.pods import PodDefaults, build_pod

HIDDEN = "hidden ☃"


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
