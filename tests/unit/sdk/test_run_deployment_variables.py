"""`job_variables` of `run_deployment`: the overrides of a run, and variables that cannot be overridden."""

from __future__ import annotations

from typing import Any

import pytest

from mintaka.exceptions import InvalidSettingError
from mintaka.remote_runs.job_variables import overrides_of

CONTAINER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "variables with dots": ({"env.A": 1, "env": {"B.C": "2"}}, {"env": [{"name": "A", "value": "1"}, {"name": "B.C", "value": "2"}]}),
    "resources with dots": (
        {"resources.limits.memory": "1Gi", "resources": {"requests": {"cpu": "1"}}},
        {"resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "1"}}},
    ),
    "resources of a work pool": ({"cpu_request": "500m", "memory_limit": "2Gi"}, {"resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "2Gi"}}}),
}  # fmt: skip


@pytest.mark.parametrize(("variables", "container"), CONTAINER.values(), ids=CONTAINER)
def test_the_flows_container_gets_them(variables: dict[str, Any], container: dict[str, Any]) -> None:
    assert overrides_of(variables) == {"pod_template": {"spec": {"containers": [{"name": "flow", **container}]}}}


def test_the_image_and_the_pod_have_places_of_their_own() -> None:
    found = overrides_of({"image": "flows:2", "service_account_name": "etl", "labels.team/of": "data"})
    assert found == {
        "image": "flows:2",
        "pod_template": {"metadata": {"labels": {"team/of": "data"}}, "spec": {"serviceAccountName": "etl"}},
    }


@pytest.mark.parametrize("variables", [None, {}], ids=["None", "an empty dict"])
def test_none_are_no_overrides(variables: dict[str, Any] | None) -> None:
    assert overrides_of(variables) is None


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"gpus": 2}, "gpus: no counterpart"),
    "of another namespace": ({"namespace": "prod"}, "call 'namespace/deployment'"),
    "of the deployment": ({"pod_watch_timeout_seconds": 60}, "pendingTimeoutSeconds is a setting of the deployment"),
    "without a meaning here": ({"command": "python x.py"}, "command: "),
    "a variable to remove": ({"env": {"A": None}}, "A is not removed"),
}


@pytest.mark.parametrize(("variables", "message"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_meaning_is_an_error(variables: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettingError, match=message):
        overrides_of(variables)
