"""A Dask cluster as an executor: calls go to the scheduler, and results come back, many at a time.

`Client.get_executor()` sends each call and fetches each result on its own, which costs half as much again as a task of
Dask's own. Here one thread hands over whatever calls have come meanwhile as one `map`, and another one gathers whatever
results are there as one `gather`. Each of the two costs milliseconds in the scheduler and the workers, however little is in
it; so after each of several, the thread rests for some multiple of what it took. What comes alone keeps nothing waiting.
"""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Executor, Future
from functools import partial
from importlib import import_module
from queue import SimpleQueue
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from mintaka.executing.executors import not_installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: How many times as long as a batch took its thread rests afterwards, and for how many seconds at most.
_REST, _LONGEST_REST_SECONDS = 4, 0.05


class DaskExecutor(Executor):
    """An existing cluster by its address or object, or one made for the flow run, which ends with it."""

    def __init__(
        self,
        address: str | None,
        cluster: Any,
        cluster_class: Any,
        cluster_kwargs: dict[str, Any],
        adapt: dict[str, Any],
        client: dict[str, Any],
    ) -> None:
        try:
            import dask  # noqa: PLC0415 - optional
            import distributed  # noqa: PLC0415 - optional
        except ImportError as error:
            raise not_installed(extra="dask") from error
        self._own: Any = None
        if address is None and cluster is None:
            made = _imported(cluster_class) if isinstance(cluster_class, str) else cluster_class or distributed.LocalCluster
            defaults = {"processes": True, "dashboard_address": "127.0.0.1:0"} if cluster_class is None else {}
            # A body that kills its worker would be run again on the next one and kill that; whether it is, its budget says.
            with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
                self._own = cluster = made(**defaults | cluster_kwargs)
            if adapt:
                cluster.adapt(**adapt)
        connect: Any = distributed.Client
        self._client: Any = connect(address or cluster, set_as_default=False, **client)
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[_Call, Any] | None] = SimpleQueue()
        for work in (self._hand_over, self._gather):
            threading.Thread(target=work, name=f"mintaka-dask{work.__name__}", daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have `fn` called on a worker."""
        call = _Call(partial(fn, **kwargs) if kwargs else fn, args)
        self._calls.put(call)
        return call.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - what is left when a flow is over is unwanted
        """Leave the cluster, and end it where it is ours."""
        self._calls.put(None)
        self._done.put(None)
        self._client.close()
        if self._own is not None:
            self._own.close()

    def _hand_over(self) -> None:
        for calls in _batches(self._calls):
            wanted = [call for call in calls if not call.future.cancelled()]
            for fn, number in dict.fromkeys((call.fn, len(call.args)) for call in wanted):
                same = [call for call in wanted if call.fn is fn and len(call.args) == number]
                try:
                    futures = self._client.map(fn, *zip(*(call.args for call in same), strict=True), pure=False, retries=0)
                except Exception as error:  # noqa: BLE001 - whatever a client without its cluster raises
                    for call in same:
                        call.future.set_exception(error)
                    continue
                for call, future in zip(same, futures, strict=True):
                    call.sent = future
                    future.add_done_callback(lambda future, call=call: self._done.put((call, future)))
                    if call.future.cancelled():
                        future.cancel()

    def _gather(self) -> None:
        for batch in _batches(self._done):
            done = [(call, future) for call, future in batch if call.future.set_running_or_notify_cancel()]
            finished = [(call, future) for call, future in done if future.status == "finished"]
            for call, future in done:
                if future.status != "finished":
                    call.future.set_exception(_failure(future))
            try:
                results = self._client.gather([future for _, future in finished])
            except (Exception, CancelledError) as error:  # noqa: BLE001 - as above
                for call, _ in finished:
                    call.future.set_exception(error)
            else:
                for (call, _), result in zip(finished, results, strict=True):
                    call.future.set_result(result)


class _Call:
    """A call, the future that its caller has, and Dask's own once it was handed over. It runs when a worker is free, which
    is not known here, so it can be cancelled until its result is there.
    """

    __slots__ = ("args", "fn", "future", "sent")

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.fn = fn
        self.args = args
        self.sent: Any = None
        self.future: Future[Any] = Future()
        self.future.add_done_callback(self._cancelled)

    def _cancelled(self, future: Future[Any]) -> None:
        if future.cancelled() and self.sent is not None:
            self.sent.cancel()


def _batches[T](queue: SimpleQueue[T | None]) -> Iterator[list[T]]:
    """Everything that is in the queue, whenever there is something and the rest after a batch is over; None ends it."""
    while True:
        batch = [queue.get()]
        batch += [queue.get() for _ in range(queue.qsize())]
        began = monotonic()
        yield [item for item in batch if item is not None]
        if None in batch:
            return
        if len(batch) > 1:
            sleep(min(_REST * (monotonic() - began), _LONGEST_REST_SECONDS))


def _failure(future: Any) -> BaseException:
    """Why a future of Dask did not finish."""
    if future.status == "error":
        error: BaseException = future.exception()
        return error
    return ConnectionError(f"Dask {future.status} the task")


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)
