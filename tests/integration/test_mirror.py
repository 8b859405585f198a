"""The mirror against a real kube-apiserver, on both databases."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from api_testing import API, ORDINARY, Namespace, eventually, report, running, seen_run, status
from mintaka_api.cluster import Cluster
from mintaka_api.settings import Settings
from mintaka_core.names import API_VERSION, LABEL_TOMBSTONE
from mintaka_history.database import DatabaseAway
from mintaka_kubernetes import CONFIG_MAPS, FLOW_DEPLOYMENTS, FLOW_RUNS, OPENED, ClusterRefusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

pytestmark = pytest.mark.anyio


def settings(database_url: str, kubeconfig: str, *namespaces: str) -> Settings:
    """An API that mirrors some namespaces of the test cluster; the first is its release's as well."""
    return Settings(database_url=database_url, kubeconfig=kubeconfig, namespaces=namespaces, release_namespace=namespaces[0])


def run_of(client: httpx.AsyncClient, namespace: str, name: str) -> Callable[[], Awaitable[dict[str, Any]]]:
    """A look at a flow run by name; {} while it is unknown."""

    async def look() -> dict[str, Any]:
        answer = await client.get(f"{API}/namespaces/{namespace}/flow-runs/{name}")
        return dict(answer.json()) if answer.status_code == 200 else {}

    return look


async def sequences(client: httpx.AsyncClient, uid: str) -> list[int]:
    """The sequences of the transitions that are stored."""
    return [item["sequence"] for item in (await client.get(f"{API}/flow-runs/{uid}/transitions")).json()["items"]]


async def test_a_run_is_mirrored_from_its_creation_to_its_end(database_url: str, kubeconfig: str, namespace: Namespace) -> None:
    """Every state arrives, every transition once."""
    async with running(settings(database_url, kubeconfig, namespace.name)) as client:
        created = await namespace.create("one", labels={"a": "b"})
        look = run_of(client, namespace.name, "one")
        assert (await eventually(look, bool))["state"]["type"] == "SCHEDULED"
        for last in range(1, 5):
            await namespace.set_status("one", status(ORDINARY[:last], podName="one-1"))
        seen = await eventually(look, lambda run: run["state"]["type"] == "COMPLETED")
        assert seen["uid"] == created["metadata"]["uid"]
        assert (seen["sequence"], seen["pod"], seen["attempt"], seen["deleted"]) == (4, "one-1", 1, None)
        assert await sequences(client, seen["uid"]) == [1, 2, 3, 4]
        ready = await client.get("/readyz")
        assert ready.json()["parts"]["mirror"] == "ok"


async def test_a_finished_run_leaves_the_cluster_once_it_is_committed(database_url: str, kubeconfig: str, namespace: Namespace) -> None:
    """The finalizer goes, the history stays."""
    async with running(settings(database_url, kubeconfig, namespace.name)) as client:
        await namespace.create("gone")
        await namespace.set_status("gone", status(ORDINARY))
        await namespace.delete("gone")
        await eventually(namespace.names, lambda names: "gone" not in names)
        seen = await eventually(run_of(client, namespace.name, "gone"), lambda run: run.get("deleted"))
        assert seen["state"]["type"] == "COMPLETED"
        assert await sequences(client, seen["uid"]) == [1, 2, 3, 4]


async def test_an_unfinished_run_is_held_until_its_end_is_recorded(database_url: str, kubeconfig: str, namespace: Namespace) -> None:
    """A deleted run keeps its finalizer while it is being stopped."""
    async with running(settings(database_url, kubeconfig, namespace.name)) as client:
        await namespace.create("held")
        await namespace.set_status("held", status(ORDINARY[:3]))
        await namespace.delete("held")
        await eventually(run_of(client, namespace.name, "held"), lambda run: run.get("sequence") == 3)
        await asyncio.sleep(0.3)
        assert "held" in await namespace.names()
        await namespace.set_status("held", status((*ORDINARY[:3], "CANCELLED")))
        await eventually(namespace.names, lambda names: "held" not in names)
        assert (await eventually(run_of(client, namespace.name, "held"), lambda run: run["deleted"]))["state"]["type"] == "CANCELLED"


