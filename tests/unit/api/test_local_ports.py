"""The controller's ports over the document store, as far as the tests of the controller do not cover them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from local_documents import NAMESPACE, config_map, deployment, flow_run
from mintaka_api.local import inventory as inventory_module
from mintaka_api.local.events import LocalEventRecorder
from mintaka_api.local.inventory import LocalInventory
from mintaka_api.local.resources import LocalResources
from mintaka_api.local.revisions import LocalRevisions
from mintaka_api.local.sources import LocalSources
from mintaka_controller.ports import Conflict, Exists, Listed, Missing, Rejected
from mintaka_core.resources import FlowDeployment, FlowRun, FlowTemplate
from mintaka_core.revisions import Revision
from mintaka_history.tables import events

if TYPE_CHECKING:
    from pathlib import Path

    from mintaka_api.local.document_store import DocumentStore

pytestmark = pytest.mark.anyio


# Resources.


async def test_a_run_that_is_not_valid_is_rejected(store: DocumentStore) -> None:
    """The controller gets Rejected, which it does not retry, instead of an error of validation."""
    with pytest.raises(Rejected, match=r"spec.reruns: Invalid value"):
        await LocalResources(store).create_run(flow_run(reruns=-1))


async def test_the_controller_reads_what_it_wrote(store: DocumentStore) -> None:
    """A status with the version of the read is written, the next one with the same version is a conflict; then the run is released."""
    resources = LocalResources(store)
    created = (await resources.create_run(flow_run())).document
    run = FlowRun.model_validate(created)
    version = run.metadata.resource_version
    status = run.status.model_copy(update={"attempt": 1})
    written = (await resources.write_run_status(run, version, status)).document
    assert (await resources.read_run((NAMESPACE, "run"))).document == written
    with pytest.raises(Conflict):
        await resources.write_run_status(run, version, status)
    with pytest.raises(Conflict):
        await resources.delete_run((NAMESPACE, "run"), run.metadata.uid, int(version))
    left = await resources.delete_run((NAMESPACE, "run"), run.metadata.uid, int(written["metadata"]["resourceVersion"]))
    assert left is not None
    assert await resources.write_finalizers(run, left.document["metadata"]["resourceVersion"], ()) is None
    with pytest.raises(Missing):
        await resources.read_run((NAMESPACE, "run"))


async def test_a_deployments_status_is_written(store: DocumentStore) -> None:
    """Its generation does not change."""
    resources = LocalResources(store)
    found = FlowDeployment.model_validate(await store.create("FlowDeployment", deployment()))
    written = await resources.write_deployment_status(
        found, found.metadata.resource_version, found.status.model_copy(update={"active_runs": 3})
    )
    assert (await resources.read_deployment((NAMESPACE, "etl"))).document == written.document
    assert (written.document["status"]["activeRuns"], written.document["metadata"]["generation"]) == (3, 1)


# Revisions.


async def test_revisions_are_numbered_per_deployment(store: DocumentStore) -> None:
    """Each is stored once, under its name; the next one gets the next number."""
    revisions, owners = LocalRevisions(store), [await store.create("FlowDeployment", deployment(name)) for name in ("one", "two")]
    runs = [
        FlowRun.model_validate(await store.create("FlowRun", flow_run(f"r-{owner['metadata']['name']}", owner=owner))) for owner in owners
    ]
    made = [
        Revision(f"{owner['metadata']['name']}-{number}", owner["metadata"]["name"], owner["metadata"]["uid"], {"image": f"v{number}"})
        for owner in owners
        for number in (1, 2)
    ]
    numbers = [await revisions.create(runs[position // 2], revision) for position, revision in enumerate(made)]
    assert numbers == [1, 2, 1, 2]
    with pytest.raises(Exists):
        await revisions.create(runs[0], made[0])
    read = await revisions.read((NAMESPACE, "two-2"))
    assert (read.deployment, read.deployment_uid, read.data, read.number) == ("two", owners[1]["metadata"]["uid"], {"image": "v2"}, 2)
    with pytest.raises(Missing):
        await revisions.read((NAMESPACE, "three-1"))


async def test_revisions_are_listed_without_those_of_others(store: DocumentStore) -> None:
    """A deletion has no effect if the revision is already deleted or another one has the name."""
    revisions, owner = LocalRevisions(store), await store.create("FlowDeployment", deployment())
    run = FlowRun.model_validate(await store.create("FlowRun", flow_run(owner=owner)))
    await revisions.create(run, Revision("etl-1", "etl", owner["metadata"]["uid"], {}))
    foreign = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "web-1"}, "revision": 4}
    await store.create("ControllerRevision", foreign)
    (found,) = [listed async for page in revisions.list_all() for listed in page]
    assert (found.key, found.deployment, found.number) == ((NAMESPACE, "etl-1"), "etl", 1)
    await revisions.delete(found.key, "6b82ec1f-a64c-407a-a68b-3258eaea246b")
    assert (await revisions.read(found.key)).name == "etl-1"
    await revisions.delete(found.key, found.uid)
    await revisions.delete(found.key, found.uid)
    with pytest.raises(Missing):
        await revisions.read(found.key)


# Inventory.


class _Processes:
    def list_versions(self) -> list[Listed]:
        return [Listed((NAMESPACE, "run-1"), 7)]


async def test_everything_is_listed_page_by_page(store: DocumentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents have their versions; processes are those of their port, without strays."""
    monkeypatch.setattr(inventory_module, "_PAGE", 2)
    for number in range(5):
        await store.create("FlowRun", flow_run(f"run-{number}"))
    await store.create("FlowDeployment", deployment())
    inventory = LocalInventory(store, _Processes())
    pages = [page async for page in inventory.list_versions("run")]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [each for page in pages for each in page] == [Listed((NAMESPACE, f"run-{number}"), number + 1) for number in range(5)]
    assert [page async for page in inventory.list_versions("deployment")] == [[Listed((NAMESPACE, "etl"), 6)]]
    assert [page async for page in inventory.list_versions("workload")] == [[Listed((NAMESPACE, "run-1"), 7)]]
    assert [each async for page in inventory.list_strays() for each in page] == []


