"""Where submitted tasks run. One runner serves a flow run and, unless they name their own, its subflows."""

from __future__ import annotations

import copy
import os
from abc import ABC, abstractmethod
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Protocol, Self

from mintaka.exceptions import InvalidSettingError, MissingContextError, message_of
from mintaka.executing.pool import SlotPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from mintaka.executing.elsewhere import Dispatcher
    from mintaka.executing.jobs import Job

#: Threads of the default runner: enough for tasks that wait on the network, few enough for 100,000 mapped calls.
DEFAULT_MAX_WORKERS = 32


class TaskRunner(Protocol):
    """Runs jobs that are ready; made anew for each flow run by `duplicate`."""

    def duplicate(self) -> TaskRunner:
        """A runner of the same kind and size for one flow run."""

    def submit(self, job: Job) -> None:
        """Run `job` some time soon, in another thread."""

    def queued(self) -> list[Job]:
        """The jobs that wait because as many run as the user allowed."""

    def drop_queue(self) -> None:
        """Forget the jobs that have not begun."""

    def close(self) -> None:
        """No more jobs will come; does not wait for those that run."""


class ThreadPoolTaskRunner:
    """Runs tasks in threads, at most `max_workers` at a time (None: 32)."""

    def __init__(self, max_workers: int | None = None) -> None:
        self._bounded = max_workers is not None
        self.max_workers = DEFAULT_MAX_WORKERS if max_workers is None else max_workers
        self._pool = SlotPool(self.max_workers)

    def duplicate(self) -> ThreadPoolTaskRunner:
        """A pool of the same size for one flow run."""
        return ThreadPoolTaskRunner(self.max_workers if self._bounded else None)

    def submit(self, job: Job) -> None:
        """Run `job` when one of the threads is free."""
        self._pool.submit(job)

    def queued(self) -> list[Job]:
        """The jobs that wait because as many run as the user allowed; none if that was left to the runner."""
        return self._pool.queued() if self._bounded else []

    def drop_queue(self) -> None:
        """Forget the jobs that have not begun."""
        self._pool.drop_queue()

    def close(self) -> None:
        """End the threads once the queue is empty."""
        self._pool.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return (ThreadPoolTaskRunner, (self.max_workers if self._bounded else None,))

    def __repr__(self) -> str:
        return f"ThreadPoolTaskRunner(max_workers={self.max_workers})"


#: The name that Prefect has for it, too.
ConcurrentTaskRunner = ThreadPoolTaskRunner


class RemoteTaskRunner(ABC):
    """What runs the bodies of tasks elsewhere, on the executor that `make_executor` gives; the rest stays in the flow's process.

    Functions and arguments are pickled by cloudpickle. The executor is made when the first task of a flow run comes, and
    shut down when the flow run is over. At most `limit` tasks are out at a time (None: all that are ready).
    """

    limit: int | None = None
    _dispatcher: Dispatcher | None = None

    @abstractmethod
    def make_executor(self) -> Executor:
        """The executor of one flow run."""

    def duplicate(self) -> Self:
        """A runner with an executor of its own for one flow run."""
        from mintaka.executing.elsewhere import Dispatcher  # noqa: PLC0415 - start-up time, and it would be a cycle

        other = copy.copy(self)
        other._dispatcher = Dispatcher(other.make_executor, other.limit)  # noqa: SLF001 - its own class
        return other

    @property
    def dispatcher(self) -> Dispatcher:
        """What this runner's jobs go through; only a duplicate, which belongs to a flow run, has one."""
        if self._dispatcher is None:
            message = f"{type(self).__name__} runs tasks of a flow run: give it to @flow(task_runner=…)"
            raise MissingContextError(message)
        return self._dispatcher

    def submit(self, job: Job) -> None:
        """Have the body of `job` run by the executor."""
        self.dispatcher.submit(job)

    def queued(self) -> list[Job]:
        """The jobs that wait because as many as the limit are out."""
        return self.dispatcher.queued()

    def drop_queue(self) -> None:
        """Forget the jobs whose body has not begun."""
        self.dispatcher.drop_queue()

    def close(self) -> None:
        """Shut the executor down; bodies that still run are not waited for."""
        self.dispatcher.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_dispatcher"}


