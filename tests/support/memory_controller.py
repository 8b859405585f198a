"""A controller whose ports lead to an API server in memory, through the operator's own adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from mintaka_controller.context import ControllerSettings
from mintaka_controller.controller import Controller
from mintaka_controller.ports import Ports, Snapshot
from mintaka_controller.reconciler import Key, Reconciler
from mintaka_operator.container_logs import ContainerLogs
from mintaka_operator.event_recorder import KubernetesEventRecorder
from mintaka_operator.kubernetes_inventory import KubernetesInventory
from mintaka_operator.kubernetes_resources import KubernetesResources
from mintaka_operator.kubernetes_revisions import KubernetesRevisions
from mintaka_operator.kubernetes_rules import KubernetesRules
from mintaka_operator.kubernetes_sources import KubernetesSources
from mintaka_operator.kubernetes_workloads import KubernetesWorkloads, owned_workload
from mintaka_operator.pods import PodDefaults
from mintaka_operator.replica import WallClock
from mintaka_operator.telemetry import PrometheusTelemetry

if TYPE_CHECKING:
    from memory_cluster import MemoryCluster
    from mintaka_controller.context import Context
    from mintaka_controller.schema_validation import SchemaValidator
    from mintaka_operator.cluster import Cluster


class _NoSchemas:
    """No test here has a schema."""

    async def violations(self, *given: Any, **named: Any) -> list[Any]:
        """Never called."""
        raise AssertionError((given, named))


class MemoryController:
    """A controller and what tests ask of it; `namespaces` are those it serves, none named: all."""

    def __init__(self, cluster: MemoryCluster, *namespaces: str, settings: ControllerSettings | None = None) -> None:
        known = cast("Cluster", cluster)
        ports = Ports(
            resources=KubernetesResources(known, "mintaka-system"),
            workloads=KubernetesWorkloads(known, PodDefaults("image"), ContainerLogs(known, "")),
            sources=KubernetesSources(known),
            revisions=KubernetesRevisions(known, lambda: namespaces or (None,)),
            schemas=cast("SchemaValidator", _NoSchemas()),
            events=KubernetesEventRecorder(known),
            inventory=KubernetesInventory(known, lambda: namespaces or (None,)),
            telemetry=PrometheusTelemetry(),
            clock=WallClock(),
            rules=KubernetesRules(known),
        )
        self.controller = Controller(ports, settings or ControllerSettings())
        self.reconciler = Reconciler(self.controller.context, self.controller.queue)

    @property
    def context(self) -> Context:
        """What the controller knows."""
        return self.controller.context

    def observe_run(self, document: dict[str, Any]) -> bool:
        """A watch reports a flow run; it is not reconciled by that."""
        return self.context.runs.put(Snapshot(document))

    def observe_pod(self, document: dict[str, Any]) -> bool:
        """A watch reports a pod; its run is not reconciled by that."""
        owned = owned_workload(document)
        assert owned is not None
        return self.context.workloads.put(owned)

    async def reconcile(self, namespace: str, name: str) -> None:
        """Reconcile a run."""
        await self.reconciler.reconcile(Key("run", namespace, name))