# Sources.


async def test_a_config_map_is_read_with_its_version(store: DocumentStore) -> None:
    """The version changes if and only if the content does."""
    sources = LocalSources(store)
    stored = await store.create("ConfigMap", config_map())
    first = await sources.read_files(NAMESPACE, "code")
    assert (first.version, first.files) == (stored["metadata"]["resourceVersion"], {"flow.py": "x = 1\n"})
    await store.apply("ConfigMap", config_map(data={"flow.py": "x = 2\n"}))
    assert await sources.find_version(NAMESPACE, "code") != first.version
    assert (await sources.read_files(NAMESPACE, "code")).digest != first.digest
    for read in (sources.find_version, sources.read_files):
        with pytest.raises(Missing):
            await read(NAMESPACE, "none")


#: Entrypoint and other fields of a template, and the reason why its code cannot be read ("": it can). `{folder}` has flow.py and a folder.
SOURCES: list[tuple[str, str, dict[str, Any], str]] = [
    ("a file", "{folder}/flow.py:main", {}, ""),
    ("no such file", "{folder}/other.py:main", {}, "EntrypointNotFound"),
    ("a folder", "{folder}/folder.py:main", {}, "EntrypointNotReadable"),
    ("a module", "etl.flows:main", {}, ""),
    ("a path without a base: only the process can check it", "other.py:main", {}, ""),
    ("inline code", "other.py:main", {"source": {"inline": "x = 1"}}, ""),
    ("a ConfigMap", "other.py:main", {"source": {"configMap": {"name": "code"}}}, ""),
    ("no such ConfigMap", "other.py:main", {"source": {"configMap": {"name": "none"}}}, "ConfigMapNotFound"),
]


@pytest.mark.parametrize(("entrypoint", "fields", "reason"), [case[1:] for case in SOURCES], ids=[case[0] for case in SOURCES])
async def test_code_is_there_or_not(store: DocumentStore, tmp_path: Path, entrypoint: str, fields: dict[str, Any], reason: str) -> None:
    """The message says which file or ConfigMap, and what to do."""
    (tmp_path / "flow.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "folder.py").mkdir()
    await store.create("ConfigMap", config_map())
    template = FlowTemplate.model_validate({"entrypoint": entrypoint.format(folder=tmp_path), **fields})
    problem = await LocalSources(store).find_problem(NAMESPACE, template)
    assert (problem.reason if problem else "") == reason
    if problem and reason.startswith("Entrypoint"):
        assert str(tmp_path) in problem.message


# Events.


async def test_a_warning_is_logged_once_and_becomes_an_event_of_its_run(store: DocumentStore, caplog: pytest.LogCaptureFixture) -> None:
    """This holds after a restart too; a deployment has no history for events, so its warning is only in the log."""
    run = FlowRun.model_validate(await store.create("FlowRun", flow_run()))
    owner = FlowDeployment.model_validate(await store.create("FlowDeployment", deployment()))
    with caplog.at_level(logging.WARNING, "mintaka.server"):
        for recorder in (LocalEventRecorder(store), LocalEventRecorder(store)):
            for resource in (run, owner, run):
                await recorder.record_warning(resource, "NoRevision", "it cannot be stored")
    assert (
        caplog.messages
        == [
            "FlowRun local/run: NoRevision: it cannot be stored",
            "FlowDeployment local/etl: NoRevision: it cannot be stored",
        ]
        * 2
    )
    (event,) = await store.database.read(lambda connection: connection.execute(select(events)).all())
    assert (event.name, event.resource, event.payload) == (
        "NoRevision",
        "FlowRun local/run",
        '{"type":"Warning","message":"it cannot be stored"}',
    )


async def test_a_database_that_is_away_costs_an_event_and_nothing_else(store: DocumentStore, caplog: pytest.LogCaptureFixture) -> None:
    """A lost event must not stop the controller."""
    run = FlowRun.model_validate(await store.create("FlowRun", flow_run()))
    store.database.migrated = False
    await LocalEventRecorder(store).record_warning(run, "NoRevision", "x")
    store.database.migrated = True
    assert "this warning is only in the log" in caplog.text
