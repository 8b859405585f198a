"""Tasks in other processes and on clusters: real processes, Dask and Ray on this machine, two workers each."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from distributed import Client, LocalCluster

from mintaka import flow, get_run_logger, task
from mintaka.cache_policies import INPUTS
from mintaka.exceptions import ClusterLost, WorkerDied
from mintaka.task_runners import DaskTaskRunner, ProcessPoolTaskRunner, RayTaskRunner
from mintaka.testing import recorded
from mintaka.transactions import transaction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mintaka.task_runners import TaskRunner

pytestmark = [
    pytest.mark.timeout(120),
    # Both libraries leave sockets and loops to the garbage collector when their workers die.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


@task
def where(n: int) -> list[int]:
    get_run_logger().warning("number %d", n)
    return [n, os.getpid()]


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def dies() -> None:
    os._exit(7)


@task
def dies_once(marks: str) -> str:
    path = f"{marks}/mark"
    if not os.path.exists(path):  # noqa: PTH110 - the smallest thing that a worker can do
        os.close(os.open(path, os.O_CREAT))
        os._exit(7)
    return "alive"


@task(timeout_seconds=0.3)
def slow() -> None:
    time.sleep(30)


@pytest.fixture(scope="module")
def dask_address() -> Iterator[str]:
    """A Dask cluster for the tests that do not break it."""
    import dask  # noqa: PLC0415 - only here

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
    ):
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """A Ray cluster for all tests: it takes seconds to start."""
    import ray  # noqa: PLC0415 - only here

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    signal.signal(signal.SIGTERM, handler)  # Ray's own would stay for all tests that follow
    yield
    ray.shutdown()


@pytest.fixture(params=["processes", "dask", "ray"])
def runner(request: pytest.FixtureRequest) -> TaskRunner:
    """Each runner on two workers."""
    if request.param == "processes":
        return ProcessPoolTaskRunner(max_workers=2)
    if request.param == "dask":
        return DaskTaskRunner(address=request.getfixturevalue("dask_address"))
    request.getfixturevalue("ray_cluster")
    return RayTaskRunner()


def test_tasks_run_in_other_processes_with_edges_results_and_logs(runner: TaskRunner, caplog: pytest.LogCaptureFixture) -> None:
    @flow(task_runner=runner)
    def main() -> Any:
        found = where.map([1, 2, 3]).result()
        first = add.submit(1, 2)
        return [[n for n, _ in found], {pid for _, pid in found}, add.submit(first, 4).result()]

    with recorded() as history:
        numbers, processes, total = main()
    assert numbers == [1, 2, 3]
    assert os.getpid() not in processes
    assert total == 7
    assert history.upstream_of("add-4") == {"add-3"}
    assert sorted(message for message in caplog.messages if message.startswith("number")) == ["number 1", "number 2", "number 3"]


def test_a_worker_that_dies_crashes_its_task_and_the_next_one_finds_another(runner: TaskRunner) -> None:
    @flow(task_runner=runner)
    def main() -> Any:
        crashed = dies.submit()
        crashed.wait()
        assert isinstance(crashed.result(raise_on_failure=False), WorkerDied)
        return [crashed.state.type, crashed.state.reason, add.submit(1, 2).result()]

    assert main() == ["CRASHED", "WorkerDied", 3]


def test_a_crash_budget_brings_the_task_through(runner: TaskRunner, tmp_path: Any) -> None:
    patient = dies_once.with_options(crash_retries=1)

    @flow(task_runner=runner)
    def main() -> Any:
        return patient.submit(str(tmp_path)).result()

    with recorded() as history:
        assert main() == "alive"
    assert history.states_of("dies_once-0") == ["Pending", "Running", "AwaitingRetry", "Pending", "Retrying", "Completed"]


def test_a_timeout_ends_a_body_that_blocks(runner: TaskRunner) -> None:
    @flow(task_runner=runner)
    def main() -> Any:
        future = slow.submit()
        future.wait()
        return [future.state.name, add.submit(1, 1).result()]

    assert main() == ["TimedOut", 2]


def test_one_key_runs_once_at_a_time_and_is_a_cache_hit_afterwards(
    runner: TaskRunner, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """However many wait for it, more than the runner has threads at home; in another flow run too, and for tasks called in a worker."""

    @task(cache_policy=INPUTS, result_storage=str(tmp_path / "results"))
    def once(n: int) -> int:
        with (tmp_path / "ran").open("a") as journal:
            journal.write(f"{n}\n")
        time.sleep(0.2)
        return 10 * n

    @task
    def around(n: int) -> int:
        return once(n)

    @flow(task_runner=runner)
    def main() -> list[str]:
        futures = [once.submit(n % 2) for n in range(40)]
        assert [future.result() for future in futures] == [0, 10] * 20
        assert around.submit(1).result() == 10
        return sorted(future.state.name for future in futures)

    assert main() == ["Cached"] * 38 + ["Completed"] * 2
    assert main() == ["Cached"] * 40
    assert sorted((tmp_path / "ran").read_text().split()) == ["0", "1"]
    assert "cannot" not in caplog.text


def test_only_the_task_of_the_dead_process_crashes() -> None:
    @task
    def waits() -> str:
        time.sleep(1)
        return "fine"

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    def main() -> Any:
        other, crashed = waits.submit(), dies.submit()
        crashed.wait()
        return [crashed.state.reason, other.result()]

    assert main() == ["WorkerDied", "fine"]


@pytest.mark.parametrize("place", ["a cluster of its own", "a cluster by its address"])
def test_the_death_of_one_dask_worker_crashes_only_the_task_that_ran_on_it(place: str, tmp_path: Path) -> None:
    """Nothing begins twice, and what had not begun runs on another worker."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    begun = tmp_path / "begun"

    @task
    def work(n: int) -> int:
        with begun.open("a") as file:
            file.write(f"{n}\n")
        time.sleep(0.1)
        if n == 1:
            os._exit(7)
        return n

    def run(runner: DaskTaskRunner) -> Any:
        @flow(task_runner=runner)
        def main() -> Any:
            futures = work.map(range(12))
            futures.wait()
            return [future.state.reason or future.result() for future in futures]

        return main()

    settings: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    if place == "a cluster of its own":
        values = run(DaskTaskRunner(cluster_kwargs=settings))
    else:
        with LocalCluster(**settings) as cluster:
            values = run(DaskTaskRunner(address=cluster.scheduler_address))
    assert values == [0, "WorkerDied", *range(2, 12)]
    assert sorted(begun.read_text().split(), key=int) == [str(n) for n in range(12)]


