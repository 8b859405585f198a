"""What is known of the cluster only moves forward, and its indices agree with it after whatever happened."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintaka_controller.ports import OwnedWorkload, Snapshot
from mintaka_controller.run_cache import RunCache, name_of, version_of
from mintaka_controller.workload_cache import WorkloadCache
from mintaka_core.names import API_VERSION
from mintaka_core.workloads import Phase, Workload
from mintaka_operator.kubernetes_workloads import owned_workload


def flow_run(name: str = "a", version: int = 1, uid: str = "u1", deployment: str = "", state: str = "", **status: Any) -> dict[str, Any]:
    """A FlowRun."""
    spec = {"deployment": deployment} if deployment else {}
    kept = {"state": {"type": state, "reason": "Why"}, **status} if state else {}
    return {"metadata": {"namespace": "n", "name": name, "uid": uid, "resourceVersion": str(version)}, "spec": spec, "status": kept}


def pod(
    name: str = "a-1",
    version: int = 1,
    uid: str = "p1",
    run: str | None = "a",
    run_uid: str = "u1",
    attempt: int = 1,
    phase: str = "Pending",
) -> dict[str, Any]:
    """A pod of a FlowRun, or of nobody's."""
    owners = (
        [{"apiVersion": API_VERSION, "kind": "FlowRun", "name": run, "uid": run_uid}] if run else [{"kind": "Job", "name": "j", "uid": "x"}]
    )
    metadata = {"namespace": "n", "name": name, "uid": uid, "resourceVersion": str(version), "creationTimestamp": "2026-03-04T05:00:00Z"}
    return {
        "metadata": {**metadata, "labels": {"mintaka.dev/attempt": str(attempt)}, "ownerReferences": owners},
        "status": {"phase": phase},
    }


def owned(**values: Any) -> OwnedWorkload:
    """A pod of a FlowRun as the cache takes it."""
    found = owned_workload(pod(**values))
    assert found is not None
    return found


class TestRunCache:
    def test_an_object_is_kept_with_what_is_asked_of_many_at_once(self) -> None:
        store = RunCache()
        assert store.put(Snapshot(flow_run(version=7, deployment="d", state="FAILED", endTime="2026-03-04T05:00:00.000001Z")))
        entry = store.get(("n", "a"))
        assert entry
        assert (entry.version, entry.uid, entry.deployment, entry.state, entry.end_reason) == (7, "u1", "d", "FAILED", "Why")
        assert entry.end_time == datetime(2026, 3, 4, 5, 0, 0, 1, UTC)
        assert entry.finished

    @pytest.mark.parametrize(
        "end",
        [
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+12:00",
            "9999-12-31T23:59:59-12:00",
            "10000-01-01T00:00:00Z",
            "2026-03-04T05:00:00",
            "?",
        ],
    )
    def test_no_time_of_a_users_is_beyond_comparison(self, end: str) -> None:
        """A user with access to the status may write any time that the API server admits."""
        store = RunCache()
        for name, time in (("a", "2026-03-04T05:00:00Z"), ("b", end), ("c", "2026-03-04T06:00:00Z")):
            store.put(Snapshot(flow_run(name, deployment="d", state="FAILED", endTime=time)))
        assert {name for name, _ in store.oldest_finished(("n", "d"), 0, 10)} == {("n", "a"), ("n", "b"), ("n", "c")}
        assert store.latest_finished(("n", "d"))
        assert store.count_active(("n", "d")) == 0
        entry = store.get(("n", "b"))
        assert entry
        assert entry.end_time
        assert entry.end_time.astimezone(timezone(timedelta(hours=14))) + timedelta(days=365_000), "it can be calculated with"

    def test_a_run_that_goes_on_is_not_finished(self) -> None:
        store = RunCache()
        store.put(Snapshot(flow_run(state="RUNNING")))
        store.put(Snapshot(flow_run("b")))
        assert [bool((entry := store.get(("n", name))) and entry.finished) for name in "ab"] == [False, False]

    @pytest.mark.parametrize(("version", "news"), [(6, False), (7, False), (8, True)])
    def test_only_what_is_newer_is_news(self, version: int, news: bool) -> None:
        store = RunCache()
        store.put(Snapshot(flow_run(version=7, state="PENDING")))
        assert store.put(Snapshot(flow_run(version=version, state="RUNNING"))) is news
        assert dict(+store.states) == {"RUNNING" if news else "PENDING": 1}

    def test_versions_are_compared_as_numbers(self) -> None:
        store = RunCache()
        store.put(Snapshot(flow_run(version=9)))
        assert store.put(Snapshot(flow_run(version=10)))

    def test_an_object_of_another_uid_is_not_removed(self) -> None:
        store = RunCache()
        store.put(Snapshot(flow_run(uid="new")))
        assert not store.remove(("n", "a"), "old")
        assert store.remove(("n", "a"), "new")
        assert not store.remove(("n", "a"), "new"), "it was known no more"

    def test_it_is_removed_whatever_its_uid_where_none_is_named(self) -> None:
        store = RunCache()
        store.put(Snapshot(flow_run()))
        assert store.remove(("n", "a"))
        assert len(store) == 0

    def test_managed_fields_are_not_kept(self) -> None:
        store, run = RunCache(), flow_run()
        run["metadata"]["managedFields"] = [{"manager": "kubectl"}]
        store.put(Snapshot(run))
        raw = store.raw(("n", "a"))
        assert raw
        assert b"managedFields" not in raw

    def test_names_and_versions_are_read_from_metadata(self) -> None:
        assert name_of({"metadata": {"name": "x"}}) == ("", "x")
        assert version_of({"metadata": {"name": "x"}}) == 0


