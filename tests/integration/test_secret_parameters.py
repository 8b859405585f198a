"""A secret parameter stands in the resource, and nowhere that the API stores, answers or logs: real kube-apiserver, both databases."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, inspect, text

from api_testing import API, ORDINARY, Namespace, eventually, running, status
from mintaka_api.settings import Settings
from mintaka_core.names import API_VERSION, LABEL_TOMBSTONE
from mintaka_core.secret_parameters import MASK
from mintaka_kubernetes import CONFIG_MAPS, FLOW_DEPLOYMENTS, FLOW_RUNS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

pytestmark = pytest.mark.anyio

CANARY = "c4nary-in-the-mine"
SECRET = {"type": "string", "format": "password", "default": CANARY}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"token": SECRET, "nested": {"properties": {"list": {"items": {"writeOnly": True}}}}, "region": {"type": "string"}},
}
PARAMETERS: dict[str, Any] = {"token": CANARY, "nested": {"list": [CANARY], "n": 1}, "region": "north"}
SHOWN = {"token": MASK, "nested": {"list": [MASK], "n": 1}, "region": "north"}


class World:
    """A namespace of the cluster and the API that mirrors it."""

    def __init__(self, database_url: str, kubeconfig: str, namespace: Namespace) -> None:
        self.namespace = namespace
        self.settings = Settings(
            database_url=database_url, kubeconfig=kubeconfig, namespaces=(namespace.name,), release_namespace=namespace.name
        )
        self.client: httpx.AsyncClient | None = None
        self.answers: list[str] = []

    async def deploy(self, name: str = "etl", **spec: Any) -> dict[str, Any]:
        """Create a deployment, and wait until it is mirrored."""
        spec = {"entrypoint": "etl:main", "parameterSchema": SCHEMA, **spec}
        document = {"apiVersion": API_VERSION, "kind": "FlowDeployment", "metadata": {"name": name}, "spec": spec}
        made = await self.namespace.cluster.create(FLOW_DEPLOYMENTS, self.namespace.name, document)
        await self.mirrored(f"flow-deployments/{name}")
        return made

    async def change(self, **spec: Any) -> None:
        """Change the deployment, and wait until that is mirrored."""
        path = FLOW_DEPLOYMENTS.path(self.namespace.name, "etl")
        body = {"spec": spec}
        made = await self.namespace.cluster.request("PATCH", path, body=body, content_type="application/merge-patch+json")
        generation = made["metadata"]["generation"]
        await self.mirrored("flow-deployments/etl", lambda found: found.get("generation") == generation)

    async def undeploy(self, name: str = "etl") -> None:
        """Delete a deployment, and wait until that is mirrored."""
        await self.namespace.cluster.request("DELETE", FLOW_DEPLOYMENTS.path(self.namespace.name, name))
        await self.mirrored(f"flow-deployments/{name}", lambda found: bool(found.get("deleted")))

    async def run(self, name: str = "run", states: tuple[str, ...] = ORDINARY[:3], **spec: Any) -> dict[str, Any]:
        """Create a run that went through `states`, and wait until they are mirrored."""
        spec = {"parameters": PARAMETERS, **({} if "template" in spec else {"deployment": "etl"}), **spec}
        made = await self.namespace.create(name, spec=spec)
        await self.advance(name, states)
        return made

    async def advance(self, name: str, states: tuple[str, ...]) -> None:
        """Let a run have gone through `states`."""
        if states:
            await self.namespace.set_status(name, status(states))
        await self.mirrored(f"flow-runs/{name}", lambda found: found.get("sequence") == len(states))

    async def shown(self, name: str = "run") -> Any:
        """The parameters that the API shows of a run."""
        return (await self.look(f"flow-runs/{name}"))["parameters"]

    async def mirrored(self, path: str, good: Callable[[dict[str, Any]], bool] = bool) -> None:
        """Wait until what is at `path` in the namespace is as it should be."""
        if self.client is not None:
            await eventually(lambda: self.look(path), good)

    async def look(self, path: str) -> dict[str, Any]:
        """What the API answers; {} if it does not know it."""
        kind, _, name = path.partition("/")
        there = self.namespace.name
        answer = await self.ask("GET", f"namespaces/{there}/{path}" if kind == "flow-runs" else f"{kind}/{there}/{name}")
        return dict(answer.json()) if answer.status_code == 200 else {}

    async def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        """An answer of the API, which is remembered."""
        assert self.client is not None
        answer = await self.client.request(method, f"{API}/{path}", **given)
        self.answers.append(answer.text)
        return answer


async def of_a_deployment(world: World) -> None:
    """The run's own parameters."""
    await world.deploy()
    await world.run()
    assert await world.shown() == SHOWN


