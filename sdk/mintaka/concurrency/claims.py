"""Waiting for slots: a claim says what to do next, and how long to wait before; it blocks nobody itself.

Both drivers, the blocking one and the one of event loops, call `step` until it returns None: the slots are held. Who
waits asks again ever less often, those who are next more often than others; the database keeps the order.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import uuid
from time import monotonic
from typing import TYPE_CHECKING
from uuid import UUID

from mintaka.concurrency.holdings import HELD, Holding, number_of_slots, refuse_deadlock
from mintaka.concurrency.leases import HeldLease, renewer
from mintaka.context import CURRENT
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.stopping import STOP
from mintaka.exceptions import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencySlotAcquisitionError,
    Halted,
    SharingAway,
    SharingError,
    Terminated,
)
from mintaka.logging import run_logger
from mintaka.sharing import NoPlace, shared
from mintaka_core.durations import cap_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mintaka.engine.runs import Run
    from mintaka.sharing.protocol import Shared
    from mintaka_history.sharing.leases import SlotDecision

_GROWTH = 1.5
#: How much less often those ask, at most, who are not next.
_FARTHEST = 4
_AWAY_SECONDS = 1.0


class Claim:
    """`slots` of each of `names` (None: of no limit), to be held for `lease_seconds` at a time. `release` it, whatever came of it.

    `waits_level`: at which level it is logged that it waits. `rates_only`: only limits that are rates will do, and nothing is held.
    """

    def __init__(
        self,
        names: str | Sequence[str] | None,
        slots: int,
        timeout_seconds: float | None,
        *,
        strict: bool,
        lease_seconds: float = 60.0,
        max_retries: int | None = None,
        rates_only: bool = False,
        waits_level: int = logging.INFO,
    ) -> None:
        self.names = tuple(dict.fromkeys([names] if isinstance(names, str) else names or ()))
        self.slots = slots
        self.timeout_seconds = timeout_seconds
        self.strict = strict
        self.lease_seconds = lease_seconds
        self.lease: HeldLease | None = None
        self._id = uuid.uuid4().hex
        self._deadline = None if timeout_seconds is None else monotonic() + cap_seconds(timeout_seconds)
        self._retries_left = max_retries
        self._rates_only = rates_only
        self._waits_level = waits_level
        #: Called once, by any thread, where the slots are lost while they are held.
        self.on_lost: Callable[[], object] = lambda: None
        self._place: Shared | None = None
        self._asked = False
        self._told: set[str] = set()
        self._pause = 0.0
        self._turns = sys.maxsize
        self._rates: tuple[str, ...] = ()
        self._ready: float | None = None
        self._context = CURRENT.get()
        #: What the code around holds; and what it lent to this claim: a holding for each limit.
        self._around = () if rates_only else HELD.get() or CHILD_PROCESSES.starts.inherited(HELD, ())
        self._loans: dict[str, Holding] = {}
        #: While it waits: the limits without a free slot, and why none can be requested ("": no issue).
        self.blocked: tuple[str, ...] = ()
        self.issue = ""
        #: What this claim holds, borrowed or not, once it does.
        self.holding: Holding | None = None
        self._pid = os.getpid()
        self._stepping = threading.Lock()
        self._released = False
        _check(self)

    @property
    def run(self) -> Run | None:
        """The run that waits; None outside of all."""
        return None if self._context is None else self._context.run

    def is_over(self) -> bool:
        """True where the run that waits was ended from outside."""
        return self.run is not None and self.run.is_over

    def step(self) -> float | None:
        """Do what can be done now; returns the seconds to wait before the next step, None where the slots are held.

        Raises:
            ConcurrencySlotAcquisitionError: they cannot be had.
            AcquireConcurrencySlotTimeoutError: the time is over.
            Halted, Terminated: the run, or the process, was asked to end.
        """
        with self._stepping:  # who gives up lets go while a step may still be under way, in another thread
            return None if self._released else self._step()

    def _step(self) -> float | None:
        if self.is_over():
            message = "the run was ended while it waited for slots"
            raise Halted(message)
        if STOP.requested:
            message = "the process was asked to stop while a run waited for slots"
            raise Terminated(message)
        if not self.names:
            return None
        if self._ready is not None:  # slots of rates are reserved, from then on
            left = self._ready - monotonic()
            return left if left > 0 else None
        try:
            if self._rates:
                return self._reserve(shared())
            self._borrow()
            if len(self._loans) == len(self.names):
                self._hold(self.names)
                return None
            return self._ask()
        except NoPlace as error:
            if self.strict:
                raise ConcurrencySlotAcquisitionError(str(error)) from error
            self._tell("none", logging.WARNING, "no limit holds anybody up here: %s", error)
            return None
        except SharingAway as error:
            self._tell("away", logging.WARNING, "waits for slots of %s: %s", self._shown, error)
            self.blocked, self.issue = (), str(error)
            return self._wait(_AWAY_SECONDS, f": {error}")

    def release(self) -> None:
        """Let go of the slots, or of the place among those who wait for them."""
        with self._stepping:
            self._released = True
        if self._pid != os.getpid():
            return
        if self.holding is None:
            self._let_go()
        else:
            self.holding.close(self._let_go)

    def _let_go(self) -> None:
        """Nothing uses the slots any more."""
        if self.lease is not None:
            renewer().remove(self.lease)
        self._withdraw()
        while self._loans:
            name, lender = self._loans.popitem()
            lender.take_back(name, self.slots, self._lost)

    def _withdraw(self) -> None:
        """Release what was requested, or leave the queue."""
        if self._place is None or not self._asked:
            return
        self._asked = False
        try:
            self._place.release(self._id)
        except SharingError as error:
            self._tell("kept", logging.WARNING, "%s come free only in %g s: %s", self._shown, self.lease_seconds, error)

    def _borrow(self) -> None:
        """Take what the code around lends."""
        for name in self.names if self._around else ():
            if name in self._loans:
                continue
            lender = next((held for held in self._around if held.lend(name, self.slots, self._lost)), None)
            if lender is not None:
                self._withdraw()  # what is still needed is another request
                self._id = uuid.uuid4().hex
                self._loans[name] = lender

    def _hold(self, names: Iterable[str]) -> None:
        self.holding = Holding(names, self.slots, self.loss)

    def _lost(self) -> None:
        self.on_lost()
        if self.holding is not None:
            self.holding.lost()

    def loss(self) -> ConcurrencySlotAcquisitionError | None:
        """What to raise where the slots were lost while they were held; None where they were not."""
        for lender in self._loans.values():
            if (loss := lender.loss()) is not None:
                return loss
        if self.lease is None or not self.lease.lost:
            return None
        message = f"{self._shown} were lost while they were held: {self.lease.lost}; others may have held them as well"
        return ConcurrencySlotAcquisitionError(message)

    def _ask(self) -> float | None:
        from mintaka_history.sharing.leases import SlotRequest  # noqa: PLC0415 - start-up time

        place = self._place = self._place or shared()
        flow_run, attempt, who = self._who()
        self._asked = True
        began = monotonic()
        wanted = tuple(name for name in self.names if name not in self._loans)
        verdict = place.request(
            SlotRequest(self._id, place.namespace, wanted, self.slots, self.lease_seconds, flow_run, attempt, None, who)
        )
        self._sort_out(verdict, place)
        if not verdict.granted:
            return self._blocked(verdict, place)
        if taken := set(wanted) - set(verdict.missing) - set(verdict.rates):
            self.lease = HeldLease(place, self._id, wanted, self.lease_seconds, self._lost)
            self.lease.renewed(began)
            renewer().add(self.lease)
            self._tell("got", self._waits_level, "has %s", self._shown, only_after="waits")
        else:
            self._asked = False
        if taken or self._loans:
            self._hold(taken | set(self._loans))
        self._rates = verdict.rates
        return self._reserve(place) if verdict.rates else None

    def _reserve(self, place: Shared) -> float | None:
        """Take slots of rates: they are to be used a known time from now."""
        left = None if self._deadline is None else max(self._deadline - monotonic(), 0.0)
        granted, seconds = place.reserve(self._rates, self.slots, left)
        if not granted:
            message = f"{self._shown} come back in {seconds:.1f} s only, and timeout_seconds is {self.timeout_seconds:g}"
            raise AcquireConcurrencySlotTimeoutError(message)
        self._ready = monotonic() + seconds
        return seconds or None

    def _sort_out(self, verdict: SlotDecision, place: Shared) -> None:
        """See what is to be said of limits that do not exist, or are none of the right kind.

        Raises:
            ConcurrencySlotAcquisitionError: they cannot be had.
        """
        if verdict.missing:
            missing = ", ".join(verdict.missing)
            command = f"mintaka limit create {verdict.missing[0]} --slots N --namespace {place.namespace}"
            message = f"there is no limit {missing} in {place.place}: {command} makes one"
            if self.strict:
                raise ConcurrencySlotAcquisitionError(message)
            self._tell("missing", logging.WARNING, "%s; nobody is held up by it", message)
        if verdict.small:
            message = f"limit {', '.join(verdict.small)} never has {self.slots} slots: give it more, or occupy less"
            raise ConcurrencySlotAcquisitionError(message)
        if self._rates_only and (others := set(self.names) - set(verdict.missing) - set(verdict.rates)):
            one = min(others)
            command = f"mintaka limit create {one} --slots N --decay-per-second X --overwrite --namespace {place.namespace}"
            message = f"limit {one} is no rate: {command} makes it one"
            raise ConcurrencySlotAcquisitionError(message)

    def _blocked(self, verdict: SlotDecision, place: Shared) -> float:
        told = ", ".join(f"{name} ({held} held)" for name, held in verdict.blocked.items())
        self.blocked, self.issue = tuple(verdict.blocked), ""
        if self._deadline is None and self._retries_left is None:
            refuse_deadlock(self._around, verdict.blocked, self.slots)
        self._tell("waits", self._waits_level, "waits for %s: %s", self._shown, told)
        if self._retries_left is not None:
            if self._retries_left <= 0:
                message = f"{self._shown} did not come free: {told}"
                raise ConcurrencySlotAcquisitionError(message)
            self._retries_left -= 1
        shortest, longest = place.pauses
        self._pause = shortest if verdict.turns < self._turns else min(self._pause * _GROWTH, longest * min(verdict.turns + 1, _FARTHEST))
        self._turns = verdict.turns
        return self._wait(self._pause, f": {told}")

    def _wait(self, seconds: float, why: str) -> float:
        """`seconds`, or what is left of the time."""
        if self._deadline is None:
            return seconds
        left = self._deadline - monotonic()
        if left <= 0:
            message = f"{self._shown} did not come free within {self.timeout_seconds:g} s{why}"
            raise AcquireConcurrencySlotTimeoutError(message)
        return min(seconds, left)

    @property
    def _shown(self) -> str:
        return f"{number_of_slots(self.slots)} of {', '.join(self.names)}"

    def _who(self) -> tuple[str | None, int, str]:
        """The flow run and attempt that asks, if it is one, and a text for people."""
        here = f"process {os.getpid()} on {socket.gethostname()}"
        if self._context is None:
            return None, 1, here
        flow = self._context.flow
        if flow is None:
            return None, 1, f"task run {self._context.run.name}, {here}"
        launch = flow.launch
        try:
            uid = str(UUID(launch.flow_run_id))
        except ValueError:
            uid = None
        task = f", task run {self._context.run.name}" if self._context.task is not None else ""
        return uid, launch.attempt, f"flow run {launch.name or flow.run.name}{task}, {here}"[:500]

    def _tell(self, what: str, level: int, message: str, *args: object, only_after: str = "") -> None:
        """Log each kind of thing once."""
        if what in self._told or (only_after and only_after not in self._told):
            return
        self._told.add(what)
        if self._context is None:
            logging.getLogger("mintaka.concurrency").log(level, message, *args)
        else:
            run_logger(self._context).log(level, message, *args)


def _check(claim: Claim) -> None:
    """Refuse what makes no sense before anybody is asked."""
    from mintaka_history.sharing.limits import checked_name  # noqa: PLC0415 - start-up time

    for name in claim.names:
        checked_name(name)
    if not isinstance(claim.slots, int) or claim.slots < 1:
        message = f"occupy is how many slots are taken, 1 or more, not {claim.slots!r}"
        raise ValueError(message)
    if not 1 <= claim.lease_seconds <= 86400:  # noqa: PLR2004 - a second to a day
        message = f"lease_duration is 1 to 86400 seconds, not {claim.lease_seconds!r}"
        raise ValueError(message)
