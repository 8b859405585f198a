"""Leader election with a coordination Lease: two replicas never act at once.

The protocol of client-go's leaderelection: the replica that renews the Lease leads; another takes over once it has seen no renewal for
the Lease's duration *on its own clock* (clocks of nodes differ). A leader that cannot renew in time stops acting before another may
begin. In addition, writes carry preconditions, so that even a frozen leader that wakes up does no harm.

    async with Leadership(client, namespace=…, name=…, identity=…) as leadership:
        await leadership.acquire()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(leadership.keep())
            …
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from mintaka_core.errors import MintakaError
from mintaka_core.instants import format_time
from mintaka_kubernetes.client import ApiError
from mintaka_kubernetes.resources import LEASES

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_kubernetes.client import Client

_logger = logging.getLogger(__name__)

DURATION_SECONDS = 15
RENEW_SECONDS = 10.0
RETRY_SECONDS = 2.0

_NOT_FOUND, _CONFLICT = 404, 409


class LeaseLost(MintakaError):
    """Another replica may lead now: this process must not act any more."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long a Lease is valid, how long its leader acts without renewing it, and how often it is renewed and checked, in seconds.

    A dead leader is replaced after at most `duration` and two `retry`.
    """

    duration: int = DURATION_SECONDS
    renew: float = RENEW_SECONDS
    retry: float = RETRY_SECONDS


class Leadership:
    """One replica's claim to a Lease. Leaving its block releases the Lease, whatever ended the block.

    `changed` is called with True when this replica leads, with False when it no longer does.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        changed: Callable[[bool], None] = lambda _leads: None,
        times: LeaseTimes | None = None,
    ) -> None:
        self._times = times or LeaseTimes()
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._changed = changed
        self._seen: tuple[str, str] = ("", "")
        self._seen_time = 0.0
        self._lease: dict[str, Any] = {}
        self._leads = False
        #: Why the Lease can be neither read nor written, in a sentence; "" if it can.
        self.problem = ""
        #: When the last successful renewal began, on this process's clock.
        self.renewed_time = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.release()

    async def acquire(self) -> None:
        """Return once this replica leads."""
        waiting = False
        while not await self._try():
            if not waiting:
                _logger.info("%s leads; standing by", self.holder or "no replica")
                waiting = True
            await asyncio.sleep(self._times.retry)
        self._report(leads=True)
        _logger.info("leading as %s", self._identity)

    async def keep(self) -> None:
        """Renew until cancelled. Raises LeaseLost, at the latest `LeaseTimes.renew` seconds after the last renewal began."""
        while True:
            await asyncio.sleep(min(self._times.retry, max(self._left, 0)))
            try:
                async with asyncio.timeout(min(self._times.renew / 2, max(self._left, 0))):
                    renewed = await self._try()
            except TimeoutError:
                renewed = False
            # After a conflict the holder is unknown until the next read: it may be the late result of our own write.
            if not renewed and (self.holder not in {"", self._identity} or self._left <= 0):
                self._report(leads=False)
                message = f"the Lease {self._namespace}/{self._name} could not be renewed in time; held by {self.holder or 'no replica'}"
                raise LeaseLost(message)

    async def release(self) -> None:
        """Let another replica take over at once; no effect if this one does not hold the Lease."""
        if self.holder != self._identity:
            return
        self._report(leads=False)
        spec = {**self._lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        with contextlib.suppress(MintakaError, TimeoutError):
            async with asyncio.timeout(self._times.renew / 2):
                await self._put(spec)

    @property
    def valid(self) -> bool:
        """Whether this replica leads at this moment; False for one that was frozen and could not renew in time."""
        return self._leads and self._left > 0

    @property
    def holder(self) -> str:
        """The replica that leads as far as this one has seen; "" if none does."""
        return str((self._lease.get("spec") or {}).get("holderIdentity") or "")

    def _report(self, *, leads: bool) -> None:
        self._leads = leads
        self._changed(leads)

    @property
    def _left(self) -> float:
        """Seconds until the leader must have renewed."""
        return self.renewed_time + self._times.renew - time.monotonic()

    async def _try(self) -> bool:
        """Take or renew the Lease; False if another replica holds it or the API server did not answer."""
        begun = time.monotonic()
        try:
            if not self._lease or self.holder != self._identity:
                self._lease = await self._read()
            spec = self._lease.get("spec") or {}
            if not self._may_take(spec):
                self.problem = ""
                return False
            now = format_time(datetime.now(UTC))
            mine = self.holder == self._identity
            await self._put(
                {
                    "holderIdentity": self._identity,
                    "leaseDurationSeconds": self._times.duration,
                    "acquireTime": spec.get("acquireTime") or now if mine else now,
                    "renewTime": now,
                    "leaseTransitions": (spec.get("leaseTransitions") or 0) + (not mine),
                }
            )
        except MintakaError as error:
            if isinstance(error, ApiError) and error.code in {_CONFLICT, _NOT_FOUND}:
                self._lease = {}
            problem = f"the Lease {self._namespace}/{self._name} cannot be used: {error}"
            if problem != self.problem:
                _logger.warning("%s; trying again", problem)
            self.problem = problem
            return False
        self.problem = ""
        # Others count from when they see the renewal, which is later than this.
        self.renewed_time = begun
        return True

    def _may_take(self, spec: dict[str, Any]) -> bool:
        holder = spec.get("holderIdentity") or ""
        if holder in {"", self._identity}:
            return True
        seen = (holder, spec.get("renewTime") or "")
        if seen != self._seen:
            self._seen, self._seen_time = seen, time.monotonic()
        return time.monotonic() - self._seen_time > (spec.get("leaseDurationSeconds") or self._times.duration)

    async def _read(self) -> dict[str, Any]:
        try:
            return await self._client.request("GET", LEASES.path(self._namespace, self._name))
        except ApiError as error:
            if error.code == _NOT_FOUND:
                return {}
            raise

    async def _put(self, spec: dict[str, Any]) -> None:
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {**(self._lease.get("metadata") or {}), "name": self._name, "namespace": self._namespace},
            "spec": spec,
        }
        if self._lease:
            self._lease = await self._client.request("PUT", LEASES.path(self._namespace, self._name), body=lease)
        else:
            self._lease = await self._client.request("POST", LEASES.path(self._namespace), body=lease)