async def test_the_finalizer_is_never_removed_before_the_commit(
    database_url: str, kubeconfig: str, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database does not commit, the run stays; afterwards everything is there."""
    async with running(settings(database_url, kubeconfig, namespace.name)) as client:
        await namespace.create("safe")
        await eventually(run_of(client, namespace.name, "safe"), bool)
        writer = client.app.state.services.mirror.writer  # type: ignore[attr-defined]
        commit, refused = writer.commit, []

        def away(batch: Any) -> Any:
            refused.append(batch)
            message = "away for this test"
            raise DatabaseAway(message)

        monkeypatch.setattr(writer, "commit", away)
        for last in range(1, 5):
            await namespace.set_status("safe", status(ORDINARY[:last], kept=1))
        await namespace.delete("safe")

        async def refusals() -> int:
            return len(refused)

        await eventually(refusals, lambda count: count >= 3)
        assert "safe" in await namespace.names()
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["ill"]) == (200, ["mirror"])
        monkeypatch.setattr(writer, "commit", commit)
        await eventually(namespace.names, lambda names: "safe" not in names)
        seen = await eventually(run_of(client, namespace.name, "safe"), lambda run: run["deleted"])
        assert await sequences(client, seen["uid"]) == [1, 2, 3, 4]


async def test_what_happened_while_the_api_was_down_is_made_up_for(database_url: str, kubeconfig: str, namespace: Namespace) -> None:
    """Runs that changed, appeared or vanished meanwhile are all as they should be after the next start."""
    async with running(settings(database_url, kubeconfig, namespace.name)) as client:
        for name in ("changes", "vanishes", "ends"):
            await namespace.create(name)
            await namespace.set_status(name, status(ORDINARY[:3]))
            await eventually(run_of(client, namespace.name, name), lambda run: run.get("sequence") == 3)
    await namespace.set_status("changes", status(ORDINARY))
    await namespace.create("appears")
    await namespace.delete("vanishes")
    await namespace.drop_finalizers("vanishes")
    await namespace.set_status("ends", status(ORDINARY))
    await namespace.delete("ends")
    async with running(settings(database_url, kubeconfig, namespace.name)) as client:
        assert await eventually(run_of(client, namespace.name, "appears"), bool)
        changed = await eventually(run_of(client, namespace.name, "changes"), lambda run: run["sequence"] == 4)
        vanished = await eventually(run_of(client, namespace.name, "vanishes"), lambda run: run["deleted"])
        ended = await eventually(run_of(client, namespace.name, "ends"), lambda run: run["deleted"])
        assert changed["state"]["type"] == "COMPLETED"
        assert (vanished["state"]["type"], vanished["state"]["reason"], vanished["sequence"]) == ("CANCELLED", "Deleted", 4)
        assert (ended["state"]["type"], ended["sequence"]) == ("COMPLETED", 4)
        assert await sequences(client, vanished["uid"]) == [1, 2, 3, 4]


async def test_an_expired_watch_is_healed_by_a_list(
    database_url: str, kubeconfig: str, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """410 Gone leads to a new list, which also shows what vanished."""
    expired, lists = asyncio.Event(), []
    watch, list_pages = Cluster.watch, Cluster.list_pages

    async def expiring(self: Cluster, path: str, version: str, **options: Any) -> Any:
        """A watch that breaks off at the next event once it is expired, and is too old from then on."""
        async for event in watch(self, path, "1" if expired.is_set() else version, **options):
            if expired.is_set() and event["type"] not in {"ERROR", OPENED}:
                return
            yield event

    def counted(self: Cluster, path: str, *arguments: Any, **options: Any) -> Any:
        lists.append(path)
        return list_pages(self, path, *arguments, **options)

    monkeypatch.setattr(Cluster, "watch", expiring)
    monkeypatch.setattr(Cluster, "list_pages", counted)
    async with running(settings(database_url, kubeconfig, namespace.name)) as client:
        for name in ("stays", "leaves"):
            await namespace.create(name)
            await eventually(run_of(client, namespace.name, name), bool)
        before = lists.count(FLOW_RUNS.path(namespace.name))
        expired.set()
        await namespace.drop_finalizers("leaves")
        await namespace.delete("leaves")
        await namespace.set_status("stays", status(ORDINARY[:2]))

        async def listed() -> int:
            return lists.count(FLOW_RUNS.path(namespace.name)) - before

        await eventually(listed, lambda count: count >= 2)
        expired.clear()
        assert (await eventually(run_of(client, namespace.name, "leaves"), lambda run: run["deleted"]))["state"]["type"] == "CANCELLED"
        await eventually(run_of(client, namespace.name, "stays"), lambda run: run["sequence"] == 2)
        await namespace.set_status("stays", status(ORDINARY))
        await eventually(run_of(client, namespace.name, "stays"), lambda run: run["sequence"] == 4)


async def test_a_tombstone_is_imported_and_deleted(database_url: str, kubeconfig: str, namespace: Namespace) -> None:
    """What the operator wrote down while nobody mirrored ends up in the database; one that makes no sense stays."""
    last = seen_run("departed", ORDINARY, namespace=namespace.name, version=7)
    for name, data in (("good", json.dumps(last)), ("bad", "{}")):
        manifest = {"metadata": {"name": name, "labels": {LABEL_TOMBSTONE: "true"}}, "data": {"flowrun": data}}
        await namespace.cluster.create(CONFIG_MAPS, namespace.name, manifest)
    async with running(settings(database_url, kubeconfig, namespace.name)) as client:
        seen = await eventually(run_of(client, namespace.name, "departed"), bool)
        assert (seen["state"]["type"], seen["sequence"]) == ("COMPLETED", 4)
        assert seen["deleted"] is not None

        async def tombstones() -> set[str]:
            return {document["metadata"]["name"] for document in await namespace.documents(CONFIG_MAPS, f"{LABEL_TOMBSTONE}=true")}

        assert await eventually(tombstones, lambda names: "good" not in names) == {"bad"}


async def test_runs_can_be_found_by_the_tags_of_their_deployment(database_url: str, kubeconfig: str, namespace: Namespace) -> None:
    """A run inherits its deployment's tags; deployments are mirrored too."""
    deployment = {
        "apiVersion": API_VERSION,
        "kind": "FlowDeployment",
        "metadata": {"name": "nightly", "namespace": namespace.name},
        "spec": {"entrypoint": "etl:main", "tags": ["prod"], "schedules": [{"name": "daily", "cron": "@daily"}]},
    }
    await namespace.cluster.create(FLOW_DEPLOYMENTS, namespace.name, deployment)
    async with running(settings(database_url, kubeconfig, namespace.name)) as client:
        await namespace.create("tagged", spec={"deployment": "nightly", "tags": ["own"]})
        seen = await eventually(run_of(client, namespace.name, "tagged"), bool)
        assert seen["tags"] == ["own", "prod"]
        for tags in ("tag=prod", "tag=own", "tag=own&tag=prod"):
            page = (await client.get(f"{API}/flow-runs?{tags}&deployment=nightly")).json()
            assert [item["name"] for item in page["items"]] == ["tagged"]
        assert (await client.get(f"{API}/flow-runs?tag=own&tag=other")).json()["items"] == []
        found = (await client.get(f"{API}/flow-deployments?tag=prod&name=night")).json()["items"]
        assert [(item["name"], item["schedules"][0]["cron"]) for item in found] == [("nightly", "@daily")]
        await namespace.cluster.request("DELETE", FLOW_DEPLOYMENTS.path(namespace.name, "nightly"))
        await eventually(lambda: client.get(f"{API}/flow-deployments"), lambda answer: answer.json()["items"] == [])
        assert (await client.get(f"{API}/flow-deployments/{namespace.name}/nightly")).json()["deleted"]


async def test_intents_are_written_to_kubernetes(database_url: str, kubeconfig: str, namespace: Namespace) -> None:
    """Create, suspend, resume, cancel and delete reach the spec; what ended takes no more intents."""
    schema = {"type": "object", "properties": {"day": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}}, "required": ["day"]}
    deployment = {
        "apiVersion": API_VERSION,
        "kind": "FlowDeployment",
        "metadata": {"name": "nightly", "namespace": namespace.name},
        "spec": {"entrypoint": "etl:main", "parameters": {"limit": 5}, "parameterSchema": schema},
    }
    await namespace.cluster.create(FLOW_DEPLOYMENTS, namespace.name, deployment)
    runs = f"{API}/namespaces/{namespace.name}/flow-deployments/nightly/runs"
    async with running(settings(database_url, kubeconfig, namespace.name)) as client:
        refused = await client.post(runs, json={"parameters": {"limit": 0}})
        assert refused.status_code == 422
        assert {error["path"] for error in refused.json()["errors"]} == {"parameters", "parameters/limit"}
        assert (await client.post(runs, json={"parameters": {"day": "x" * 17000}})).status_code == 413
        assert (await client.post(runs.replace("nightly", "absent"), json={})).status_code == 404
        created = await client.post(
            runs, json={"parameters": {"day": "today"}, "name": "first", "tags": ["manual"], "scheduled_time": "2030-01-01T00:00:00Z"}
        )
        assert created.status_code == 201, created.text
        uid = created.json()["uid"]
        assert (await client.post(runs, json={"parameters": {"day": "today"}, "name": "first"})).status_code == 409
        manifest = await namespace.cluster.get(FLOW_RUNS, namespace.name, "first")
        assert manifest["metadata"]["ownerReferences"][0]["name"] == "nightly"
        await eventually(lambda: client.get(f"{API}/flow-runs/{uid}"), lambda answer: answer.status_code == 200)
        for intent, member, value in (("suspend", "suspend", True), ("resume", "suspend", False), ("cancel", "cancel", True)):
            answer = await client.post(f"{API}/flow-runs/{uid}/{intent}")
            assert (answer.status_code, answer.json()["intent"]) == (202, intent)
            assert (await namespace.cluster.get(FLOW_RUNS, namespace.name, "first"))["spec"][member] is value
        await namespace.set_status("first", status(("SCHEDULED", "CANCELLED")))
        ended = await client.post(f"{API}/flow-runs/{uid}/cancel")
        assert (ended.status_code, ended.json()["type"].rsplit("/", 1)[1]) == (409, "already-ended")
        assert (await client.delete(f"{API}/flow-runs/{uid}")).status_code == 202
        await eventually(namespace.names, lambda names: "first" not in names)
        await eventually(lambda: client.get(f"{API}/flow-runs/{uid}"), lambda answer: answer.json()["deleted"])
        left = await client.delete(f"{API}/flow-runs/{uid}")
        assert (left.status_code, left.json()["type"].rsplit("/", 1)[1]) == (409, "left-the-cluster")


