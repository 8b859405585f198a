"""What the mirror keeps until it is written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api_testing import ORDINARY, seen_run
from mintaka_api.backlog import Backlog, Batch
from mintaka_api.snapshots import RunSnapshot, snapshot_of
from mintaka_core.resources import FlowDeployment


def snapshot(name: str, last: int, version: int | None = None, kept: int = 32) -> RunSnapshot:
    """A snapshot of a run after `last` transitions, of which the status still has `kept`."""
    document = seen_run(name, ORDINARY[:last], version=version or last)
    document["status"]["transitions"] = document["status"]["transitions"][-kept:]
    return snapshot_of(document, float(last))


def test_transitions_of_several_snapshots_are_collected() -> None:
    """The latest state, and all transitions, even those that a later status no longer has."""
    backlog = Backlog()
    for last in (1, 2, 3, 4):
        backlog.add_run(snapshot("one", last, kept=1))
    (run,) = backlog.take(10).runs
    assert run.parsed().run.status.sequence == 4
    assert sorted(run.parsed().transitions) == [1, 2, 3, 4]
    assert run.received == 1.0


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=12))
def test_a_batch_put_back_is_as_if_it_had_never_been_taken(steps: list[tuple[int, bool]]) -> None:
    """Taking, failing and putting back at any moment loses nothing."""
    backlog = Backlog()
    for last, fails in steps:
        backlog.add_run(snapshot("one", last, kept=1))
        if fails:
            backlog.take(10)
            backlog.add_run(snapshot("two", 1))
            backlog.put_back()
    runs = {run.uid: run for run in backlog.take(10).runs}
    if steps:
        one = runs[snapshot("one", 1).uid]
        assert set(one.parsed().transitions) == {last for last, _ in steps}
        assert one.parsed().run.status.sequence == max(last for last, _ in steps)


def test_a_run_that_vanishes_before_it_was_written_is_still_written() -> None:
    """Its last snapshot is marked gone, whether it vanished before or after the batch failed."""
    backlog = Backlog()
    backlog.add_run(snapshot("one", 2))
    backlog.vanish_run(snapshot("one", 2).uid, 7)
    batch = backlog.take(10)
    assert (batch.runs[0].gone_time, batch.vanished_runs) == (7, {})
    backlog.add_run(snapshot("two", 2))
    taken = backlog.take(10)
    backlog.vanish_run(taken.runs[0].uid, 8)
    backlog.put_back()
    again = backlog.take(10)
    assert (again.runs[0].gone_time, again.vanished_runs) == (8, {})


def test_halves_are_smaller_and_together_the_whole() -> None:
    """Dividing a batch ends with single objects."""
    backlog = Backlog()
    for name in ("a", "b", "c"):
        backlog.add_run(snapshot(name, 1))
    backlog.vanish_run("gone", 1)
    backlog.vanish_deployment("gone too", 1)

    def leaves(batch: Batch) -> int:
        return 1 if len(batch) == 1 else sum(leaves(half) for half in batch.halves())

    assert leaves(backlog.take(10)) == 5
    assert len(backlog) == 0


def test_a_batch_is_limited_and_the_oldest_go_first() -> None:
    """Runs wait in the order they were first seen."""
    backlog = Backlog()
    for position in range(5):
        backlog.add_run(snapshot(f"run-{position}", 1))
    assert [run.parsed().run.metadata.name for run in backlog.take(2).runs] == ["run-0", "run-1"]
    assert len(backlog) == 3


def test_of_many_versions_of_a_run_only_those_are_kept_whose_transitions_the_others_lack() -> None:
    """A database that is away for a day of retries does not cost the memory of every event."""
    states = ("SCHEDULED", "PENDING", "RUNNING", "CRASHED") * 40
    backlog = Backlog()
    for last in range(1, len(states) + 1):
        document = seen_run("one", states[:last], version=last)
        document["status"]["transitions"] = document["status"]["transitions"][-32:]
        backlog.add_run(snapshot_of(document, 0.0))
    (run,) = backlog.take(10).runs
    assert sorted(run.parsed().transitions) == list(range(1, 161))
    assert len(run.older) <= 5


def test_what_is_being_written_is_known_as_well() -> None:
    """A run that vanishes while its batch is written would otherwise be missed by nobody."""
    backlog = Backlog()
    backlog.add_run(snapshot("one", 2))
    backlog.take(10)
    backlog.add_run(snapshot("two", 3))
    assert backlog.present() == {snapshot("one", 2).uid: "2", snapshot("two", 3).uid: "3"}
    backlog.forget_taken()
    assert backlog.present() == {snapshot("two", 3).uid: "3"}


def test_a_batch_of_large_objects_has_few_of_them() -> None:
    """Masking their schemas takes time, and there is only one writer; the others follow in the next batches."""
    backlog = Backlog()
    schema = {"x": "y" * 200_000}
    for number in range(60):
        large = seen_run(f"run-{number}", spec={"template": {"entrypoint": "a:b", "parameterSchema": schema}})
        backlog.add_run(snapshot_of(large, 0.0))
        metadata = {"name": f"d-{number}", "uid": f"d-{number}"}
        backlog.add_deployment(FlowDeployment.model_validate({"metadata": metadata, "spec": {"entrypoint": "a:b"}}), None)
    runs, deployments = list[str](), list[str]()
    while batch := backlog.take(500):
        assert len(batch.runs) <= 21
        assert len(batch.deployments) <= 20
        runs += [run.uid for run in batch.runs]
        deployments += batch.deployments
    assert len(set(runs)) == len(runs) == 60
    assert deployments == [f"d-{number}" for number in range(60)]
