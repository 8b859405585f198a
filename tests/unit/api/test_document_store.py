"""The document store treats documents as an API server does: names, versions, generation, owners, finalizers, conflicts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from local_documents import NAMESPACE, config_map, deployment, deployments_in_history, flow_run, history_of, owner_reference
from mintaka_api.local.document_writer import DocumentWriter
from mintaka_api.stored_parameters import StoredParameters
from mintaka_controller.ports import Conflict, Exists, Missing, Rejected, Unavailable
from mintaka_core.limits import KUBECTL_COPY
from mintaka_core.names import MIRROR_FINALIZER
from mintaka_history.database import DatabaseAway, DatabaseRefusal
from mintaka_history.queries.names import Names
from mintaka_validation import InvalidDocument, MalformedDocument

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from mintaka_api.local.document_store import DocumentStore

pytestmark = pytest.mark.anyio

DEPLOYMENT, RUN, CONFIG_MAP = "FlowDeployment", "FlowRun", "ConfigMap"


def version_of(document: dict[str, Any]) -> int:
    return int(document["metadata"]["resourceVersion"])


def key_of(document: dict[str, Any]) -> tuple[str, str]:
    return document["metadata"]["namespace"], document["metadata"]["name"]


async def uid_names(store: DocumentStore, kind: str) -> set[str]:
    return {document["metadata"]["name"] for document in await store.list(kind)}


# Creating.


async def test_a_new_document_has_what_the_server_adds(store: DocumentStore) -> None:
    """It gets the namespace of scripts, a uid, a time, the first generation, a version, and the defaults of the schema."""
    created = await store.create(DEPLOYMENT, deployment())
    metadata = created["metadata"]
    assert (metadata["namespace"], metadata["generation"], version_of(created)) == (NAMESPACE, 1, 1)
    assert metadata["creationTimestamp"].endswith("Z")
    assert created["spec"]["history"] == {"limit": 100, "ttlSecondsAfterFinished": 604800}
    assert await store.read(DEPLOYMENT, (NAMESPACE, "etl")) == created


async def test_what_is_the_servers_cannot_be_brought_along(store: DocumentStore) -> None:
    """As with `kubectl get -o yaml | kubectl create -f -`: times, version, generation and status of the manifest are ignored."""
    manifest = deployment()
    manifest["metadata"] |= {
        "generation": 7,
        "creationTimestamp": "2020-01-01T00:00:00Z",
        "deletionTimestamp": "2020-01-01T00:00:00Z",
        "managedFields": [],
    }
    created = await store.create(DEPLOYMENT, manifest | {"status": {"activeRuns": 7}})
    assert created["metadata"]["generation"] == 1
    assert not created["metadata"]["creationTimestamp"].startswith("2020")
    assert not {"deletionTimestamp", "managedFields"} & set(created["metadata"])
    assert "status" not in created


async def test_a_name_is_generated(store: DocumentStore) -> None:
    """It consists of the prefix and five characters; a long prefix is cut, as in Kubernetes."""
    manifest = flow_run()
    manifest["metadata"] = {"generateName": "etl-"}
    names = {(await store.create(RUN, manifest))["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert {name[:4] for name in names} == {"etl-"}
    assert {len(name) for name in names} == {9}
    manifest["metadata"] = {"generateName": "a" * 100}
    assert len((await store.create(RUN, manifest))["metadata"]["name"]) == 63


async def test_a_run_is_held_until_its_end_is_recorded(store: DocumentStore) -> None:
    """The finalizer is there once, even if the manifest has it too."""
    manifest = flow_run()
    manifest["metadata"]["finalizers"] = ["example.com/mine", MIRROR_FINALIZER]
    assert (await store.create(RUN, flow_run("other")))["metadata"]["finalizers"] == [MIRROR_FINALIZER]
    assert (await store.create(RUN, manifest))["metadata"]["finalizers"] == ["example.com/mine", MIRROR_FINALIZER]


async def test_a_name_is_taken_once_per_kind_and_namespace(store: DocumentStore) -> None:
    """The message names the document; no part of the second one is stored."""
    first = await store.create(DEPLOYMENT, deployment())
    with pytest.raises(Exists, match=r'flowdeployments.mintaka.dev "local/etl" already exists'):
        await store.create(DEPLOYMENT, deployment(image="other"))
    other = deployment()
    other["metadata"]["namespace"] = "elsewhere"
    await store.create(DEPLOYMENT, other)
    await store.create(RUN, flow_run("etl"))
    assert await store.read(DEPLOYMENT, (NAMESPACE, "etl")) == first
    assert [found[0] for found in await deployments_in_history(store.database, "etl")].count(first["metadata"]["uid"]) == 1


REVISION = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "r"}, "data": {"spec": {"x": 1}}, "revision": 1}
#: The mistake, kind, manifest, and the beginning of the message.
DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]
REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    (
        "a field of a wrong value",
        DEPLOYMENT,
        deployment(pendingTimeoutSeconds=-1),
        "FlowDeployment.mintaka.dev .etl. is invalid: spec.pend",
    ),
    ("an unknown field", DEPLOYMENT, deployment(imagee="x"), "FlowDeployment in version .v1alpha1. cannot be handled"),
    ("a rule", RUN, flow_run(deployment="etl"), "FlowRun.mintaka.dev .run. is invalid: spec: .*exactly one of deployment"),
    ("no name", RUN, flow_run() | {"metadata": {}}, "FlowRun.mintaka.dev .. is invalid: .metadata.name: Required value"),
    ("metadata of a wrong type", RUN, flow_run() | {"metadata": ["x"]}, "FlowRun in version .v1alpha1. cannot be handled"),
    ("a name of a wrong type", RUN, flow_run() | {"metadata": {"name": 7}}, "FlowRun in version .v1alpha1. cannot be handled"),
    ("another kind", RUN, flow_run() | {"kind": "FlowDeployment"}, "is invalid: kind: Invalid value: .FlowDeployment.: must be FlowRun"),
    ("another version", CONFIG_MAP, config_map() | {"apiVersion": "v2"}, "ConfigMap .code. is invalid: apiVersion"),
    ("numbers that no JSON has", RUN, flow_run(parameters={"x": float("nan")}), "spec.parameters.x"),
    ("a key of a ConfigMap", CONFIG_MAP, config_map(data={"a/b": ""}), "ConfigMap .code. is invalid: data.a/b."),
    ("a ConfigMap with a number", CONFIG_MAP, config_map(data={"a": 1}), "ConfigMap .code. is invalid: data.a."),
    ("a ConfigMap with broken Base64", CONFIG_MAP, config_map(binaryData={"a": "?"}), "ConfigMap .code. is invalid: binaryData.a."),
    ("a ConfigMap with an unknown field", CONFIG_MAP, config_map(dataa={}), "ConfigMap in version .* unknown field .dataa."),
    ("a deep spec", DEPLOYMENT, deployment(podTemplate={"x": DEEP}), "spec.* 100 levels"),
    ("a deep ConfigMap", CONFIG_MAP, config_map(data={"a": DEEP}), "data.* 100 levels"),
    ("a deep revision", "ControllerRevision", {**REVISION, "data": {"spec": {"podTemplate": {"x": DEEP}}}}, "data.spec.pod.* 100 levels"),
    ("a revision without a number", "ControllerRevision", {**REVISION, "revision": None}, "ControllerRevision .r. is invalid: revision"),
    ("a large ConfigMap", CONFIG_MAP, config_map(data={"a": "x" * (1 << 20 | 1)}), "ConfigMap .code. is invalid: .*1048576"),
]


@pytest.mark.parametrize(("kind", "manifest", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
async def test_what_is_not_valid_is_refused(store: DocumentStore, kind: str, manifest: dict[str, Any], message: str) -> None:
    """Both create and apply refuse it and store nothing."""
    for write in (store.create, store.apply):
        with pytest.raises(InvalidDocument, match=message):
            await write(kind, manifest)
    assert await store.list(kind) == []


async def test_other_kinds_are_not_stored(store: DocumentStore) -> None:
    """The message names the kinds that are."""
    with pytest.raises(Rejected, match=r"stores documents of the kinds FlowDeployment, FlowRun.*not 'Pod'"):
        await store.create("Pod", {})


# Applying and patching.


async def test_apply_creates_configures_or_changes_nothing(store: DocumentStore) -> None:
    """The version of an unchanged document does not change; a field that the manifest no longer has is removed, and gets its default."""
    first, created = await store.apply(DEPLOYMENT, deployment(tags=["a"], pendingTimeoutSeconds=5))
    same, unchanged = await store.apply(DEPLOYMENT, deployment(tags=["a"], pendingTimeoutSeconds=5))
    third, configured = await store.apply(DEPLOYMENT, deployment(tags=["a"]))
    assert (created, unchanged, configured) == ("created", "unchanged", "configured")
    assert same == first
    assert third["spec"]["pendingTimeoutSeconds"] == 600
    assert third["metadata"]["generation"] == 2
    assert version_of(third) == version_of(first) + 1
    assert KUBECTL_COPY in third["metadata"]["annotations"]


async def test_apply_leaves_alone_what_others_set(store: DocumentStore) -> None:
    """A label and a field that no manifest had stay; only changes of the spec increase the generation."""
    await store.apply(DEPLOYMENT, deployment())
    labelled = await store.patch(DEPLOYMENT, (NAMESPACE, "etl"), {"metadata": {"labels": {"team": "a"}}})
    assert labelled["metadata"]["generation"] == 1
    await store.patch(DEPLOYMENT, (NAMESPACE, "etl"), {"spec": {"suspend": True}})
    applied, _ = await store.apply(DEPLOYMENT, deployment(image="new"))
    assert applied["metadata"]["labels"] == {"team": "a"}
    assert applied["spec"]["suspend"] is True
    assert applied["metadata"]["generation"] == 3


async def test_apply_to_a_version_or_object_that_is_not_the_present_one_is_a_conflict(store: DocumentStore) -> None:
    """The manifest was exported before another user changed the document."""
    exported = await store.create(DEPLOYMENT, deployment())
    await store.patch(DEPLOYMENT, (NAMESPACE, "etl"), {"spec": {"suspend": True}})
    with pytest.raises(Conflict, match="the object has been modified"):
        await store.apply(DEPLOYMENT, exported)
    of_another = deployment()
    of_another["metadata"]["uid"] = "6b82ec1f-a64c-407a-a68b-3258eaea246b"
    with pytest.raises(Conflict, match="UID in precondition"):
        await store.apply(DEPLOYMENT, of_another)


async def test_several_manifests_are_applied_all_or_not_at_all(store: DocumentStore) -> None:
    """The same holds for a dry run, which stores and announces nothing."""
    seen: list[str] = []
    store.subscribe(lambda kind, *_: seen.append(kind))
    good, bad = (DEPLOYMENT, deployment()), (RUN, flow_run(reruns=-1))
    with pytest.raises(InvalidDocument, match=r"spec.reruns"):
        await store.apply_all([good, bad])
    results = await store.apply_all([good, (CONFIG_MAP, config_map())], dry_run=True)
    assert [result for _, result in results] == ["created", "created"]
    assert (await store.list(DEPLOYMENT), seen) == ([], [])
    assert await deployments_in_history(store.database, "etl") == []
    results = await store.apply_all([good, (CONFIG_MAP, config_map()), good])
    assert [result for _, result in results] == ["created", "created", "unchanged"]
    assert seen == [DEPLOYMENT, CONFIG_MAP]


async def test_a_patch_of_an_old_version_is_a_conflict(store: DocumentStore) -> None:
    """A patch without a version applies to any version."""
    old = await store.create(RUN, flow_run())
    await store.patch(RUN, key_of(old), {"spec": {"suspend": True}}, version=old["metadata"]["resourceVersion"])
    with pytest.raises(Conflict, match="the object has been modified"):
        await store.patch(RUN, key_of(old), {"spec": {"suspend": False}}, version=old["metadata"]["resourceVersion"])
    assert (await store.patch(RUN, key_of(old), {"spec": {"suspend": False}}))["spec"]["suspend"] is False
    with pytest.raises(Missing, match=r'flowruns.mintaka.dev "local/none" not found'):
        await store.patch(RUN, (NAMESPACE, "none"), {})


async def test_a_patch_changes_neither_status_nor_identity(store: DocumentStore) -> None:
    """The status has its own method; name, namespace and uid are immutable."""
    old = await store.create(RUN, flow_run())
    assert await store.patch(RUN, key_of(old), {"status": {"attempt": 7}, "metadata": {"generation": 9}}) == old
    for field in ("name", "namespace", "uid"):
        with pytest.raises(InvalidDocument, match=f"metadata.{field}: Invalid value"):
            await store.patch(RUN, key_of(old), {"metadata": {field: "other"}})
    with pytest.raises(InvalidDocument, match="parameters cannot be changed"):
        await store.patch(RUN, key_of(old), {"spec": {"parameters": {"x": 1}}})


async def test_a_revision_never_changes(store: DocumentStore) -> None:
    """Only its metadata can change, as with an immutable ConfigMap."""
    stored = await store.create("ControllerRevision", REVISION)
    with pytest.raises(InvalidDocument, match=r"data: .*field is immutable"):
        await store.patch("ControllerRevision", key_of(stored), {"data": {"spec": {"x": 2}}})
    frozen = await store.create(CONFIG_MAP, config_map(immutable=True))
    with pytest.raises(InvalidDocument, match="data: Forbidden: field is immutable when `immutable` is set"):
        await store.patch(CONFIG_MAP, key_of(frozen), {"data": {"more": "x"}})


# Statuses.


async def test_a_status_belongs_to_one_version(store: DocumentStore) -> None:
    """Writing it does not change spec or generation; its rows are written in the same transaction."""
    run = await store.create(RUN, flow_run())
    written = await store.write_status(RUN, key_of(run), run["metadata"]["resourceVersion"], {"attempt": 1})
    assert (written["status"], written["spec"], written["metadata"]["generation"]) == ({"attempt": 1}, run["spec"], 1)
    with pytest.raises(Conflict):
        await store.write_status(RUN, key_of(run), run["metadata"]["resourceVersion"], {"attempt": 2})

    def fails(_connection: Any) -> None:
        message = "rows that cannot be written"
        raise Rejected(message)

    with pytest.raises(Rejected, match="rows that cannot be written"):
        await store.write_status(RUN, key_of(run), written["metadata"]["resourceVersion"], {"attempt": 2}, fails)
    assert await store.read(RUN, key_of(run)) == written
    assert (await history_of(store.database, run["metadata"]["uid"]))["attempt"] == 1


# Deleting.


async def test_what_finalizers_hold_is_only_marked(store: DocumentStore) -> None:
    """It is marked once, is removed with its last finalizer, and gets no new finalizers until then."""
    run = await store.create(RUN, flow_run())
    marked = await store.delete(RUN, key_of(run))
    assert marked is not None
    assert marked["metadata"]["deletionTimestamp"]
    assert marked["metadata"]["generation"] == 2
    assert await store.delete(RUN, key_of(run)) == marked
    with pytest.raises(InvalidDocument, match="no new finalizers can be added"):
        await store.patch(RUN, key_of(run), {"metadata": {"finalizers": [MIRROR_FINALIZER, "example.com/more"]}})
    assert await store.write_finalizers(RUN, key_of(run), marked["metadata"]["resourceVersion"], ()) is None
    with pytest.raises(Missing):
        await store.read(RUN, key_of(run))


async def test_a_patch_can_remove_the_last_finalizer(store: DocumentStore) -> None:
    """This is how `kubectl patch` releases a stuck object: a run that had not ended is recorded as cancelled."""
    run = await store.create(RUN, flow_run())
    await store.delete(RUN, key_of(run))
    await store.patch(RUN, key_of(run), {"metadata": {"finalizers": None}})
    assert await store.list(RUN) == []
    history = await history_of(store.database, run["metadata"]["uid"])
    assert (history["state"], history["reason"]) == ("CANCELLED", "Deleted")
    assert history["deleted"] is not None


async def test_a_deletion_can_be_meant_for_one_object_or_version(store: DocumentStore) -> None:
    """Another object with that name, or a newer version, is not deleted."""
    old = await store.create(DEPLOYMENT, deployment())
    new = await store.patch(DEPLOYMENT, key_of(old), {"spec": {"suspend": True}})
    for precondition in ({"version": old["metadata"]["resourceVersion"]}, {"uid": "6b82ec1f-a64c-407a-a68b-3258eaea246b"}):
        with pytest.raises(Conflict):
            await store.delete(DEPLOYMENT, key_of(old), **precondition)
    assert await store.delete(DEPLOYMENT, key_of(old), uid=old["metadata"]["uid"], version=new["metadata"]["resourceVersion"]) is None
    with pytest.raises(Missing):
        await store.delete(DEPLOYMENT, key_of(old))


async def test_what_an_owner_owned_goes_with_it(store: DocumentStore) -> None:
    """Everything is deleted, except documents with finalizers, which are marked, and those with another owner, which lose a reference."""
    owner, other = await store.create(DEPLOYMENT, deployment()), await store.create(DEPLOYMENT, deployment("other"))
    run = await store.create(RUN, flow_run(owner=owner))
    revision = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 1}
    owners = {"both": [owner, other], "one": [owner], "below": []}
    stored = {
        name: await store.create(
            "ControllerRevision", revision | {"metadata": {"name": name, "ownerReferences": [owner_reference(each) for each in owned_by]}}
        )
        for name, owned_by in owners.items()
    }
    below = {"metadata": {"ownerReferences": [owner_reference(stored["one"])]}}
    await store.patch("ControllerRevision", (NAMESPACE, "below"), below)
    await store.delete(DEPLOYMENT, key_of(owner))
    assert (await store.read(RUN, key_of(run)))["metadata"]["deletionTimestamp"]
    (left,) = await store.list("ControllerRevision")
    assert left["metadata"]["name"] == "both"
    assert left["metadata"]["ownerReferences"] == [owner_reference(other)]


async def test_what_is_created_for_an_owner_that_is_gone_goes_at_once(store: DocumentStore) -> None:
    """A schedule may create a run while its deployment is deleted: the run is marked, and ends without a process."""
    owner = await store.create(DEPLOYMENT, deployment())
    await store.delete(DEPLOYMENT, key_of(owner))
    await store.create(RUN, flow_run(owner=owner))
    assert (await store.read(RUN, (NAMESPACE, "run")))["metadata"]["deletionTimestamp"]
    await store.create(CONFIG_MAP, config_map() | {"metadata": {"name": "c", "ownerReferences": [owner_reference(owner)]}})
    assert await store.list(CONFIG_MAP) == []


# Listing and announcing.


async def test_lists_are_ordered_and_come_in_pages(store: DocumentStore) -> None:
    """The order is by namespace and name, regardless of the creation time."""
    keys = [("b", "x"), ("a", "z"), ("a", "y"), ("b", "w")]
    for namespace, name in keys:
        manifest = config_map(name)
        manifest["metadata"]["namespace"] = namespace
        await store.create(CONFIG_MAP, manifest)
    first = await store.list(CONFIG_MAP, limit=3)
    rest = await store.list(CONFIG_MAP, after=key_of(first[-1]), limit=3)
    assert [key_of(document) for document in (*first, *rest)] == sorted(keys)
    assert [key_of(document) for document in await store.list(CONFIG_MAP, "a")] == [("a", "y"), ("a", "z")]
    versions = await store.list_versions(CONFIG_MAP)
    assert [(namespace, name) for namespace, name, _ in versions] == sorted(keys)
    assert sorted(version for *_, version in versions) == [1, 2, 3, 4]


async def test_subscribers_see_every_change_in_order_before_the_writer_does(store: DocumentStore) -> None:
    """A failing subscriber does not affect the others; versions only increase."""
    seen: list[tuple[str, int, bool]] = []

    def fail(*_: Any) -> None:
        message = "a subscriber's fault"
        raise RuntimeError(message)

    store.subscribe(fail)
    store.subscribe(lambda _kind, document, deleted: seen.append((document["metadata"]["name"], version_of(document), deleted)))
    owner = await store.create(DEPLOYMENT, deployment())
    assert seen == [("etl", 1, False)]
    await asyncio.gather(*(store.create(RUN, flow_run(f"run-{number}", owner=owner)) for number in range(20)))
    await store.delete(DEPLOYMENT, key_of(owner))
    assert len(seen) == 1 + 20 + 1 + 20
    assert [version for _, version, _ in seen] == list(range(1, 43))
    assert [name for name, _, deleted in seen if deleted] == ["etl"]


async def test_a_refused_write_does_not_touch_those_that_share_its_transaction(store: DocumentStore) -> None:
    """Many waiting writes share a transaction; each succeeds or fails on its own."""
    writes = [store.create(RUN, flow_run(f"run-{number % 15}")) for number in range(30)]
    results = await asyncio.gather(*writes, store.create(RUN, flow_run(reruns=-1)), return_exceptions=True)
    assert [type(result) for result in results] == [dict] * 15 + [Exists] * 15 + [InvalidDocument]
    assert len(await store.list(RUN)) == 15


async def test_a_cancelled_writer_loses_its_answer_and_nothing_else(store: DocumentStore) -> None:
    """A write that has not started is dropped; one that has started is completed and announced."""
    seen: list[str] = []
    store.subscribe(lambda _kind, document, _deleted: seen.append(document["metadata"]["name"]))
    begun = asyncio.create_task(store.create(RUN, flow_run("begun")))
    for _ in range(3):  # it waits in the queue, then the writer has taken it
        await asyncio.sleep(0)
    waiting = asyncio.create_task(store.create(RUN, flow_run("waiting")))
    await asyncio.sleep(0)
    begun.cancel()
    waiting.cancel()
    await store.create(RUN, flow_run("last"))
    assert seen == ["begun", "last"]
    assert await uid_names(store, RUN) == {"begun", "last"}


class FailingMasking:
    """A masking that ends the writer's task as `fail` does."""

    def __init__(self, fail: Callable[[], None]) -> None:
        self._fail = fail

    async def mask(self, deployments: Iterable[Any]) -> None:
        """Fail for each call with a deployment."""
        if list(deployments):
            self._fail()
            await asyncio.sleep(0)

    def forget(self, deployments: Iterable[Any]) -> None:
        """Nothing was stored."""


