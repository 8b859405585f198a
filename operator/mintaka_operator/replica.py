"""The operator as a whole: acquire leadership, list existing objects, then reconcile until stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from mintaka_controller.controller import Controller
from mintaka_controller.ports import Ports
from mintaka_controller.run_cache import name_of
from mintaka_controller.schema_validation import SchemaValidator
from mintaka_core.names import CLUSTER_RULE, NAMESPACED_RULE
from mintaka_kubernetes.informer import Informer
from mintaka_kubernetes.leader_election import Leadership, LeaseLost
from mintaka_kubernetes.resources import FLOW_RUNS, LIMIT_RANGES, NODES, PODS, RESOURCE_QUOTAS
from mintaka_operator import metrics
from mintaka_operator.cluster import PAGE_SIZE, Cluster, document_of
from mintaka_operator.container_logs import ContainerLogs
from mintaka_operator.event_recorder import KubernetesEventRecorder
from mintaka_operator.handlers import KopfThread
from mintaka_operator.kopf_decoding import unpack
from mintaka_operator.kubernetes_inventory import OUR_PODS, KubernetesInventory
from mintaka_operator.kubernetes_resources import KubernetesResources, snapshot_of
from mintaka_operator.kubernetes_revisions import KubernetesRevisions
from mintaka_operator.kubernetes_rules import RULE_KINDS, KubernetesRules, RuleHandler
from mintaka_operator.kubernetes_sources import KubernetesSources
from mintaka_operator.kubernetes_workloads import KubernetesWorkloads
from mintaka_operator.nodes import Nodes
from mintaka_operator.observers import CapacityHandler, FlowRunHandler, PodHandler
from mintaka_operator.probes import serve
from mintaka_operator.telemetry import PrometheusTelemetry

if TYPE_CHECKING:
    from mintaka_kubernetes.informer import EventHandler
    from mintaka_kubernetes.resources import Resource
    from mintaka_operator.kopf_decoding import Packed
    from mintaka_operator.settings import Settings

_logger = logging.getLogger(__name__)

_OK, _LOST = 0, 1


class WallClock:
    """The time of day of this machine: the controller's port `Clock`."""

    def now(self) -> datetime:
        """The current time."""
        return datetime.now(UTC)


