"""`flow.serve` and `serve`: register deployments with the local server, wait for the signal to end, pause them.

If a server runs on MINTAKA_HOME, it starts the runs; otherwise this process is the server, in a thread. If that server, which
may be another served script, ends, this process takes over: the documents are in the database, and processes of runs
outlive a server.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import warnings
from time import monotonic
from typing import TYPE_CHECKING, Any, Unpack

from mintaka.engine.loops import loop_is_running
from mintaka.exceptions import DeploymentError, InvalidSettingError, MissingContextError
from mintaka.serving.runner_deployments import RunnerDeployment, runner_deployment
from mintaka.serving.served_manifests import ServedManifests
from mintaka.serving.servers import Servers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

    from mintaka.flows import Flow
    from mintaka.serving.keyword_types import ServeWords

#: How often to check whether the server of another process still runs.
_LOOK_SECONDS = 2.0
#: How long runs that are cancelled at the end may take; after that, the next server takes them over.
_CANCEL_SECONDS = 60.0
_CANCEL_LOOK_SECONDS = 0.2


def serve_flow(flow: Flow[..., Any], name: str | None, **settings: Unpack[ServeWords]) -> None:
    """See `Flow.serve`."""
    deployment, around = _of_one(flow, name, dict(settings))
    serve_deployments((deployment,), **around)


async def aserve_flow(flow: Flow[..., Any], name: str | None, **settings: Unpack[ServeWords]) -> None:
    """See `Flow.aserve`."""
    deployment, around = _of_one(flow, name, dict(settings))
    await aserve_deployments((deployment,), **around)


def serve_deployments(deployments: tuple[RunnerDeployment, ...], limit: int | None = None, **settings: Any) -> None:
    """See `mintaka.serve`."""
    if loop_is_running():
        message = "serve(…) blocks, and an event loop runs in this thread: write `await aserve(…)`"
        raise MissingContextError(message)
    serving = Serving(deployments, limit, **settings)
    with _signals(serving):
        serving.run()


async def aserve_deployments(deployments: tuple[RunnerDeployment, ...], limit: int | None = None, **settings: Any) -> None:
    """See `mintaka.aserve`."""
    import asyncio  # noqa: PLC0415 - start-up time

    serving = Serving(deployments, limit, **settings)
    running = asyncio.ensure_future(asyncio.to_thread(serving.run))
    with _signals(serving, only=(signal.SIGTERM,)):  # SIGINT cancels the main task
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            serving.stop()
            await asyncio.wait([running])
            raise


class Serving:
    """One call of `serve`: `run` returns after `stop`, which may be called from any thread or signal handler."""

    def __init__(
        self,
        deployments: tuple[RunnerDeployment, ...],
        limit: int | None = None,
        *,
        pause_on_shutdown: bool = True,
        print_starting_message: bool = True,
        others: Iterable[str] = (),
    ) -> None:
        if not deployments or not all(isinstance(deployment, RunnerDeployment) for deployment in deployments):
            message = "serve(…) needs deployments: serve(my_flow.to_deployment('name'), …)"
            raise InvalidSettingError(message)
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            message = f"limit is a number of runs, 1 or more, not {limit!r}"
            raise InvalidSettingError(message)
        for word in others:
            warnings.warn(f"serve: {word} has no effect", UserWarning, stacklevel=3)
        self._servers = Servers(limit)
        self._manifests = ServedManifests(deployments, self._servers.namespace, limit)
        self._pause = pause_on_shutdown
        self._quiet = not print_starting_message
        self._stop = threading.Event()
        self._hurry = threading.Event()

    def stop(self) -> None:
        """End; called a second time, do not wait for runs."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def run(self) -> None:
        """Serve until `stop`.

        Raises:
            DeploymentError: no server can be started, or it refused a deployment.
        """
        with self._servers:
            first = True
            try:
                while not self._stop.is_set():
                    documents = self._servers.open()
                    self._manifests.register(documents)
                    if first and not self._quiet:
                        self._print("\n".join([*self._manifests.lines(), self._servers.line()]))
                    first = False
                    while not self._stop.wait(_LOOK_SECONDS if not self._servers.own else None) and self._servers.answers():
                        pass
            finally:
                if not first:
                    self._end()

    def _end(self) -> None:
        """Pause the schedules and, if this process is the server, cancel the runs."""
        try:
            own = self._servers.own
            if self._pause:
                self._manifests.pause(self._servers.open())
                self._report(f"paused {', '.join(self._manifests.names)}: its schedules create no runs until it is served again")
            if own:
                self._cancel_runs()
        except DeploymentError as error:
            self._report(f"the schedules of {', '.join(self._manifests.names)} could not be paused: {error}")

    def _cancel_runs(self) -> None:
        documents, deadline = self._servers.open(), monotonic() + _CANCEL_SECONDS
        cancelled: dict[str, str] = {}
        while active := [run for key in self._manifests.keys for run in documents.active_runs(*key)]:
            for run in active:
                if run["uid"] not in cancelled:
                    cancelled[run["uid"]] = run["name"]
                    documents.cancel(run["uid"])
                    self._report(f"cancelling flow run {run['name']}")
            if monotonic() > deadline or self._hurry.wait(_CANCEL_LOOK_SECONDS):
                self._report(f"not over yet: {', '.join(run['name'] for run in active)}; the next server continues with them")
                return

    def _print(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def _report(self, text: str) -> None:
        """Print a line about the end to the terminal."""
        if not self._quiet:
            sys.stderr.write(f"{text}\n")


def _of_one(flow: Flow[..., Any], name: str | None, settings: dict[str, Any]) -> tuple[RunnerDeployment, dict[str, Any]]:
    """The deployment of `flow.serve`, and the settings that are for `serve`."""
    around: dict[str, Any] = {
        word: settings.pop(word) for word in ("limit", "pause_on_shutdown", "print_starting_message") if word in settings
    }
    if settings.pop("webserver", False):
        warnings.warn("webserver has no effect: the local server has an API and a health check", UserWarning, stacklevel=4)
    deployment = runner_deployment(flow, name or flow.name, concurrency_limit=settings.pop("global_limit", None), **settings)
    return deployment, around


@contextlib.contextmanager
def _signals(serving: Serving, only: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)) -> Iterator[None]:
    """End the serving on a signal; in threads other than the main one, signals are not handled."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        serving.stop()

    before = {number: signal.signal(number, handle) for number in only}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
