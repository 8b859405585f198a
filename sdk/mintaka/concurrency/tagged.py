"""Limits of tags: a limit named `tag:NAME` holds back tasks of its namespace with the tag NAME, without a word in their code.

Slots are held from when a run begins until it is over, its retries included; the task runs inside share them. Which of such limits there are is asked every
few seconds, however many tasks run; where nobody answers who never did before, no task is held up by that.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from mintaka.concurrency.claims import Claim
from mintaka.concurrency.holdings import enter, leave
from mintaka.concurrency.leases import renewer
from mintaka.engine.decisions import decide_run
from mintaka.engine.entries import now_micros, to_datetime
from mintaka.engine.outcomes import Outcome
from mintaka.engine.steps import Do, Sleep
from mintaka.exceptions import SharingError
from mintaka.recording.homes import home
from mintaka.sharing import NoPlace, shared
from mintaka_core.states import RUNNING, State
from mintaka_core.task_facts import TagLimits

if TYPE_CHECKING:
    from collections.abc import Generator

    from mintaka.context import FlowContext
    from mintaka.engine.invocations import Invocation, Keeping
    from mintaka.engine.steps import Step
    from mintaka.recording.homes import Home

logger = logging.getLogger("mintaka.concurrency")

PREFIX = "tag:"
#: How long it takes at most until a limit that was made, or deleted, is noticed.
_KNOWN_SECONDS = 5.0


class KnownLimits:
    """The limits of tags in one namespace ("": that of the process), as they were a few seconds ago."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._lock = threading.Lock()
        self._until = 0.0
        self._home: Home | None = None
        self._names: frozenset[str] = frozenset()

    @property
    def stale(self) -> bool:
        """True where they have to be asked for again."""
        return monotonic() >= self._until

    def refresh(self) -> None:
        """Ask for them, unless somebody else just does."""
        if self._lock.acquire(blocking=not self._names):
            try:
                if self.stale:
                    self._names = self._asked()
                    self._until = monotonic() + _KNOWN_SECONDS
            finally:
                self._lock.release()

    def among(self, tags: tuple[str, ...]) -> list[str]:
        """The limits of these tags."""
        names = self._names
        return [PREFIX + tag for tag in tags if PREFIX + tag in names] if names else []

    def _asked(self) -> frozenset[str]:
        where = home()
        before, self._home = (self._names if self._home == where else frozenset[str]()), where
        try:
            return frozenset(limit.name for limit in shared(self._namespace or None).limits(PREFIX))
        except NoPlace:
            return frozenset()
        except SharingError as error:
            logger.warning("limits of tags are those of before, if any: %s", error)
            return before


#: The limits that this process knows, by namespace.
KNOWN: dict[str, KnownLimits] = {}


def known_limits(flow: FlowContext | None) -> KnownLimits:
    """Those of the namespace of a flow run (None: outside of all runs)."""
    namespace = "" if flow is None else flow.launch.namespace
    found = KNOWN.get(namespace)
    return KNOWN.setdefault(namespace, KnownLimits(namespace)) if found is None else found


class TaggedKeeping:
    """Has a run with tags wait for slots of their limits; `inner` keeps its result, if anything does."""

    __slots__ = ("_claim", "_inner")

    def __init__(self, inner: Keeping | None) -> None:
        self._inner = inner
        self._claim: Claim | None = None

    def begin(self, invocation: Invocation) -> Generator[Step, Any, Outcome | None]:
        """A kept result needs no slots; all else waits until they are held."""
        if self._inner is not None:
            found = yield from self._inner.begin(invocation)
            if found is not None:
                return found
        known = known_limits(invocation.context.flow)
        if known.stale:
            yield Do(known.refresh)
        if names := known.among(invocation.run.tags):
            claim = self._claim = Claim(names, 1, None, strict=False, waits_level=logging.DEBUG)
            recorded: set[TagLimits] = set()
            while (step := (yield Do(lambda: _stepped(claim)))) is not None:
                if isinstance(step, BaseException):
                    raise step
                limits = TagLimits(tuple(names), claim.blocked, claim.issue)
                if limits not in recorded:  # recorded, but not logged: thousands may wait
                    recorded.add(limits)
                    self._wait(invocation, limits, step)
                yield Sleep(step)
            invocation.note(tag_limits=TagLimits(tuple(names)))
            invocation.context.holding = claim.holding
            enter(claim.holding)
        return None

    @staticmethod
    def _wait(invocation: Invocation, limits: TagLimits, seconds: float) -> None:
        """Record that the run waits for slots, which are requested again in `seconds`."""
        next_time = to_datetime(now_micros() + int(seconds * 1_000_000))
        facts = {**(invocation.facts or {}), "tag_limits": replace(limits, next_time=next_time)}
        decision = decide_run(invocation.run, State(RUNNING), **facts)
        if decision.until is not None:
            invocation.ledger.stay(invocation.run, decision)

    def complete(self, invocation: Invocation, value: Any) -> Generator[Step, Any, Outcome]:
        """The body returned `value`."""
        if self._inner is not None:
            return (yield from self._inner.complete(invocation, value))
        return Outcome(invocation.run, value, ok=invocation.ledger.complete(invocation.run))

    def ended(self, *, ok: bool) -> Generator[Step, Any, None]:
        """The run ended otherwise."""
        if self._inner is not None:
            yield from self._inner.ended(ok=ok)

    def forget(self, outcome: Outcome) -> None:
        """The outcome goes into a future."""
        if self._inner is not None:
            self._inner.forget(outcome)

    def release(self) -> None:
        """The run is over: its slots are let go in the background."""
        claim, self._claim = self._claim, None
        if claim is not None:
            leave(claim.holding)
            renewer().let_go(claim)
        if self._inner is not None:
            self._inner.release()


def _stepped(claim: Claim) -> float | BaseException | None:
    try:
        return claim.step()
    except BaseException as error:  # noqa: BLE001 - it is raised where the run is driven
        return error
