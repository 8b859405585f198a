"""A flow that runs a deployment many times, in pods, and checks of its runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kube import eventually, flow_deployment, python_flow

if TYPE_CHECKING:
    from kube import Api, Kube

FLOWS = """
import asyncio
import time

from mintaka import flow, task
from mintaka.deployments import arun_deployment, run_deployment

@flow
def part(n: int = 0, seconds: float = 0) -> int:
    time.sleep(seconds)
    return 2 * n

@task
def called(n: int, seconds: float) -> str:
    run = run_deployment("part", parameters={"n": n, "seconds": seconds})
    assert run.state.is_completed(), run.state
    return run.name

@flow
def fan_out(count: int = 10, seconds: float = 0) -> list[str]:
    return called.map(range(count), seconds).result()

@flow
async def gathered(count: int = 10, seconds: float = 0) -> list[str]:
    parameters = [{"n": n, "seconds": seconds} for n in range(count)]
    runs = await asyncio.gather(*(arun_deployment("part", parameters=each) for each in parameters))
    assert all(run.state.is_completed() for run in runs), [run.state for run in runs]
    return [run.name for run in runs]
"""
_RETRIES = {"onCrash": {"limit": 20, "backoff": {"delaySeconds": 0}}}


def deploy(kube: Kube, **part: Any) -> None:
    """Create the deployments `part`, `fan-out` and `gathered`; `part` has the spec of the first."""
    for name, fields in {"part": part, "fan-out": {}, "gathered": {}}.items():
        template = python_flow(FLOWS, retries=_RETRIES, **fields)
        kube.apply(flow_deployment(name, **{**template, "entrypoint": f"flow.py:{name.replace('-', '_')}"}))


def called_by(kube: Kube, run: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs that a run called and that are in the cluster."""
    return kube.items("flowruns", f"--selector=mintaka.dev/called-by={run['metadata']['uid']}")


def check_history(api: Api, run: dict[str, Any], count: int) -> None:
    """History has each called run once, below the caller, and no run was started twice."""
    uid = run["metadata"]["uid"]
    api.mirrored(run)
    below = eventually(lambda: found if len(found := api.items("/flow-runs", parent=uid)) == count else None, f"{count} runs below {uid}")
    assert {(each["root"], each["kind"], each["deployment"], each["attempt"]) for each in below} == {(uid, "deployed", "part", 1)}
    assert sorted(each["parameters"]["n"] for each in below) == list(range(count))
