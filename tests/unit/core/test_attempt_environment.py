"""The environment variables of an attempt, in a pod or a process."""

from __future__ import annotations

import json

from mintaka_core.attempt_environment import Places, attempt_variables, secret_variables
from mintaka_core.resources import FlowRun, FlowTemplate

PLACES = Places("/source", "/attempt", 30, "/report", "http://api")
METADATA = {"name": "nightly", "namespace": "sales", "uid": "u1"}


def variables(places: Places = PLACES, resumed_from: str = "", **template: object) -> dict[str, str]:
    """The variables of the second attempt of a run."""
    run = FlowRun.model_validate({"metadata": METADATA, "spec": {"deployment": "nightly", "parameters": {"day": 1}, "tags": ["b"]}})
    return attempt_variables(run, FlowTemplate.model_validate(template), 2, resumed_from, places)


def test_a_flow_gets_its_variables() -> None:
    found = variables(entrypoint="flow.py:main", source={"inline": "x"}, parameters={"day": 0, "region": "north"}, tags=["a"])
    assert {name.removeprefix("MINTAKA_"): value for name, value in found.items()} == {
        "FLOW_RUN": "nightly",
        "FLOW_RUN_UID": "u1",
        "NAMESPACE": "sales",
        "DEPLOYMENT": "nightly",
        "ATTEMPT": "2",
        "WIRE_VERSION": "1",
        "PARAMETERS": '{"day":1,"region":"north"}',
        "TAGS": '["a", "b"]',
        "ENTRYPOINT": "flow.py:main",
        "SOURCE_DIR": "/source",
        "ATTEMPT_DIR": "/attempt",
        "API_URL": "http://api",
        "GRACE_SECONDS": "30",
        "TERMINATION_MESSAGE_PATH": "/report",
    }


def test_a_missing_setting_has_no_variable() -> None:
    found = variables(Places("/source", "/attempt", 0), entrypoint="sales:main")
    assert {"MINTAKA_SOURCE_DIR", "MINTAKA_API_URL", "MINTAKA_TERMINATION_MESSAGE_PATH", "MINTAKA_RESUME_FROM"}.isdisjoint(found)
    assert found["MINTAKA_GRACE_SECONDS"] == "0"


def test_finished_tasks_come_from_the_storage_of_results() -> None:
    found = variables(entrypoint="s:f", resultStorage={"url": "s3://bucket"}, resumed_from="u0")
    assert (found["MINTAKA_RESULT_STORAGE"], found["MINTAKA_RESUME_FROM"]) == ("s3://bucket", "u0")


def test_parameters_from_secrets_are_numbered() -> None:
    template = FlowTemplate.model_validate(
        {"entrypoint": "s:f", "secretParameters": {"day": {"name": "s", "key": "d"}, "größe": {"name": "s", "key": "g"}}}
    )
    run = FlowRun.model_validate({"metadata": METADATA, "spec": {"deployment": "nightly", "parameters": {"day": 1}}})
    found = secret_variables(run, template)
    assert {name: reference.key for name, reference in found.items()} == {"MINTAKA_PARAMETER_FROM_SECRET_0": "g"}
    assert json.loads(attempt_variables(run, template, 1, "", PLACES)["MINTAKA_PARAMETERS_FROM_SECRETS"]) == ["größe"]
