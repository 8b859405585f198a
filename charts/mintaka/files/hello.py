"""What `helm test` runs: the API is ready, a small flow run completes, and the API has its history."""
# ruff: noqa: INP001, T201 - a script that says what it sees

import os
import sys
import time
from typing import Any

import httpx
from kubernetes import client, config

NAMESPACE = os.environ["NAMESPACE"]
API_URL = os.environ["API_URL"]
DEADLINE = time.monotonic() + 180
SOURCE = """
from mintaka import flow

@flow
def hello():
    print("hello from helm test")
"""
RUN = {
    "apiVersion": "mintaka.dev/v1alpha1",
    "kind": "FlowRun",
    "metadata": {"generateName": "helm-test-", "namespace": NAMESPACE},
    "spec": {"template": {"entrypoint": "hello.py:hello", "source": {"inline": SOURCE}}},
}


def wait(what: str) -> None:
    """Pause before asking again; end the test when its time is over."""
    if time.monotonic() > DEADLINE:
        sys.exit(f"helm test: gave up waiting for {what}")
    time.sleep(0.5)


def finished(runs: client.CustomObjectsApi, run: list[str]) -> dict[str, Any]:
    """The state `run` ends in."""
    while True:
        state = runs.get_namespaced_custom_object(*run).get("status", {}).get("state", {})
        if state.get("type") in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return state
        wait(f"flow run {run[-1]}, which is {state.get('type', 'not seen by the operator')}")


def known(uid: str) -> None:
    """Wait until the API says that the run is COMPLETED."""
    while True:
        answer = httpx.get(f"{API_URL}/api/v1/flow-runs/{uid}")
        if answer.is_success and answer.json()["state"]["type"] == "COMPLETED":
            return
        wait("the API's record of the run")


config.load_incluster_config()
if API_URL:
    httpx.get(f"{API_URL}/readyz").raise_for_status()
    print("the API is ready")
runs = client.CustomObjectsApi()
group = ["mintaka.dev", "v1alpha1", NAMESPACE, "flowruns"]
metadata = runs.create_namespaced_custom_object(*group, RUN)["metadata"]
run = [*group, metadata["name"]]
try:
    state = finished(runs, run)
    if state["type"] != "COMPLETED":
        sys.exit(f"helm test: flow run {metadata['name']} ended {state}")
    print(f"flow run {metadata['name']} is COMPLETED")
    if API_URL:
        known(metadata["uid"])
        print("the API has its history")
finally:
    runs.delete_namespaced_custom_object(*run)
