"""What passes a limit is refused by REST before anything is sent to the cluster: with a sentence, never with an internal error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from api_testing import API, Namespace, eventually, running
from mintaka_api.settings import Settings
from mintaka_core.names import API_VERSION
from mintaka_kubernetes import FLOW_DEPLOYMENTS, FLOW_RUNS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

pytestmark = pytest.mark.anyio


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


#: kind, body, status, what is said.
REFUSED: dict[str, tuple[str | bytes, int, str]] = {
    "a level too deep": (f'{{"parameters": {{"a": {_nested(100)}}}}}', 413, "parameters is nested more than 100 levels deep"),
    "260 deep": (f'{{"parameters": {{"a": {_nested(260)}}}}}', 413, "more than 100 levels deep"),
    "1,500 deep": (f'{{"parameters": {{"a": {_nested(1500)}}}}}', 413, "more than 100 levels deep"),
    "100,000 deep": (f'{{"parameters": {{"a": {_nested(100_000)}}}}}', 413, "the body is nested more than 100 levels deep"),
    "1.8 MB": (f'{{"parameters": {{"a": {_nested(900_000)}}}}}', 413, "the body passes 262144 bytes"),
    "parameters of 17 kB": (json.dumps({"parameters": {"a": "x" * 17_000}}), 413, "parameters take 17008 bytes of JSON, at most 16384"),
    "parameters of 18 kB in 6,000 characters": (json.dumps({"parameters": {"a": "漢" * 6000}}), 413, "parameters take 18008 bytes of JSON"),
    "many names": (json.dumps({"parameters": {str(n): 1 for n in range(5000)}}), 413, "at most 16384 are allowed"),
    "an integer of 65 bits": ('{"parameters": {"a": 9223372036854775808}}', 422, "parameters.a is an integer of more than 64 bits"),
    "an integer of 5,000 digits": (f'{{"parameters": {{"a": {"9" * 5000}}}}}', 422, "Integer value out of range"),
    "NaN": ('{"parameters": {"a": NaN}}', 422, "the body is not JSON"),
    "Infinity": ('{"parameters": {"a": -Infinity}}', 422, "the body is not JSON"),
    "a number beyond all": ('{"parameters": {"a": 1e400}}', 422, "Number out of range"),
    "half of a surrogate pair": ('{"parameters": {"a": "\\ud800"}}', 422, "the body is not JSON"),
    "half of a surrogate pair in a name": ('{"parameters": {"\\udfff": 1}}', 422, "the body is not JSON"),
    "half of a surrogate pair in a tag": ('{"tags": ["\\ud800"]}', 422, "the body is not JSON"),
    "NUL in the run's name": ('{"name": "a\\u0000"}', 422, "matching regex"),
    "another encoding": ('{"parameters": {"a": "é"}}'.encode("latin-1"), 422, "the body is not JSON"),
    "UTF-16": ("{}".encode("utf-16"), 422, "the body is not JSON"),
    "a time beyond all": ('{"scheduled_time": "9999-12-31T23:59:59.999999-23:59"}', 422, "scheduled_time"),
}

#: kind, body, the parameters and tags that are stored.
TAKEN: dict[str, tuple[str, object, list[str]]] = {
    "100 deep": (f'{{"parameters": {{"a": {_nested(99)}}}}}', {"a": json.loads(_nested(99))}, []),
    "NUL in a text": ('{"parameters": {"a": "x\\u0000y"}}', {"a": "x\ufffdy"}, []),
    "NUL in a name": ('{"parameters": {"a\\u0000": 1}}', {"a\ufffd": 1}, []),
    "NUL in a tag": ('{"tags": ["a\\u0000"]}', {}, ["a\ufffd"]),
    "what looks like NUL": ('{"parameters": {"a": "C:\\\\u0000_backup"}}', {"a": "C:\\u0000_backup"}, []),
    "the largest integers": ('{"parameters": {"a": [9223372036854775807, -9223372036854775808]}}', {"a": [2**63 - 1, -(2**63)]}, []),
    "the first moment": ('{"scheduled_time": "0001-01-01T00:00:00+00:00"}', {}, []),
    "nothing": ("", {}, []),
}


@pytest.fixture
async def api(database_url: str, kubeconfig: str, namespace: Namespace) -> AsyncIterator[httpx.AsyncClient]:
    """An API with a deployment `etl` to run."""
    settings = Settings(database_url=database_url, kubeconfig=kubeconfig, namespaces=(namespace.name,), release_namespace=namespace.name)
    document = {"apiVersion": API_VERSION, "kind": "FlowDeployment", "metadata": {"name": "etl"}, "spec": {"entrypoint": "a:b"}}
    await namespace.cluster.create(FLOW_DEPLOYMENTS, namespace.name, document)
    async with running(settings) as client:
        yield client


async def _create(api: httpx.AsyncClient, namespace: Namespace, body: str | bytes) -> httpx.Response:
    path = f"{API}/namespaces/{namespace.name}/flow-deployments/etl/runs"
    return await api.post(path, content=body, headers={"content-type": "application/json"})


async def test_a_run_that_passes_a_limit_is_not_created(api: httpx.AsyncClient, namespace: Namespace) -> None:
    """Each kind, one after the other, against one API."""
    for kind, (body, status, words) in REFUSED.items():
        answer = await _create(api, namespace, body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), f"{kind}: {answer.text[:300]}"
        assert words in answer.json()["detail"], kind
    assert await namespace.documents(FLOW_RUNS) == []


async def test_a_run_within_the_limits_is_created_and_mirrored(api: httpx.AsyncClient, namespace: Namespace) -> None:
    """Whatever is in it."""
    for kind, (body, parameters, tags) in TAKEN.items():
        answer = await _create(api, namespace, body)
        assert answer.status_code == 201, f"{kind}: {answer.text[:300]}"
        path = f"{API}/flow-runs/{answer.json()['uid']}"

        async def look(path: str = path) -> httpx.Response:
            return await api.get(path)

        mirrored = (await eventually(look, lambda seen: seen.status_code == 200)).json()
        assert (mirrored["parameters"], mirrored["tags"]) == (parameters, tags), kind