async def test_what_kubernetes_refuses_is_passed_on_in_its_words(database_url: str, kubeconfig: str, namespace: Namespace) -> None:
    """A CEL message of the CRD reaches the caller."""
    async with running(settings(database_url, kubeconfig, namespace.name)) as client:
        await namespace.create("one", spec={"template": {"entrypoint": "etl:main"}, "cancel": True})
        await eventually(run_of(client, namespace.name, "one"), bool)
        with pytest.raises(ClusterRefusal, match="cancel cannot be taken back"):
            await namespace.cluster.patch(FLOW_RUNS, namespace.name, "one", [{"op": "replace", "path": "/spec/cancel", "value": False}])
        deployment = {"apiVersion": API_VERSION, "kind": "FlowDeployment", "metadata": {"name": "d", "namespace": namespace.name}}
        await namespace.cluster.create(FLOW_DEPLOYMENTS, namespace.name, deployment | {"spec": {"entrypoint": "etl:main"}})
        answer = await client.post(f"{API}/namespaces/{namespace.name}/flow-deployments/d/runs", json={"name": "a..b"})
        assert answer.status_code == 422, answer.text
        assert "a..b" in answer.json()["detail"]


async def test_the_api_answers_while_kubernetes_is_away(database_url: str, kubeconfig: str, namespace: Namespace, tmp_path: Any) -> None:
    """Queries work from the database, intents say 503; the API stays ready for flow pods, and /readyz names the mirror."""
    async with running(settings(database_url, kubeconfig, namespace.name)) as client:
        await namespace.create("known")
        uid = (await eventually(run_of(client, namespace.name, "known"), bool))["uid"]
    nowhere = tmp_path / "kubeconfig"
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {}}],
    }
    nowhere.write_text(json.dumps(config), encoding="utf-8")
    async with running(settings(database_url, str(nowhere), namespace.name)) as client:
        assert (await client.get(f"{API}/flow-runs/{uid}")).json()["name"] == "known"
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"], ready.json()["ill"]) == (200, "degraded", ["mirror"])
        assert 'mintaka_api_part_unhealthy{part="mirror"} 1.0' in (await client.get("/metrics")).text
        delivered = await client.post(f"{API}/flow-runs/{uid}/reports", json=report(namespace=namespace.name))
        assert delivered.status_code == 200
        cancelled = await client.post(f"{API}/flow-runs/{uid}/cancel")
        assert cancelled.status_code == 503
        assert cancelled.headers["Retry-After"]
