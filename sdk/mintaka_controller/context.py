"""Shared by the parts of the controller: its ports, settings and caches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from mintaka_controller.concurrency_slots import ConcurrencySlots
from mintaka_controller.create_backoff import CreateBackoff
from mintaka_controller.deployment_cache import DeploymentCache
from mintaka_controller.log_copies import LogCopies
from mintaka_controller.memory_budget import MemoryBudget
from mintaka_controller.ports import Name, Ports, Snapshot
from mintaka_controller.revision_cache import RevisionCache
from mintaka_controller.rule_cache import RuleCache
from mintaka_controller.run_cache import RunCache
from mintaka_controller.validation_memory import ValidationMemory
from mintaka_controller.workload_cache import WorkloadCache
from mintaka_core.reconciling.observation import Retention

#: What the parsed resources of the keys that are being reconciled may take: about four of the worst case.
_PARSED_BYTES = 40 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """The settings of the controller.

    `workers` keys are reconciled at once, at most `lane_limit` of one namespace. `mirrored`: an API stores the history and
    has `mirror_patience` to read a deleted run. `retention`: how long pods of finished attempts stay; None: as long as
    their run. `relist` is the minimum interval at which everything is listed to find missed events; long listings extend
    it. While more than `busy_queue` keys wait, PENDING is written together with what follows it: one write less per attempt.
    `cluster_keys`: the namespaces that may use each concurrency key of the cluster (`*`: all); None: all may use any.
    `local`: workloads are processes of this machine, which matters for the wording of explanations.
    """

    workers: int = 24
    lane_limit: int = 16
    mirrored: bool = True
    mirror_patience: timedelta = timedelta(hours=1)
    retention: Retention | None = Retention()
    relist: timedelta = timedelta(seconds=20)
    busy_queue: int = 8
    cluster_keys: Mapping[str, tuple[str, ...]] | None = None
    local: bool = False


@dataclass
class Context:
    """The ports, and the outside as this controller knows it."""

    ports: Ports
    settings: ControllerSettings
    runs: RunCache = field(default_factory=RunCache)
    deployments: DeploymentCache = field(default_factory=DeploymentCache)
    workloads: WorkloadCache = field(default_factory=WorkloadCache)
    revisions: RevisionCache = field(default_factory=RevisionCache)
    backoff: CreateBackoff = field(default_factory=CreateBackoff)
    validated: ValidationMemory = field(default_factory=ValidationMemory)
    memory: MemoryBudget = field(default_factory=lambda: MemoryBudget(_PARSED_BYTES))
    log_copies: LogCopies = field(init=False)
    slots: ConcurrencySlots = field(init=False)
    rules: RuleCache = field(init=False)
    #: Called with each write of our own: the flow run and the resulting resource version.
    wrote: Callable[[Name, int], None] = lambda _run, _version: None
    #: Requests that a run be reconciled.
    wake: Callable[[Name], None] = lambda _run: None
    #: Objects read other than the one being reconciled go through these, like watch events, so that their own events are not handled again.
    observe_run: Callable[[Snapshot], bool] = lambda _snapshot: False
    observe_deployment: Callable[[Snapshot], bool] = lambda _snapshot: False

    def __post_init__(self) -> None:
        """By default, objects that are read are only cached; a controller overrides this."""
        self.rules = RuleCache(self.ports.rules.expressions)
        self.log_copies = LogCopies(self.ports, self.wake)
        slots = self.slots = ConcurrencySlots(self.runs, self.workloads, self.deployments, self.ports.clock.now, self.settings.cluster_keys)
        slots.wake = self.wake
        self.runs.changed = self.workloads.changed = slots.observe_run
        self.deployments.changed = slots.observe_deployment
        self.observe_run = self.runs.put
        self.observe_deployment = self.deployments.put