def test_a_cluster_that_is_lost_in_the_middle_crashes_what_it_ran() -> None:
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0")

    @task
    def waits() -> None:
        time.sleep(60)

    @flow(task_runner=DaskTaskRunner(address=cluster.scheduler_address, client_kwargs={"timeout": 5}))
    def main() -> Any:
        assert add.submit(1, 1).result() == 2
        future = waits.submit()
        with Client(cluster, set_as_default=False) as client:
            while not any(client.processing().values()):  # until a worker has it
                time.sleep(0.05)
        cluster.close()
        future.wait(60)
        return [future.state.type, future.result(raise_on_failure=False)]

    kind, error = main()
    assert kind == "CRASHED"
    assert isinstance(error, (ClusterLost, WorkerDied))  # whichever Dask notices first


@task
def pid_of(n: int) -> int:
    return n * 0 + os.getpid()


def test_results_are_cached_and_rolled_back_whatever_process_made_them(tmp_path: Path) -> None:
    """The flow's process looks, keeps and undoes; only the bodies run elsewhere."""
    cached = pid_of.with_options(cache_policy=INPUTS, result_storage=tmp_path)
    undone: list[str] = []
    hooked = pid_of.with_options(on_rollback=[lambda txn: undone.append(txn.state)])

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    def main() -> None:
        first = cached.map([1, 1, 2]).result()
        assert first[0] == first[1]
        assert os.getpid() not in first
        assert cached.map([1, 2]).result() == first[1:]
        with transaction():
            hooked.submit(1).result()
            raise KeyError

    assert main(return_state=True).error.__class__ is KeyError
    assert undone == ["ROLLED_BACK"]


TERMINATED = """
import sys
import time
from pathlib import Path
from mintaka import flow, task
from mintaka.task_runners import RayTaskRunner

@task
def naps(mark):
    Path(mark).touch()
    time.sleep(60)

@flow(task_runner=RayTaskRunner(init_kwargs={"num_cpus": 1}))
def main(mark):
    nap = naps.submit(mark)
    while not (Path(mark).exists() if mark else nap.state.is_running()):
        time.sleep(0.01)
    print("now", flush=True)
    nap.wait()

if __name__ == "__main__":
    main(sys.argv[1])
"""


@pytest.mark.parametrize("mark", ["", "mark"], ids=["while Ray starts", "while a task runs"])
def test_a_flow_whose_tasks_run_on_ray_says_why_it_ended(mark: str, tmp_path: Path) -> None:
    """Ray ends a process that asks it for anything after its shutdown, without a word."""
    script = tmp_path / "script.py"
    script.write_text(TERMINATED)
    command = [sys.executable, str(script), str(tmp_path / mark) if mark else ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = iter(process.stdout)
        assert "now\n" in said
        process.send_signal(signal.SIGTERM)
        assert "mintaka.exceptions.Terminated: the process was asked to end (SIGTERM)\n" in said
