"""Repairs missed events: periodically compares what exists with the caches.

Only versions are listed, so that thousands of objects cost little; objects that differ are read. A difference counts as
missed if it persists two seconds after the listing: until then its event may be on the way. Differences in two consecutive
rounds mean that a watch misses events, which liveness reports. A round never takes more than a tenth of the time: the period
grows with its duration.

No object ends a round: one that raises while it is observed is observed without the structure of its spec, as the informer
does it; if that raises too, it stays as it was known.

A pod from which another tool has removed our label is shown by no list or watch of ours. Once known it is read in each
round, which is never a missed change; unknown ones are searched for among all other pods, at the start and at long intervals.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mintaka_controller.ports import Missing, ObjectProblem, PortError, Snapshot
from mintaka_controller.revision_collection import collect_revisions

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_controller.controller import Controller
    from mintaka_controller.deployment_cache import DeploymentCache
    from mintaka_controller.ports import Name
    from mintaka_controller.run_cache import RunCache
    from mintaka_controller.workload_cache import WorkloadCache

_logger = logging.getLogger(__name__)

KINDS = ("deployment", "run", "workload")
_ON_THE_WAY_SECONDS = 2.0
_LOSSY_ROUNDS = 2
#: The number of rounds in which every run with a workload is reconciled once: five minutes by default.
_TURNS = 15
#: The number of rounds between two searches for unknown workloads without our label: half an hour by default. All but those that were
#: changed while no operator was running are known already.
_STRAY_ROUNDS = 90
#: The number of rounds between two collections of revisions that no run needs: five minutes by default.
_COLLECTION_ROUNDS = 15
#: The minimum ratio of the period to the duration of a round.
_SHARE = 10.0
#: Objects whose fault was logged, so that each is logged once and not in every round.
_LOGGED_AT_MOST = 1000
_MESSAGE_CHARACTERS = 1000


class Resync:
    """Compares and repairs, through the same methods as watches."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._context = controller.context
        self._lossy_rounds = 0
        self._turn = 0
        self._rounds_to_strays = 0
        self._rounds_to_collection = _COLLECTION_ROUNDS
        self._logged: set[tuple[str, Name]] = set()
        #: How long listing and reading took in the last round, in seconds.
        self.duration = 0.0
        self._waited = 0.0

    @property
    def watches_miss_events(self) -> bool:
        """True if each of the last rounds found changes that no watch had reported."""
        return self._lossy_rounds >= _LOSSY_ROUNDS

    async def run(self) -> None:
        """Compare once per period until cancelled."""
        time = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(max(self._context.settings.relist.total_seconds(), _SHARE * self.duration))
            started, self._waited = time(), 0.0
            missed = await self.heal()
            await self.find_strays()
            await self.collect()
            self.duration = time() - started - self._waited
            self._context.ports.telemetry.resynced(self.duration)
            if missed is not None:
                self._lossy_rounds = self._lossy_rounds + 1 if missed else 0
            self._sweep()

    async def heal(self) -> int | None:
        """Run one round; return the number of missed changes, None if a kind could not be listed. The other kinds are repaired anyway."""
        missed, failed = 0, False
        for kind in KINDS:
            try:
                suspects = await self._differences(kind)
            except PortError as error:
                _logger.warning("comparing each %s with the cluster failed: %s", kind, error)
                failed = True
            except Exception:  # the other kinds can be compared all the same
                _logger.exception("comparing each %s with the cluster failed", kind)
                failed = True
            else:
                missed += await self._heal_all(kind, suspects) if suspects else 0
        if missed:
            _logger.warning("%d changes had been missed by the watches and were read again", missed)
        return None if failed else missed

    async def _heal_all(self, kind: str, suspects: dict[Name, int]) -> int:
        """Read what still differs after a while; return how many objects had changed."""
        await asyncio.sleep(_ON_THE_WAY_SECONDS)
        self._waited += _ON_THE_WAY_SECONDS
        healed = 0
        for key, listed in suspects.items():
            healed += self._differs(kind, key, listed) and await self._heal(kind, key, listed)
        if healed:
            self._context.ports.telemetry.missed(kind, healed)
        return healed

    async def find_strays(self) -> None:
        """Observe unknown workloads that our finalizer holds although they have lost our label, in every 90th round."""
        self._rounds_to_strays -= 1
        if self._rounds_to_strays > 0:
            return
        try:
            strays = [listed async for page in self._context.ports.inventory.list_strays() for listed in page]
        except PortError as error:
            _logger.warning("cannot search for workloads without our label: %s", error)
            return
        except Exception:  # no reason to end the operator
            _logger.exception("cannot search for workloads without our label")
            return
        self._rounds_to_strays = _STRAY_ROUNDS
        for key, version in strays:
            if self._differs("workload", key, version):
                await self._heal("workload", key, version)

    async def collect(self) -> None:
        """Delete the revisions that no run needs, in every fifteenth round."""
        self._rounds_to_collection -= 1
        if self._rounds_to_collection > 0:
            return
        self._rounds_to_collection = _COLLECTION_ROUNDS
        try:
            await collect_revisions(self._context)
        except PortError as error:
            _logger.warning("cannot collect revisions of flow deployments: %s", error)
        except Exception:  # no reason to end the operator
            _logger.exception("cannot collect revisions of flow deployments")

    def _sweep(self) -> None:
        """Wake runs with workloads: a finished run must have no live workload; the others are reconciled in turns, since
        reconciling ten thousand healthy runs in each round would use a sixth of a core for nothing (measured).
        """
        for index, run in enumerate(self._context.workloads.runs()):
            if index % _TURNS == self._turn or self._outlived(run):
                self._controller.wake_run(run)
        self._turn = (self._turn + 1) % _TURNS

    def _outlived(self, run: Name) -> bool:
        entry = self._context.runs.get(run)
        return (entry is None or entry.finished) and any(owned.workload.alive for owned in self._context.workloads.owned_by(run))

    async def _differences(self, kind: str) -> dict[Name, int]:
        """Keys whose listed version is not the known one; 0 for keys that are known and not listed."""
        before = dict.fromkeys(self._names(kind))
        suspects: dict[Name, int] = {}
        async for page in self._context.ports.inventory.list_versions(kind):
            for key, version in page:
                before.pop(key, None)
                if self._differs(kind, key, version):
                    suspects[key] = version
        return suspects | {key: 0 for key in before if self._differs(kind, key, 0)}

    def _names(self, kind: str) -> list[Name]:
        return self._cache(kind).names()

    def _version(self, kind: str, key: Name) -> int | None:
        known = self._cache(kind).get(key)
        return known.version if known else None

    def _cache(self, kind: str) -> RunCache | DeploymentCache | WorkloadCache:
        context = self._context
        caches: dict[str, RunCache | DeploymentCache | WorkloadCache] = {
            "run": context.runs,
            "deployment": context.deployments,
            "workload": context.workloads,
        }
        return caches[kind]

    def _differs(self, kind: str, key: Name, listed: int) -> bool:
        known = self._version(kind, key)
        if listed == 0:
            return known is not None
        return known is None or known < listed

    async def _heal(self, kind: str, key: Name, listed: int) -> bool:
        """Read one object; True if it had changed in a way that its watch should have reported."""
        ports, controller = self._context.ports, self._controller
        try:
            match kind:
                case "run":
                    return self._observe(kind, key, controller.observe_run, await ports.resources.read_run(key)) and listed > 0
                case "deployment":
                    found = await ports.resources.read_deployment(key)
                    return self._observe(kind, key, controller.observe_deployment, found) and listed > 0
                case _:
                    return await self._heal_workload(key, listed)
        except Missing:
            return controller.forget_run(key) if kind == "run" else controller.forget_deployment(key)
        except PortError as error:
            _logger.warning("%s %s/%s cannot be read: %s", kind, *key, error)
        except Exception as error:  # noqa: BLE001 - one object must not end the operator
            self._log(kind, key, error)
        return False

    def _observe(self, kind: str, key: Name, observe: Callable[[Snapshot], bool], found: Snapshot) -> bool:
        try:
            return observe(found)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it becomes its own problem
            self._log(kind, key, error)
            return observe(_unreadable(found, error))

    def _log(self, kind: str, key: Name, error: Exception) -> None:
        if (kind, key) not in self._logged:
            _logger.error("%s %s/%s cannot be processed", kind, *key, exc_info=error)
        if len(self._logged) >= _LOGGED_AT_MOST:
            self._logged.clear()
        self._logged.add((kind, key))

    async def _heal_workload(self, key: Name, listed: int) -> bool:
        """As above: a watch reports what the list shows, and that a workload is no longer shown."""
        owned = await self._context.ports.workloads.read(*key)
        known = self._context.workloads.get(key)
        was_watched = known is not None and known.watched and not self._context.workloads.is_doubtful(key)
        if owned is None:
            return self._controller.forget_workload(key) and was_watched
        shown = listed > 0 or (was_watched and not owned.watched)
        return self._controller.observe_workload(owned) and shown


def _unreadable(found: Snapshot, error: Exception) -> Snapshot:
    """The snapshot with only those members of its spec that have no structure, and with the error as its problem."""
    spec = found.document.get("spec")
    plain = {name: value for name, value in spec.items() if not isinstance(value, dict | list)} if isinstance(spec, dict) else {}
    message = f"it cannot be processed: {type(error).__name__}: {error}"[:_MESSAGE_CHARACTERS]
    return Snapshot({**found.document, "spec": plain}, ObjectProblem("Unreadable", message))