def make_a_mistake() -> None:
    message = "a mistake"
    raise KeyError(message)


def cancel_the_writer() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


@pytest.mark.parametrize("fail", [make_a_mistake, cancel_the_writer], ids=["an unexpected error", "the writer is cancelled"])
async def test_what_fails_after_the_commit_leaves_no_caller_without_an_answer(store: DocumentStore, fail: Callable[[], None]) -> None:
    """The write is committed, so its result is returned. The writer continues; if it was cancelled, pending writes fail and it starts again."""
    writer = DocumentWriter(store.database, Names())
    writer.masking = cast("Any", FailingMasking(fail))

    def created(kind: str, document: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        return writer.write(lambda transaction: transaction.create(kind, document))

    async with asyncio.timeout(20):
        writes = [created(DEPLOYMENT, deployment()), *(created(CONFIG_MAP, config_map(f"c-{number}")) for number in range(60))]
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(result) for result in results[:50]] == [dict] * 50
        expected = dict if fail is make_a_mistake else Unavailable
        assert [type(result) for result in results[50:]] == [expected] * 11
        assert (await created(CONFIG_MAP, config_map("later")))["metadata"]["name"] == "later"
        await writer.close()


# History.


async def test_the_history_follows_deployments(store: DocumentStore) -> None:
    """There is a row for each uid, with its generation; it remains after a deletion, and another deployment with the name gets its own."""
    first = await store.create(DEPLOYMENT, deployment())
    await store.patch(DEPLOYMENT, key_of(first), {"spec": {"image": "new"}})
    await store.delete(DEPLOYMENT, key_of(first))
    second = await store.create(DEPLOYMENT, deployment())
    uids = [document["metadata"]["uid"] for document in (first, second)]
    assert await deployments_in_history(store.database, "etl") == [(uids[0], 2, True, 0), (uids[1], 1, False, 0)]


