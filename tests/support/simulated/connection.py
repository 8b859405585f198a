"""An operator's way to the API server: requests and answers take time, get lost, arrive late; the operator may die at each."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from mintaka_controller.ports import PortError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulated.cluster import Cluster
    from simulated.faults import Faults

#: When the caller of a request that hangs gives up, and how much later it may arrive.
_GIVES_UP_SECONDS = 5.0
_ARRIVES_LATE_SECONDS = 15.0


class Connection:
    """`die` ends the operator. `calls` counts what arrived, by name of the port's method."""

    def __init__(self, cluster: Cluster, faults: Faults, die: Callable[[], None]) -> None:
        self._cluster = cluster
        self.faults = faults
        self._die = die
        self.calls: Counter[str] = Counter()

    async def write(self, name: str, uid: str, request: Callable[[], Any]) -> Any:
        """A call that changes what belongs to the run of that uid."""

        def counted() -> Any:
            self._cluster.writes[uid] += 1
            return request()

        return await self.call(name, counted)

    async def call(self, name: str, request: Callable[[], Any]) -> Any:
        """Send a request and wait for its answer. Raises what the server raises; Unavailable if either got lost."""
        agenda, random, faults = self._cluster.agenda, self._cluster.random, self.faults
        if random.random() < faults.deadly:
            self._die()
            await asyncio.sleep(_GIVES_UP_SECONDS)  # never ends
        answer = agenda.loop.create_future()
        if random.random() < faults.hanging:
            agenda.after(_GIVES_UP_SECONDS, lambda: self._lose(answer))
            late = _GIVES_UP_SECONDS + random.uniform(0, _ARRIVES_LATE_SECONDS)
            agenda.after(late, lambda: self._arrive(name, request, answer, late=True))
        elif random.random() < faults.failing:
            agenda.after(random.uniform(0, 0.02), lambda: self._lose(answer))
        else:
            agenda.after(random.uniform(0, 0.02), lambda: self._arrive(name, request, answer))
        return await answer

    def _lose(self, answer: asyncio.Future[Any]) -> None:
        if not answer.done():
            answer.set_exception(Unavailable("no answer"))

    def _arrive(self, name: str, request: Callable[[], Any], answer: asyncio.Future[Any], *, late: bool = False) -> None:
        """The request reaches the server, whatever became of its sender."""
        random = self._cluster.random
        self.calls[name] += 1
        result: Any = None
        error: PortError | None = None
        self._cluster.late = late
        try:
            result = request()
        except PortError as refused:
            error = refused
            self.calls[f"{name}: {type(refused).__name__}"] += 1
        self._cluster.late = False
        if random.random() < self.faults.deadly:
            self._die()
        if random.random() < self.faults.failing:
            self._lose(answer)
        elif random.random() < 0.5:
            self._answer(answer, result, error)
        else:
            self._cluster.agenda.after(random.uniform(0, 0.05), lambda: self._answer(answer, result, error))

    def _answer(self, answer: asyncio.Future[Any], result: Any, error: PortError | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)