resource_changes = st.lists(
    st.tuples(
        st.sampled_from(["put", "remove"]),
        st.sampled_from("abc"),
        st.integers(1, 12),
        st.sampled_from(["u1", "u2"]),
        st.sampled_from(["", "d", "e"]),
        st.sampled_from(["", "PENDING", "RUNNING", "FAILED"]),
    ),
    max_size=30,
)
pod_changes = st.lists(
    st.tuples(
        st.sampled_from(["put", "remove"]),
        st.sampled_from(["a-1", "a-2", "b-1"]),
        st.integers(1, 12),
        st.sampled_from(["p1", "p2"]),
        st.sampled_from(["a", "b", None]),
        st.sampled_from(["Pending", "Failed"]),
    ),
    max_size=30,
)


class TestAnySequenceOfChanges:
    @given(resource_changes)
    def test_resources_and_their_indices_agree_with_a_plain_dict(self, changes: list[tuple[str, str, int, str, str, str]]) -> None:
        store, model = RunCache(), dict[str, tuple[int, str, str, str]]()
        for change, name, version, uid, deployment, state in changes:
            known = model.get(name)
            if change == "put":
                news = known is None or version > known[0]
                assert store.put(Snapshot(flow_run(name, version, uid, deployment, state))) is news
                if news:
                    model[name] = (version, uid, deployment, state)
            else:
                there = known is not None and known[1] == uid
                assert store.remove(("n", name), uid) is there
                if there:
                    del model[name]
            assert dict(+store.states) == Counter(state for _, _, _, state in model.values())
            assert sorted(store.names()) == sorted(("n", name) for name in model)
            for of in ("d", "e", ""):
                expected = {("n", name) for name, kept in model.items() if kept[2] == of and of}
                assert set(store.active(("n", of))) == expected, "none of them has an end time"

    @given(pod_changes)
    def test_pods_and_their_indices_agree_with_a_plain_dict(self, changes: list[tuple[str, str, int, str, str | None, str]]) -> None:
        store, model = WorkloadCache(), dict[str, tuple[int, str, str, str]]()
        for change, name, version, uid, run, phase in changes:
            known = model.get(name)
            if change == "put":
                owned = owned_workload(pod(name, version, uid, run, phase=phase, attempt=int(name[-1])))
                assert (owned is None) == (run is None)
                if owned and run:
                    news = known is None or version > known[0]
                    changed = store.put(owned)
                    assert changed == (news and (known is None or known[1:] != (uid, run, phase)))
                    if news:
                        model[name] = (version, uid, run, phase)
            else:
                there = known is not None and known[1] == uid
                assert store.remove(("n", name), uid) == (("n", known[2]) if known and there else None)
                if there:
                    del model[name]
            assert sorted(store.names()) == sorted(("n", name) for name in model)
            assert set(store.runs()) == {("n", kept[2]) for kept in model.values()}
            for of in ("a", "b"):
                expected = {(name, kept[1]) for name, kept in model.items() if kept[2] == of}
                seen = store.of_run(("n", of))
                assert {(workload.name, workload.uid) for workload in seen.values()} <= expected
                assert set(seen) == {int(name[-1]) for name, _ in expected}


class TestWorkloadCache:
    def test_only_what_matters_to_the_run_is_news(self) -> None:
        store = WorkloadCache()
        assert store.put(owned(version=1))
        assert not store.put(owned(version=2)), "the same diagnosis"
        assert store.put(owned(version=3, phase="Failed"))
        assert not store.put(owned(version=2)), "an old event"

    def test_workloads_are_those_of_the_run_of_that_uid(self) -> None:
        store = WorkloadCache()
        store.put(owned(run_uid="old"))
        assert list(store.of_run(("n", "a"), "old")) == [1]
        assert store.of_run(("n", "a"), "new") == {}
        assert [each.owner_uid for each in store.owned_by(("n", "a"))] == ["old"]

    def test_a_pod_of_another_uid_is_not_removed(self) -> None:
        store = WorkloadCache()
        store.put(owned(uid="new"))
        assert store.remove(("n", "a-1"), "old") is None
        assert store.remove(("n", "a-1"), "new") == ("n", "a")
        assert store.get(("n", "a-1")) is None

    def test_a_pod_that_changes_its_owner_leaves_the_old_one(self) -> None:
        store = WorkloadCache()
        store.put(owned(version=1, run="a"))
        store.put(owned(version=2, run="b", uid="p2"))
        assert store.of_run(("n", "a")) == {}
        assert store.runs() == [("n", "b")]


def test_a_pod_that_is_bound_to_a_node_does_not_wake_its_run() -> None:
    """Its node is stored all the same; with anything else changed it is news."""
    cache = WorkloadCache()
    created = datetime(2026, 3, 4, 5, tzinfo=UTC)
    first = Workload("a-1", "u", 1, Phase.PENDING, created)
    assert cache.put(OwnedWorkload(("n", "a"), "run", 1, first))
    assert not cache.put(OwnedWorkload(("n", "a"), "run", 2, replace(first, node="node-1")))
    assert cache.of_run(("n", "a"))[1].node == "node-1"
    assert cache.put(OwnedWorkload(("n", "a"), "run", 3, replace(first, node="node-2", phase=Phase.RUNNING)))