SECRET = {"type": "object", "properties": {"password": {"type": "string", "writeOnly": True}, "table": {"type": "string"}}}


async def test_secret_parameters_are_not_in_the_history(store: DocumentStore) -> None:
    """This holds for those that were secret when the run was created and for those that a later schema makes secret."""
    owner = await store.create(DEPLOYMENT, deployment())
    parameters = {"password": "hunter2", "table": "t"}
    early = await store.create(RUN, flow_run("early", owner=owner, parameters=parameters))
    assert "hunter2" in (await history_of(store.database, early["metadata"]["uid"]))["parameters"]
    await store.patch(DEPLOYMENT, key_of(owner), {"spec": {"parameterSchema": SECRET}})
    late = await store.create(RUN, flow_run("late", owner=owner, parameters=parameters))
    for run in (early, late):
        shown = (await history_of(store.database, run["metadata"]["uid"]))["parameters"]
        assert "hunter2" not in shown
        assert '"table":"t"' in shown


@pytest.mark.parametrize(
    "error", [DatabaseAway("away"), DatabaseRefusal("refused"), KeyError("a mistake")], ids=lambda error: type(error).__name__
)
async def test_a_deployment_whose_runs_cannot_be_masked_is_stored(
    store: DocumentStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Other deployments of the same transaction are masked; the failed one is masked with its next version, or after the next start."""
    owners = [await store.create(DEPLOYMENT, deployment(name)) for name in ("a", "b")]
    runs = [
        (await store.create(RUN, flow_run(f"run-{number}", owner=owner, parameters={"password": "hunter2"})))["metadata"]["uid"]
        for number, owner in enumerate(owners)
    ]

    async def shown() -> list[bool]:
        return ["hunter2" in (await history_of(store.database, uid))["parameters"] for uid in runs]

    mask = StoredParameters.mask

    async def fail_for_a(self: StoredParameters, deployments: list[Any]) -> None:
        if deployments[0].metadata.name == "a":
            raise error
        await mask(self, deployments)

    with monkeypatch.context() as patched:
        patched.setattr(StoredParameters, "mask", fail_for_a)
        async with asyncio.timeout(20):
            patches = [store.patch(DEPLOYMENT, key_of(owner), {"spec": {"parameterSchema": SECRET}}) for owner in owners]
            stored = await asyncio.gather(*patches)
            assert [document["spec"]["parameterSchema"] for document in stored] == [SECRET] * 2
            assert await shown() == [True, False]
            await store.recover()
    await store.recover()
    assert await shown() == [False, False]


async def test_malformed_metadata_is_a_malformed_document(store: DocumentStore) -> None:
    """A client gets 400 for it, not 422."""
    with pytest.raises(MalformedDocument):
        await store.apply(RUN, flow_run() | {"metadata": {"name": "x", "annotations": ["y"]}})