class ExecutorTaskRunner(RemoteTaskRunner):
    """Runs tasks on an executor of yours: `ExecutorTaskRunner(lambda: MyExecutor(8))`; `make` is called for each flow run."""

    def __init__(self, make: Callable[[], Executor], limit: int | None = None) -> None:
        if not callable(make) or iscoroutinefunction(make):
            message = f"ExecutorTaskRunner takes a sync function that makes an executor, not {make!r}"
            raise InvalidSettingError(message)
        self.limit = limit
        self._make = make

    def make_executor(self) -> Executor:
        """What `make` gives."""
        return self._make()


class ProcessPoolTaskRunner(RemoteTaskRunner):
    """Runs tasks in `max_workers` processes (None: one for each CPU). A process that dies takes only its own task with it.

    The processes import the script that is run, as `multiprocessing` does: let it call its flow under
    `if __name__ == "__main__":`.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        self.max_workers = os.cpu_count() or 1 if max_workers is None else max_workers
        if self.max_workers < 1:
            message = f"max_workers must be at least 1, not {max_workers}"
            raise ValueError(message)
        self.limit = self.max_workers

    def make_executor(self) -> Executor:
        """The processes of one flow run."""
        from mintaka.executing.executors import ProcessExecutor  # noqa: PLC0415 - start-up time

        return ProcessExecutor(self.max_workers)

    def __repr__(self) -> str:
        return f"ProcessPoolTaskRunner(max_workers={self.max_workers})"


class DaskTaskRunner(RemoteTaskRunner):
    """Runs tasks on a Dask cluster (`pip install 'mintaka[dask]'`).

    Args:
        cluster: a cluster object that is there already.
        address: the scheduler of a cluster that is there already.
        cluster_class: what makes a cluster for each flow run, or its import path (None: `distributed.LocalCluster`).
        cluster_kwargs: its arguments, such as `{"n_workers": 4, "threads_per_worker": 1}`.
        adapt_kwargs: arguments of the cluster's `adapt`.
        client_kwargs: arguments of `distributed.Client`.
    """

    def __init__(
        self,
        cluster: Any = None,
        address: str | None = None,
        cluster_class: Any = None,
        cluster_kwargs: dict[str, Any] | None = None,
        adapt_kwargs: dict[str, Any] | None = None,
        client_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if sum(given is not None for given in (cluster, address, cluster_class)) > 1:
            message = "DaskTaskRunner takes one of cluster, address and cluster_class"
            raise ValueError(message)
        self._settings = (address, cluster, cluster_class, cluster_kwargs or {}, adapt_kwargs or {}, client_kwargs or {})

    def make_executor(self) -> Executor:
        """A client of the cluster."""
        from mintaka.executing.dask_executor import DaskExecutor  # noqa: PLC0415 - start-up time

        return DaskExecutor(*self._settings)


class RayTaskRunner(RemoteTaskRunner):
    """Runs tasks on a Ray cluster (`pip install 'mintaka[ray]'`): the one at `address`, or a local one for each flow run.

    `init_kwargs` are arguments of `ray.init`, such as `{"num_cpus": 2}`.
    """

    def __init__(self, address: str | None = None, init_kwargs: dict[str, Any] | None = None) -> None:
        self.address = address
        self.init_kwargs = init_kwargs or {}

    def make_executor(self) -> Executor:
        """A client of the cluster."""
        from mintaka.executing.executors import RayExecutor  # noqa: PLC0415 - start-up time

        return RayExecutor(self.address, self.init_kwargs)


def task_runner_of(given: TaskRunner | type[TaskRunner] | None, owner: str) -> TaskRunner | None:
    """The task runner itself, or one of the class that was `given`; `owner` is what it is given to (`flow etl`).

    Raises:
        InvalidSettingError: the class cannot be called without arguments.
    """
    if not isinstance(given, type):
        return given
    try:
        return given()
    except Exception as error:
        message = (
            f"task_runner of {owner} is the class {given.__name__}, which cannot be called without arguments: {message_of(error)}; "
            f"give a runner, such as task_runner={given.__name__}(…)"
        )
        raise InvalidSettingError(message) from error