async def as_defaults(world: World) -> None:
    """Of the deployment, of its schedule, and in its schema."""
    await world.deploy(parameters=PARAMETERS, schedules=[{"name": "s", "cron": "@daily", "parameters": PARAMETERS}])
    found = await world.look("flow-deployments/etl")
    assert (found["parameters"], found["schedules"][0]["parameters"]) == (SHOWN, SHOWN)
    assert found["parameter_schema"]["properties"]["token"] == {"type": "string", "format": "password"}


async def of_an_inline_template(world: World) -> None:
    """It brings its schema along."""
    await world.run(template={"entrypoint": "a:b", "parameters": PARAMETERS, "parameterSchema": SCHEMA})
    assert await world.shown() == SHOWN


async def before_its_deployment(world: World) -> None:
    """They are shown once it is there."""
    await world.run(states=())
    assert await world.shown() == {}
    await world.deploy()
    await world.advance("run", ORDINARY[:1])
    assert await world.shown() == SHOWN


async def without_a_deployment(world: World) -> None:
    """When it is over it is not known what is secret: everything is."""
    await world.run(states=("SCHEDULED", "FAILED"))
    assert await world.shown() == {"token": MASK, "nested": MASK, "region": MASK}


async def after_its_deployment(world: World) -> None:
    """Changes of a run whose deployment is gone, and one created then."""
    await world.deploy()
    await world.run()
    await world.undeploy()
    await world.advance("run", ORDINARY)
    await world.run("late")
    assert (await world.shown(), await world.shown("late")) == (SHOWN, SHOWN)


async def after_another_schema(world: World) -> None:
    """What was masked stays so, also if the deployment no longer knows the parameter, or is another one of that name."""
    await world.deploy()
    await world.run()
    await world.change(parameterSchema={"properties": {"token": {"format": None, "default": None}, "nested": None}})
    await world.advance("run", (*ORDINARY[:2], "RUNNING", "SCHEDULED"))
    await world.undeploy()
    await world.deploy(parameterSchema={"type": "object"})
    await world.advance("run", (*ORDINARY[:2], "RUNNING", "SCHEDULED", "FAILED"))
    assert await world.shown() == SHOWN


async def before_the_mark(world: World) -> None:
    """What the schema marks later is masked in what is stored already."""
    await world.deploy(parameterSchema={"type": "object"}, parameters=PARAMETERS)
    for number in range(3):
        await world.run(f"run-{number}", ORDINARY)
        assert await world.shown(f"run-{number}") == PARAMETERS
    await world.change(parameterSchema=SCHEMA)
    world.answers.clear()
    assert [await world.shown(f"run-{number}") for number in range(3)] == [SHOWN] * 3


async def of_an_unreadable_deployment(world: World) -> None:
    """Too deep to be processed: everything is secret."""
    deep: Any = []
    for _ in range(150):
        deep = [deep]
    await world.deploy(parameterSchema={**SCHEMA, "examples": deep}, parameters=PARAMETERS)
    await world.run()
    assert await world.shown() == {"token": MASK, "nested": MASK, "region": MASK}


async def in_a_tombstone(world: World) -> None:
    """As an operator of an earlier release wrote it: with the secret."""
    await world.deploy()
    uid = "6a8e4b3e-0000-4000-8000-000000000001"
    run = {"metadata": {"name": "buried", "namespace": world.namespace.name, "uid": uid, "creationTimestamp": "2026-01-01T00:00:00Z"}}
    run |= {"spec": {"deployment": "etl", "parameters": PARAMETERS}, "status": status(ORDINARY)}
    document = {"metadata": {"name": f"tombstone-{uid}", "labels": {LABEL_TOMBSTONE: "true"}}, "data": {"flowrun": json.dumps(run)}}
    await world.namespace.cluster.create(CONFIG_MAPS, world.namespace.name, {"apiVersion": "v1", "kind": "ConfigMap", **document})
    await world.mirrored("flow-runs/buried")
    assert await world.shown("buried") == SHOWN


async def created_through_the_api(world: World) -> None:
    """The answer to its creation too."""
    await world.deploy()
    answer = await world.ask("POST", f"namespaces/{world.namespace.name}/flow-deployments/etl/runs", json={"parameters": PARAMETERS})
    assert (answer.status_code, answer.json()["parameters"]) == (201, SHOWN)


async def refused_by_the_api(world: World) -> None:
    """What is wrong with them is said without them."""
    await world.deploy(parameterSchema={**SCHEMA, "properties": {"token": {**SECRET, "maxLength": 3}}, "minProperties": 9})
    answer = await world.ask("POST", f"namespaces/{world.namespace.name}/flow-deployments/etl/runs", json={"parameters": PARAMETERS})
    assert answer.status_code == 422
    assert "a value that is secret does not obey maxLength 3" in answer.text


