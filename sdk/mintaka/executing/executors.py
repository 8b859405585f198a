"""Processes and Ray in the one shape that the standard library gives executors; each is imported when it is made."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import Executor
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from mintaka.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

#: The exit code of a worker whose flow is gone; nobody reads it.
_ORPHANED = 1
#: How long Ray may take to kill the workers of what was cancelled.
_CANCEL_SECONDS = 5.0


class ProcessExecutor(Executor):
    """Processes started with "spawn". Unlike the standard library's, it survives the death of a worker: only what that one
    ran is lost.
    """

    def __init__(self, max_workers: int) -> None:
        from multiprocessing import get_context  # noqa: PLC0415 - start-up time

        from pebble import ProcessPool  # noqa: PLC0415 - start-up time

        self._pool: Any = ProcessPool(max_workers, initializer=_begin_worker, context=get_context("spawn"))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have `fn` called in one of the processes."""
        future: Future[Any] = self._pool.schedule(fn, args=args, kwargs=kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - what is left when a flow is over is unwanted
        """End the processes, whatever they are doing."""
        self._pool.stop()
        self._pool.join()


def _begin_worker() -> None:
    """Ctrl-C reaches every process of a terminal; what to make of it is the flow's business. What its tasks start ends with a worker,
    and a worker ends with the flow's process.
    """
    from mintaka.context import CURRENT  # noqa: PLC0415 - start-up time of the flow's process
    from mintaka.engine.child_processes import CHILD_PROCESSES  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    CHILD_PROCESSES.serve_tasks(CURRENT.get)
    threading.Thread(target=_end_with_parent, name="mintaka-parent", daemon=True).start()


def _end_with_parent() -> None:
    from multiprocessing import parent_process  # noqa: PLC0415 - start-up time of the flow's process

    from mintaka.engine.child_processes import CHILD_PROCESSES  # noqa: PLC0415

    parent = parent_process()
    if parent is not None:
        parent.join()
        CHILD_PROCESSES.end_all()
        os._exit(_ORPHANED)


class RayExecutor(Executor):
    """A Ray cluster: an existing one by its address, or a local one, which ends with the flow run."""

    def __init__(self, address: str | None, init_kwargs: dict[str, Any]) -> None:
        try:
            import ray  # noqa: PLC0415 - optional
        except ImportError as error:
            raise not_installed(extra="ray") from error
        self._ray = ray
        self._remote = cache(ray.remote(max_retries=0))
        self._own = not ray.is_initialized()
        self._lock = threading.Lock()
        self._closed = False
        self._running: dict[Future[Any], Any] = {}
        if self._own:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            local = {"_node_ip_address": "127.0.0.1"} if address is None else {}
            settings = {"include_dashboard": False, "configure_logging": False, "log_to_driver": False}
            ray.init(address=address, **settings | local | init_kwargs)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have `fn` called by a worker; a body whose worker dies is not run again by Ray."""
        with self._lock:
            if self._closed:
                message = "cannot schedule new futures after shutdown"
                raise RuntimeError(message)
            reference = self._remote(fn).remote(*args, **kwargs)
            future: Future[Any] = reference.future()
            self._running[future] = reference
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future: Future[Any]) -> None:
        if not future.cancelled():  # else Ray does not know of it
            self._running.pop(future, None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - as above
        """End what still runs, and leave the cluster where it was us who joined it."""
        # Ray ends this very process, without a word of Python's, where it is asked for anything after its shutdown.
        with self._lock:
            self._closed = True
        running = list(self._running.values())
        with suppress(Exception):  # the cluster may be gone
            for reference in running:
                self._ray.cancel(reference, force=True)
            self._ray.wait(running, num_returns=len(running), timeout=_CANCEL_SECONDS)
        if self._own:
            with suppress(Exception):
                self._ray.shutdown()


def not_installed(extra: str) -> ConfigurationError:
    """What to do where an extra is missing."""
    message = f"this task runner needs more than is installed: pip install 'mintaka[{extra}]'"
    return ConfigurationError(message)
