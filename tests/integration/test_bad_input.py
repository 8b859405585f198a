"""Whatever is asked, the answer is never a 500."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from api_testing import API, report, running, task
from mintaka_api.routes.query_parameters import FlowDeploymentQuery, FlowRunQuery, LogQuery, TaskRunOfFlowRunQuery, TaskRunQuery
from mintaka_api.settings import Settings

UID = str(uuid.uuid4())
LISTS = {
    f"{API}/flow-runs": FlowRunQuery,
    f"{API}/flow-deployments": FlowDeploymentQuery,
    f"{API}/task-runs": TaskRunQuery,
    f"{API}/flow-runs/{UID}/task-runs": TaskRunOfFlowRunQuery,
    f"{API}/flow-runs/{UID}/logs": LogQuery,
}
odd = st.one_of(
    st.text(max_size=30),
    st.integers().map(str),
    st.sampled_from(
        [
            "",
            "0",
            "-1",
            "1",
            "200",
            "201",
            "1e3",
            "nan",
            "\0",
            "a\0b",
            "%",
            "_",
            "'",
            "\\",
            "created",
            "-name",
            "n",
            "FAILED",
            "Late",
            "COMPLETED",
            "\ud7ff",
            "\U0010ffff",
        ]
    ),
    st.sampled_from(
        [
            "2026-01-01T00:00:00Z",
            "2026-01-01",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59-23:59",
            "uid,name",
            "uid,bogus",
            ",",
            "W10",
            "WyJhIl0",
        ]
    ),
)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Tests run on asyncio."""
    return "asyncio"


@pytest.mark.anyio
async def test_unknown_parameters_are_named(database_url: str) -> None:
    """400, and the problem says which one."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        await client.post(f"{API}/flow-runs/{UID}/reports", json=report(1, [task(0)]))
        paths = [
            *LISTS,
            f"{API}/flow-runs/{UID}",
            f"{API}/flow-runs/{UID}/graph",
            f"{API}/flow-runs/{UID}/transitions",
            f"{API}/namespaces/a/flow-runs/b",
        ]
        for path in paths:
            answer = await client.get(path, params={"namepsace": "x"})
            assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, "namepsace")
        posted = await client.post(f"{API}/flow-runs/{UID}/cancel?force=1")
        assert (posted.status_code, posted.json()["errors"][0]["path"]) == (400, "force")


@pytest.mark.anyio
async def test_odd_paths_and_methods_are_problems(database_url: str) -> None:
    """Unknown things are 404, wrong methods 405, all as problem documents."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        for path, expected in (
            ("/nothing", 404),
            (f"{API}/flow-runs/not-a-uid", 404),
            (f"{API}/flow-runs/{UID}", 404),
            (f"{API}/flow-runs/{UID}/logs", 404),
            (f"{API}/namespaces/%00/flow-runs/x", 422),
            (f"{API}/namespaces/a/flow-runs/%ff", 404),
            (f"{API}/flow-deployments/a/{quote('x' * 400)}", 404),
        ):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["Content-Type"]) == (expected, "application/problem+json"), path
        assert (await client.put(f"{API}/flow-runs")).status_code == 405
        assert (await client.post(f"{API}/flow-runs/{UID}/cancel")).status_code == 404
        created = await client.post(f"{API}/namespaces/a/flow-deployments/b/runs", json={})
        assert (created.status_code, created.json()["title"]) == (503, "Kubernetes is away")


@hypothesis_settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_query_is_a_server_error(database_url: str, data: st.DataObject) -> None:
    """Every list, under any values of its parameters: 200, or a problem that is the asker's."""
    import anyio  # noqa: PLC0415 - hypothesis drives this one without the plugin

    asked: list[tuple[str, dict[str, Any]]] = []
    for path, query in LISTS.items():
        for _ in range(6):
            names = data.draw(st.lists(st.sampled_from(sorted(query.model_fields)), max_size=4, unique=True))
            asked.append(
                (
                    path,
                    {
                        name: data.draw(st.lists(odd, max_size=3)) if name in {"state", "namespace", "tag"} else data.draw(odd)
                        for name in names
                    },
                )
            )

    async def ask() -> None:
        async with running(Settings(database_url=database_url, mirror=False)) as client:
            await client.post(f"{API}/flow-runs/{UID}/reports", json=report(1, [task(0, tags=["x"])]))
            for path, query in asked:
                answer = await client.get(path, params=query)
                assert answer.status_code in {200, 400}, (path, query, answer.text)
                if answer.status_code == 400:
                    assert answer.json()["detail"]

    anyio.run(ask)