async def too_large_for_the_api(world: World) -> None:
    """Nor does the refusal of what is too large or deep quote it."""
    await world.deploy()
    for parameters in ({"token": CANARY * 1000}, {"token": [[[CANARY]] * 2] * 9000}, {"token": [CANARY, 2**80]}):
        answer = await world.ask("POST", f"namespaces/{world.namespace.name}/flow-deployments/etl/runs", json={"parameters": parameters})
        assert answer.status_code in (413, 422)


CASES = [
    of_a_deployment,
    as_defaults,
    of_an_inline_template,
    before_its_deployment,
    without_a_deployment,
    after_its_deployment,
    after_another_schema,
    before_the_mark,
    of_an_unreadable_deployment,
    in_a_tombstone,
    created_through_the_api,
    refused_by_the_api,
    too_large_for_the_api,
]


def _driver_url(database_url: str) -> str:
    return database_url.replace("postgresql://", "postgresql+psycopg://")


def stored(database_url: str) -> str:
    """All that is in the database: each row, and of SQLite each byte of its files."""
    engine = create_engine(_driver_url(database_url))
    with engine.connect() as connection:
        tables = inspect(connection).get_table_names()
        rows = [str(tuple(row)) for table in tables for row in connection.execute(text(f'SELECT * FROM "{table}"'))]  # noqa: S608
    engine.dispose()
    files = sorted(Path(database_url.removeprefix("sqlite:///")).parent.glob("mintaka.db*")) if database_url.startswith("sqlite") else []
    return "\n".join([*rows, *(file.read_bytes().decode("latin-1") for file in files)])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.replace("_", " "))
async def test_a_secret_parameter_is_nowhere_but_in_its_resource(
    database_url: str, kubeconfig: str, namespace: Namespace, caplog: pytest.LogCaptureFixture, case: Callable[[World], Awaitable[None]]
) -> None:
    """Not in an answer, not in a row or a byte of the database, not in the log."""
    caplog.set_level(logging.DEBUG, "mintaka")
    world = World(database_url, kubeconfig, namespace)
    async with running(world.settings) as world.client:
        await case(world)
        for path in ("flow-runs", "flow-deployments"):
            answer = await world.ask("GET", path, params={"namespace": namespace.name})
            assert answer.status_code == 200
    assert len(world.answers) > 2
    assert [answer for answer in world.answers if CANARY in answer] == []
    assert CANARY not in stored(database_url)
    assert CANARY not in caplog.text


async def test_a_run_that_changed_while_the_api_was_away_is_masked_by_the_deployment_it_had(
    database_url: str, kubeconfig: str, namespace: Namespace
) -> None:
    """Though the deployment went meanwhile, and the run was created meanwhile."""
    world = World(database_url, kubeconfig, namespace)
    async with running(world.settings) as world.client:
        await world.deploy()
        await world.run()
    world.client = None
    await namespace.cluster.request("DELETE", FLOW_DEPLOYMENTS.path(namespace.name, "etl"))
    await namespace.set_status("run", status(ORDINARY))
    await world.run("late", ORDINARY)
    async with running(world.settings) as world.client:
        await world.mirrored("flow-runs/run", lambda found: found.get("sequence") == 4)
        await world.mirrored("flow-runs/late", lambda found: found.get("sequence") == 4)
        assert (await world.shown(), await world.shown("late")) == (SHOWN, SHOWN)
    assert CANARY not in stored(database_url)


async def test_what_an_earlier_release_stored_in_clear_is_masked(database_url: str, kubeconfig: str, namespace: Namespace) -> None:
    """When the mirror first sees the deployment."""
    world = World(database_url, kubeconfig, namespace)
    async with running(world.settings) as world.client:
        await world.deploy(parameters=PARAMETERS)
        await world.run(states=ORDINARY)
    engine = create_engine(_driver_url(database_url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE flow_runs SET parameters = :clear"), {"clear": json.dumps(PARAMETERS)})
    engine.dispose()
    assert CANARY in stored(database_url)
    async with running(world.settings) as world.client:
        await eventually(world.shown, lambda shown: shown == SHOWN)
    assert CANARY not in stored(database_url)


async def test_the_resources_still_have_their_secrets(database_url: str, kubeconfig: str, namespace: Namespace) -> None:
    """The mirror writes nothing into them but finalizers."""
    world = World(database_url, kubeconfig, namespace)
    async with running(world.settings) as world.client:
        await world.deploy(parameters=PARAMETERS)
        await world.run(states=ORDINARY)
        for resource in (FLOW_DEPLOYMENTS, FLOW_RUNS):
            (document,) = await namespace.documents(resource)
            assert document["spec"]["parameters"] == PARAMETERS