class Operator:
    """One replica."""

    def __init__(self, cluster: Cluster, settings: Settings, leadership: Leadership, schemas: SchemaValidator, logs: ContainerLogs) -> None:
        self._cluster = cluster
        self._settings = settings
        self._leadership = leadership
        self._nodes = Nodes(cluster, self._reassess_node, self._bound_nodes)
        ports = Ports(
            resources=KubernetesResources(cluster, settings.release_namespace),
            workloads=KubernetesWorkloads(cluster, settings.pod_defaults, logs, self._nodes.is_gone),
            sources=KubernetesSources(cluster),
            revisions=KubernetesRevisions(cluster, self._served),
            schemas=schemas,
            events=KubernetesEventRecorder(cluster),
            inventory=KubernetesInventory(cluster, self._served),
            telemetry=PrometheusTelemetry(),
            clock=WallClock(),
            rules=KubernetesRules(cluster),
        )
        self.controller = Controller(ports, settings.controller)
        self._loop = asyncio.get_running_loop()
        scope = settings.namespaces or (None,)
        self._pods = {name: self._informer(PODS, name, PodHandler(self.controller, name, self._nodes.is_gone), OUR_PODS) for name in scope}
        self._runs = {name: self._informer(FLOW_RUNS, name, FlowRunHandler(self.controller, name)) for name in scope}
        capacity = CapacityHandler(self.controller)
        self._capacity = [self._informer(resource, name, capacity) for resource in (RESOURCE_QUOTAS, LIMIT_RANGES) for name in scope]
        # A namespaced installation reads nothing cluster-wide.
        self._node_informers = [] if settings.namespaces else [self._informer(NODES, None, self._nodes)]
        # A namespaced installation applies no rules of the cluster.
        kinds = [NAMESPACED_RULE] if settings.namespaces else [NAMESPACED_RULE, CLUSTER_RULE]
        self._rules = [self._informer(RULE_KINDS[kind], name, RuleHandler(self.controller, kind, name)) for kind in kinds for name in scope]
        self._kopf: KopfThread | None = None
        self._leading = False

    def _informer(self, resource: Resource, namespace: str | None, handler: EventHandler, selector: str = "") -> Informer:
        count = partial(_count, resource.plural)
        return Informer(self._cluster, resource, namespace, handler, selector=selector, page_size=PAGE_SIZE, count=count)

    def _served(self) -> tuple[str | None, ...]:
        """The namespaces that can be read now."""
        return tuple(namespace for namespace, informer in self._runs.items() if not informer.refused)

    def health(self) -> dict[str, str]:
        """The checks of liveness: a failed one is fixed by a restart."""
        return {
            "pods": "the pod watch has stalled" if any(informer.stalled for informer in self._pods.values()) else "",
            "runs": "the flow run watch has stalled" if any(informer.stalled for informer in self._runs.values()) else "",
            "resources": "the watches miss events: listings find them" if self.controller.resync.watches_miss_events else "",
        }

    def ready(self) -> dict[str, str]:
        """A standby is ready to take over; a leader is ready once it knows its runs and pods."""
        if not self._leading:
            return {"pods": "", "runs": "", "resources": ""}
        watching = self._kopf is not None and self._kopf.ready.is_set()
        return {
            "pods": _unsettled(self._pods.values()),
            "runs": _unsettled(self._runs.values()),
            "resources": "" if watching else "not watched yet",
        }

    def problems(self) -> dict[str, str]:
        """Problems that a restart would not fix: namespaces that cannot be read."""
        return {namespace or "*": informer.problem for namespace, informer in self._runs.items() if informer.refused}

    def collect(self) -> None:
        """Update the gauges."""
        metrics.QUEUE_DEPTH.set(len(self.controller.queue))
        metrics.WAITING.set(len(self.controller.context.backoff))
        for state, count in self.controller.context.runs.states.items():
            metrics.RUNS.labels(state or "new").set(count)

    def _observe_from_kopf(self, kind: str | None, packed: Packed) -> None:
        self._loop.call_soon_threadsafe(self._observe_deployment, kind, packed)

    def _observe_deployment(self, kind: str | None, packed: Packed) -> None:
        """Handle kopf's event of a deployment; an error concerns that deployment alone."""
        found = unpack(packed)
        document = document_of(found)
        try:
            if kind == "DELETED":
                self.controller.forget_deployment(name_of(document), document["metadata"].get("uid"))
            else:
                self.controller.observe_deployment(snapshot_of(found))
        except Exception:  # one object is no reason to miss the others
            _logger.exception("handling flow deployment %s failed", "/".join(name_of(document)))

    async def lead(self) -> None:
        """Acquire the Lease, then reconcile until cancelled. Raises LeaseLost."""
        await self._leadership.acquire()
        self._leading = True
        kopf = self._kopf = KopfThread(self._cluster.credentials, self._served, self._observe_from_kopf)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._leadership.keep())
                # Pods first: a run's verdict depends on its pods, so no run may be reconciled before they are known.
                await self._settle(group, list(self._pods.values()))
                # Rules before runs: no run may start that a rule holds back.
                await self._settle(group, self._rules)
                await self._settle(group, list(self._runs.values()))
                await self._settle(group, self._node_informers)
                self._check_nodes()
                for informer in self._capacity:
                    group.create_task(informer.run())
                kopf.start()
                group.create_task(self.controller.run())
        finally:
            kopf.stop()
            self._nodes.close()

    def _check_nodes(self) -> None:
        """Check nodes: some may have been deleted while no operator was running."""
        if self._node_informers:
            self._nodes.check(self._bound_nodes(alive_only=True))

    def _bound_nodes(self, *, alive_only: bool = False) -> set[str]:
        """The nodes that known pods are bound to."""
        workloads = self.controller.context.workloads
        known = (workloads.get(key) for key in workloads.names())
        return {owned.workload.node for owned in known if owned and (owned.workload.alive or not alive_only)}

    def _reassess_node(self, node: str) -> None:
        """Re-evaluate the pods of a node that is gone."""
        workloads = self.controller.context.workloads
        for key in workloads.names():
            owned = workloads.get(key)
            if owned and owned.workload.alive and owned.workload.node == node:
                self.controller.reassess_workload(key)

    async def _settle(self, group: asyncio.TaskGroup, informers: list[Informer]) -> None:
        """Start informers and wait until each has listed, or was refused."""
        for informer in informers:
            group.create_task(informer.run())
        for informer in informers:
            await informer.settled.wait()


def _unsettled(informers: Any) -> str:
    return "" if all(informer.settled.is_set() for informer in informers) else "still listing"


def _count(resource: str, what: str) -> None:
    counter = metrics.WATCH_RESTARTS if what == "restart" else metrics.UNREADABLE
    counter.labels(resource).inc()


async def run(settings: Settings) -> int:
    """Run one replica until SIGTERM or SIGINT (exit code 0) or until its Lease is lost (1)."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(Cluster())
        schemas = await stack.enter_async_context(SchemaValidator())
        logs = ContainerLogs(cluster, settings.api_url)
        stack.push_async_callback(logs.close)
        claim = Leadership(
            cluster,
            namespace=settings.lease_namespace,
            name=settings.lease_name,
            identity=settings.identity,
            changed=metrics.LEADING.set,
        )
        leadership = await stack.enter_async_context(claim)
        operator = Operator(cluster, settings, leadership, schemas, logs)
        runner = await serve(settings.http_host, settings.http_port, operator.health, operator.ready, operator.collect)
        stack.push_async_callback(runner.cleanup)
        return await _until_stopped(operator, stop)


async def _until_stopped(operator: Operator, stop: asyncio.Event) -> int:
    leading = asyncio.create_task(operator.lead())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({leading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    leading.cancel()
    stopping.cancel()
    code = _OK if stop.is_set() else _LOST
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await leading
    except* LeaseLost as lost:
        _logger.error("%s; ending, so that nothing is done twice", lost.exceptions[0])  # noqa: TRY400 - no trace needed
        code = _LOST
    return code
