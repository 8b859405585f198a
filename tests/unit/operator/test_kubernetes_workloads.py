"""Pods as the controller's workloads: each request, and what the API server may answer to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from mintaka_controller.ports import CreateRefused, Exists, Missing, Rejected, Unavailable
from mintaka_core.names import POD_FINALIZER
from mintaka_core.resources import FlowRun, FlowTemplate
from mintaka_core.workloads import CreateErrorKind, Phase
from mintaka_kubernetes.resources import PODS
from mintaka_operator.cluster import ApiError, Cluster
from mintaka_operator.container_logs import ContainerLogs
from mintaka_operator.kubernetes_workloads import KubernetesWorkloads, owned_workload
from mintaka_operator.pods import PodDefaults

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from memory_cluster import MemoryCluster

CREATED = "2026-03-04T05:00:00Z"
PATH = PODS.path("sales", "nightly-1")
RUN = FlowRun.model_validate(
    {"metadata": {"name": "nightly", "namespace": "sales", "uid": "9f1c"}, "spec": {"template": {"entrypoint": "a:b"}}}
)
TEMPLATE = FlowTemplate.model_validate({"entrypoint": "a:b"})


def pod(*, finalizers: tuple[str, ...] = (POD_FINALIZER,), owner: str = "9f1c", **metadata: Any) -> dict[str, Any]:
    """The pod of the first attempt, which completed."""
    terminated = {"exitCode": 0, "startedAt": CREATED, "finishedAt": CREATED}
    return {
        "kind": "Pod",
        "metadata": {
            "uid": "p1",
            "name": "nightly-1",
            "namespace": "sales",
            "resourceVersion": "7",
            "creationTimestamp": CREATED,
            "labels": {"mintaka.dev/attempt": "1", "mintaka.dev/flow-run": "nightly"},
            "finalizers": list(finalizers),
            "ownerReferences": [{"kind": "FlowRun", "name": "nightly", "uid": owner}] if owner else [],
            **metadata,
        },
        "spec": {"nodeName": "a", "containers": [{"name": "flow"}]},
        "status": {"phase": "Succeeded", "containerStatuses": [{"name": "flow", "state": {"terminated": terminated}}]},
    }


@pytest.fixture
def workloads(cluster: MemoryCluster) -> KubernetesWorkloads:
    """The port over an API server in memory."""
    known = cast("Cluster", cluster)
    return KubernetesWorkloads(known, PodDefaults("image"), ContainerLogs(known, ""))


class TestOwnership:
    def test_a_pod_belongs_to_the_run_that_owns_it(self) -> None:
        """Also its version and what it amounts to."""
        owned = owned_workload(pod())
        assert owned
        assert (owned.run, owned.owner_uid, owned.version) == (("sales", "nightly"), "9f1c", 7)
        assert owned.workload.phase == Phase.ENDED

    def test_an_orphaned_pod_belongs_to_no_run(self) -> None:
        """`kubectl delete --cascade=orphan` takes the reference away; the hold stays, and must be found to be taken off."""
        owned = owned_workload(pod(owner=""))
        assert owned
        assert (owned.run, owned.owner_uid) == (("sales", "nightly"), "")

    def test_a_foreign_pod_is_not_ours(self) -> None:
        """A StatefulSet's pods have such names too."""
        assert owned_workload(pod(owner="", finalizers=())) is None

    @pytest.mark.parametrize(
        ("labels", "watched"),
        [
            # Of release 8b744f4, which this one may find running.
            ({"app.kubernetes.io/managed-by": "mintaka", "mintaka.dev/flow-run": "nightly", "mintaka.dev/attempt": "1"}, True),
            ({"app.kubernetes.io/managed-by": "argocd", "mintaka.dev/flow-run": "x"}, True),
            ({"app.kubernetes.io/managed-by": "mintaka"}, False),
            (None, False),
        ],
        ids=["of the previous release", "relabelled", "only the common label", "none"],
    )
    def test_a_watch_shows_it_by_a_label_of_our_own(self, labels: dict[str, str] | None, watched: bool) -> None:
        """Other tools write the common ones."""
        owned = owned_workload(pod(labels=labels))
        assert owned
        assert (owned.watched, owned.workload.attempt) == (watched, 1)


