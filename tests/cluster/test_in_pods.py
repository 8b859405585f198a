"""What flows share with each other and leave for people, from pods: a limit's slots, secrets, variables, logs, edges, artifacts."""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from kube import eventually, flow_run, python_flow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kube import Api, Kube

#: A holder renews its slot at least every third of this; whoever gets in much sooner did not wait until it expired.
LEASE_SECONDS = 60
SOON_SECONDS = 15

FLOWS = """
import hashlib
import logging
import time

from mintaka import flow, get_run_logger, task
from mintaka.artifacts import create_markdown_artifact, create_table_artifact
from mintaka.blocks.system import Secret
from mintaka.concurrency.sync import concurrency
from mintaka.variables import Variable

quiet = logging.getLogger("quiet_library")
quiet.propagate = False

@task
def double(number):
    logging.getLogger("a_library.parts").warning("doubling %d", number)
    return 2 * number

@task
def total(numbers):
    create_table_artifact([{"number": number} for number in numbers], key="numbers")
    return sum(numbers)

@flow
def holds(limit: str):
    with concurrency(limit, strict=True):
        time.sleep(300)

@flow(log_prints=True)
def main(limit: str, variable: str):
    with concurrency(limit, strict=True):
        get_run_logger().info("got in")
    for name in ("password", "api-token"):
        secret = Secret.load(name)
        print(name, secret, hashlib.sha256(secret.get().encode()).hexdigest())
    quiet.info("from a library that keeps to itself")
    quiet.debug("below the level")
    numbers = double.map(Variable.get(variable))
    Variable.set(variable + "-total", total(numbers), tags=["from-a-pod"])
    create_markdown_artifact("# Done", key="report")
"""


def template(flow: str = "main", **pod: Any) -> dict[str, Any]:
    """A template of one of the flows."""
    return {**python_flow(FLOWS, podTemplate={"spec": {"terminationGracePeriodSeconds": 2, **pod}}), "entrypoint": f"flow.py:{flow}"}


@pytest.fixture
def limit(kube: Kube, api: Api) -> Iterator[str]:
    """A limit of one slot."""
    name = f"warehouse.{kube.namespace}"
    assert api.client.put(f"/namespaces/{kube.namespace}/concurrency-limits/{name}", json={"slots": 1}).is_success
    yield name
    api.client.delete(f"/namespaces/{kube.namespace}/concurrency-limits/{name}")


@pytest.fixture
def variable(kube: Kube, api: Api) -> Iterator[str]:
    """A variable set over REST; the flow sets another one, named after it."""
    name = f"numbers.{kube.namespace}"
    assert api.client.put(f"/namespaces/{kube.namespace}/variables/{name}", json={"value": [1, 2, 3]}).is_success
    yield name
    for each in (name, f"{name}-total"):
        api.client.delete(f"/namespaces/{kube.namespace}/variables/{each}")


def holders(api: Api, namespace: str, limit: str) -> tuple[int, int]:
    """How many hold slots of the limit, and how many wait."""
    leases = api.get(f"/namespaces/{namespace}/concurrency-limits/{limit}")["leases"]
    held = sum(lease["granted"] is not None for lease in leases)
    return held, len(leases) - held


def test_what_a_flow_in_a_pod_shares_and_leaves(kube: Kube, api: Api, limit: str, variable: str) -> None:
    """Its slot comes free when its pod is killed; the next gets in, with secrets, a variable, logs, edges and artifacts."""
    password, token = secrets.token_hex(), secrets.token_hex()
    data = {"password": base64.b64encode(password.encode()).decode(), "token": base64.b64encode(token.encode()).decode()}
    flow = {
        "name": "flow",
        "volumeMounts": [{"name": "secrets", "mountPath": "/run/secrets/mintaka", "readOnly": True}],
        "env": [
            {"name": "MINTAKA_SECRET_API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "sales", "key": "token"}}},
            {"name": "MINTAKA_LOGGING_EXTRA_LOGGERS", "value": "quiet_library"},
        ],
    }
    spec = {"containers": [flow], "volumes": [{"name": "secrets", "secret": {"secretName": "sales"}}]}
    kube.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sales"}, "data": data},
        flow_run("holder", template=template("holds"), parameters={"limit": limit}),
    )
    eventually(lambda: holders(api, kube.namespace, limit) == (1, 0), "a slot that is held")
    kube.apply(flow_run("next", template=template(**spec), parameters={"limit": limit, "variable": variable}))
    eventually(lambda: holders(api, kube.namespace, limit) == (1, 1), "a flow that waits for the slot")
    kube("delete", "pod", "holder-1", "--force", "--grace-period=0")
    killed = kube.ended("holder")
    run = kube.ended("next")
    uid = run["metadata"]["uid"]
    assert (killed["status"]["state"]["type"], run["status"]["state"]["type"]) == ("CRASHED", "COMPLETED"), run["status"]["state"]
    assert holders(api, kube.namespace, limit) == (0, 0)
    api.mirrored(run)
    lines = [(line["logger"], line["level"], line["message"]) for line in api.items(f"/flow-runs/{uid}/logs")]
    (got_in,) = [line["time"] for line in api.items(f"/flow-runs/{uid}/logs") if line["message"] == "got in"]
    waited = datetime.fromisoformat(got_in) - datetime.fromisoformat(killed["status"]["endTime"])
    assert waited.total_seconds() < SOON_SECONDS
    shown = {
        f"{name} ********** {hashlib.sha256(secret.encode()).hexdigest()}"
        for name, secret in (("password", password), ("api-token", token))
    }
    messages = {message for _, _, message in lines}
    assert shown <= messages
    assert not {line for line in lines if password in line[2] or token in line[2]}
    assert {("a_library.parts", 30, f"doubling {number}") for number in (1, 2, 3)} <= set(lines)
    assert [line for line in lines if line[0] == "quiet_library"] == [("quiet_library", 20, "from a library that keeps to itself")]
    assert api.get(f"/namespaces/{kube.namespace}/variables/{variable}-total")["value"] == 12
    rows = sorted(api.items(f"/flow-runs/{uid}/task-runs"), key=lambda row: row["n"])
    assert [(row["name"], row["state"], row["inputs"]) for row in rows] == [
        ("double-0", "COMPLETED", {}),
        ("double-1", "COMPLETED", {}),
        ("double-2", "COMPLETED", {}),
        ("total-3", "COMPLETED", {"numbers": [0, 1, 2]}),
    ]
    artifacts = {each["key"]: (each["kind"], each["n"]) for each in api.get(f"/flow-runs/{uid}/artifacts")["items"]}
    assert artifacts == {"numbers": ("table", 3), "report": ("markdown", None)}
