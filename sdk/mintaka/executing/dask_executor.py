"""A Dask cluster as an executor: calls go to the scheduler, and results come back, many at a time.

`Client.get_executor()` sends each call and fetches each result on its own, which costs half as much again as a task of
Dask's own. Here one thread hands over whatever calls have come meanwhile as one `map`, and another one gathers whatever
results are there as one `gather`. Each of the two costs milliseconds in the scheduler and the workers, however little is in
it; so after each of several, the thread rests for some multiple of what it took. What comes alone keeps nothing waiting.

When a worker dies, Dask fails whatever it had sent there, or runs it again, as its settings say. What had begun has crashed and is not
started twice (`mintaka.executing.start_marks`); all else runs elsewhere. Results are released as soon as they are here, else Dask
would make them again.
"""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Executor, Future
from contextlib import suppress
from functools import partial
from importlib import import_module
from itertools import count
from math import inf
from queue import SimpleQueue
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from mintaka.executing.executors import not_installed
from mintaka.executing.start_marks import StartMarks, run_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: How often it is looked whether the cluster has workers, and how long it may have had none; a nanny starts one in a few seconds.
_LOOK_SECONDS, _WITHOUT_WORKERS_SECONDS = 1.0, 15.0
#: How often a call may be sent to a worker that dies before it begins.
_DEATHS_BEFORE_A_START = 10
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
        self._marks = StartMarks()
        self._numbers = count()
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[_Call, Any] | None] = SimpleQueue()
        #: Calls that Dask has, and since when.
        self._out: dict[_Call, float] = {}
        self._closed = threading.Event()
        for work in (self._hand_over, self._gather, self._look_after_workers):
            threading.Thread(target=work, name=f"mintaka-dask{work.__name__}", daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have `fn` called on a worker."""
        call = _Call(partial(fn, **kwargs) if kwargs else fn, args, next(self._numbers))
        self._calls.put(call)
        return call.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - what is left when a flow is over is unwanted
        """Leave the cluster, and end it where it is ours."""
        self._closed.set()
        self._calls.put(None)
        self._done.put(None)
        self._client.close()
        if self._own is not None:
            self._own.close()
        self._marks.close()

    def _hand_over(self) -> None:
        for calls in _batches(self._calls):
            wanted = [call for call in calls if not call.future.cancelled()]
            for fn, number in dict.fromkeys((call.fn, len(call.args)) for call in wanted):
                same = [call for call in wanted if call.fn is fn and len(call.args) == number]
                try:
                    columns = zip(*((call.number, *call.args) for call in same), strict=True)
                    name = getattr(fn, "__name__", "call")
                    futures = self._client.map(run_once, *columns, key=name, pure=False, retries=0, path=self._marks.path, fn=fn)
                except Exception as error:  # noqa: BLE001 - whatever a client without its cluster raises
                    for call in same:
                        call.end(None, error)
                    continue
                for call, future in zip(same, futures, strict=True):
                    call.sent = future
                    self._out[call] = monotonic()
                    self._watch(call, future)
                    if call.future.cancelled():
                        future.cancel()

    def _watch(self, call: _Call, future: Any) -> None:
        future.add_done_callback(lambda future: self._done.put((call, future)))

    def _gather(self) -> None:
        for batch in _batches(self._done):
            finished = []
            for call, future in batch:
                status = future.status
                if status == "pending":  # it was finished, but its worker died with the result
                    self._watch(call, future)
                elif status == "finished":
                    finished.append((call, future))
                else:
                    self._failed(call, _failure(future))
            self._bring(finished)

    def _end(self, call: _Call, result: Any = None, error: BaseException | None = None) -> None:
        self._out.pop(call, None)
        call.end(result, error)

    def _failed(self, call: _Call, error: BaseException) -> None:
        """It is over without a result, or is sent again if it has only waited on a worker that died."""
        waited = type(error).__name__ == "KilledWorker" and self._marks.excludes(call.number)
        if waited and call.deaths < _DEATHS_BEFORE_A_START and not call.future.cancelled():
            call.deaths += 1
            call.sent = None
            self._out.pop(call, None)
            self._calls.put(call)
        else:
            self._end(call, error=error)

    def _look_after_workers(self) -> None:
        """End calls that were out when the last worker went, if none comes for a while. A cluster that just starts, or that is scaled up
        for calls that come later, is waited for.
        """
        seen = -inf
        while True:
            with suppress(Exception):  # if the scheduler is gone, its client tells each call
                if self._client.nthreads():
                    seen = monotonic()
            if self._closed.wait(_LOOK_SECONDS):
                return
            if monotonic() - seen < _WITHOUT_WORKERS_SECONDS:
                continue
            for call in [call for call, since in tuple(self._out.items()) if since < seen + 2 * _LOOK_SECONDS]:
                sent = call.sent
                self._end(call, error=ConnectionError(f"its Dask cluster has had no worker for {_WITHOUT_WORKERS_SECONDS:g} s"))
                if sent is not None:
                    sent.cancel()

    def _bring(self, finished: list[tuple[_Call, Any]]) -> None:
        """Fetch results that are on workers."""
        try:
            results = self._client.gather([future for _, future in finished])
        except (Exception, CancelledError) as error:  # noqa: BLE001 - as above
            if len(finished) == 1:
                self._end(finished[0][0], error=error)
            else:
                for one in finished:  # what became of one result is nothing to the others
                    self._bring([one])
        else:
            for (call, _), result in zip(finished, results, strict=True):
                self._end(call, result)


class _Call:
    """A call, the future that its caller has, and Dask's own once it was handed over. It runs when a worker is free, which
    is not known here, so it can be cancelled until its result is there.
    """

    __slots__ = ("_ending", "args", "deaths", "fn", "future", "number", "sent")

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], number: int) -> None:
        self.fn = fn
        self.number = number
        #: How many workers died before they began with it.
        self.deaths = 0
        self._ending = threading.Lock()
        self.args = args
        self.sent: Any = None
        self.future: Future[Any] = Future()
        self.future.add_done_callback(self._cancelled)

    def end(self, result: Any, error: BaseException | None) -> None:
        """It is over, with a result or an error; only the first end counts."""
        self.sent = None
        if not self._ending.acquire(blocking=False) or not self.future.set_running_or_notify_cancel():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)

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