class TestCreation:
    def test_a_pod_that_a_webhook_took_the_labels_of_runs_all_the_same(
        self, cluster: MemoryCluster, workloads: KubernetesWorkloads, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The log says why its end will be noticed late."""
        put = cluster.put
        cluster.put = lambda path, body: put(path, {**body, "metadata": {**body["metadata"], "labels": {}}})  # type: ignore[method-assign]
        owned = asyncio.run(workloads.create(RUN, TEMPLATE, 1, ""))
        assert (owned.watched, owned.workload.attempt) == (False, 1)
        assert "sales/nightly-1 was created without its label mintaka.dev/flow-run" in caplog.text

    def test_a_created_pod_is_held(self, cluster: MemoryCluster, workloads: KubernetesWorkloads) -> None:
        """From its first moment: whatever deletes it, its end is seen."""
        owned = asyncio.run(workloads.create(RUN, TEMPLATE, 1, ""))
        assert owned.workload.held
        assert cluster.objects[PATH]["metadata"]["finalizers"] == [POD_FINALIZER]

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (ApiError(403, "Forbidden", 'pods "nightly-1" is forbidden: exceeded quota: q, requested: pods=1'), CreateErrorKind.CAPACITY),
            (ApiError(429, "TooManyRequests", "too many requests", 7.0), CreateErrorKind.TRANSIENT),
            (ApiError(500, "InternalError", "failed calling webhook"), CreateErrorKind.TRANSIENT),
            (ApiError(422, "Invalid", "spec.containers[0].image: Required value"), CreateErrorKind.LASTING),
        ],
        ids=["quota", "throttled", "webhook down", "invalid"],
    )
    def test_a_refusal_says_how_it_may_pass(
        self, cluster: MemoryCluster, workloads: KubernetesWorkloads, answer: ApiError, kind: CreateErrorKind
    ) -> None:
        """And what the server asks to wait."""
        cluster.fault = lambda _method, _path: answer
        with pytest.raises(CreateRefused) as refused:
            asyncio.run(workloads.create(RUN, TEMPLATE, 1, ""))
        assert refused.value.error.kind == kind
        assert refused.value.error.retry_after == answer.retry_after

    def test_an_unreachable_server_is_no_refusal(self, cluster: MemoryCluster, workloads: KubernetesWorkloads) -> None:
        """Nothing can be written then either: the whole pass is repeated."""
        cluster.fault = lambda _method, _path: ApiError(0, "Unreachable", "connection reset")
        with pytest.raises(Unavailable):
            asyncio.run(workloads.create(RUN, TEMPLATE, 1, ""))

    def test_a_name_that_is_taken_is_told_apart(self, cluster: MemoryCluster, workloads: KubernetesWorkloads) -> None:
        """It may be our own pod, whose creation was never answered."""
        cluster.put(PATH, pod())
        with pytest.raises(Exists):
            asyncio.run(workloads.create(RUN, TEMPLATE, 1, ""))


class TestRelease:
    @pytest.mark.parametrize("finalizers", [(POD_FINALIZER,), ("foregroundDeletion", POD_FINALIZER)], ids=["alone", "behind another"])
    def test_only_our_finalizer_goes(self, cluster: MemoryCluster, workloads: KubernetesWorkloads, finalizers: tuple[str, ...]) -> None:
        """Whatever its place."""
        cluster.put(PATH, pod(finalizers=finalizers))
        asyncio.run(workloads.release("sales", "nightly-1", "p1"))
        assert cluster.objects[PATH]["metadata"]["finalizers"] == [name for name in finalizers if name != POD_FINALIZER]

    @pytest.mark.parametrize("uid", ["another", "p1"], ids=["another pod of the name", "already released"])
    def test_what_is_not_held_by_us_is_left_alone(self, cluster: MemoryCluster, workloads: KubernetesWorkloads, uid: str) -> None:
        """Doing it twice, or too late, changes nothing."""
        cluster.put(PATH, pod(finalizers=() if uid == "p1" else (POD_FINALIZER,)))
        before = cluster.objects[PATH]["metadata"]["finalizers"]
        asyncio.run(workloads.release("sales", "nightly-1", uid))
        assert cluster.objects[PATH]["metadata"]["finalizers"] == before

    def test_a_pod_that_is_gone_is_released(self, workloads: KubernetesWorkloads) -> None:
        """Nothing is left to do."""
        asyncio.run(workloads.release("sales", "nightly-1", "p1"))

    def test_removal_is_two_writes(self, cluster: MemoryCluster, workloads: KubernetesWorkloads) -> None:
        """First the deletion: cut off in between, it is a deleted pod that waits for its release."""
        cluster.put(PATH, pod())
        asyncio.run(workloads.remove("sales", "nightly-1", "p1"))
        assert PATH not in cluster.objects
        assert cluster.requests == [("DELETE", PATH), ("PATCH", PATH)]


class TestStop:
    def test_what_is_left_of_a_stopped_pod_is_known_at_once(self, cluster: MemoryCluster, workloads: KubernetesWorkloads) -> None:
        """It is deleted, and held until its end is recorded."""
        cluster.put(PATH, pod())
        left = asyncio.run(workloads.stop("sales", "nightly-1", "p1", force=False))
        assert left
        assert (left.workload.deleted, left.workload.held) == (True, True)

    @pytest.mark.parametrize("uid", ["p1", "another"], ids=["gone", "replaced by another"])
    def test_a_pod_that_is_not_there_is_stopped(self, cluster: MemoryCluster, workloads: KubernetesWorkloads, uid: str) -> None:
        """Nothing is left of it."""
        if uid == "another":
            cluster.put(PATH, pod())
        assert asyncio.run(workloads.stop("sales", "nightly-1", uid, force=True)) is None


class TestErrors:
    @pytest.mark.parametrize(
        "request_",
        [
            lambda port: port.read("sales", "nightly-1"),
            lambda port: port.stop("sales", "nightly-1", "p1", force=False),
            lambda port: port.release("sales", "nightly-1", "p1"),
            lambda port: port.remove("sales", "nightly-1", "p1"),
        ],
        ids=["read", "stop", "release", "remove"],
    )
    @pytest.mark.parametrize(
        ("code", "raised"), [(503, Unavailable), (403, Rejected)], ids=["the server is starting", "the right is missing"]
    )
    def test_an_error_of_the_server_is_an_error_of_the_port(
        self,
        cluster: MemoryCluster,
        workloads: KubernetesWorkloads,
        request_: Callable[[KubernetesWorkloads], Awaitable[object]],
        code: int,
        raised: type[Exception],
    ) -> None:
        """Never an exception that the controller does not know."""
        cluster.put(PATH, pod())
        cluster.fault = lambda _method, _path: ApiError(code, "Reason", "message")

        async def story() -> None:
            await request_(workloads)

        with pytest.raises(raised):
            asyncio.run(story())

    def test_a_log_that_is_gone_is_missing(self, cluster: MemoryCluster) -> None:
        """With its node, or because the pod is."""
        logs = ContainerLogs(cast("Cluster", cluster), "http://127.0.0.1:9")
        owned = owned_workload(pod())
        assert owned
        with pytest.raises(Missing):
            asyncio.run(logs.copy("sales", "9f1c", owned.workload))
