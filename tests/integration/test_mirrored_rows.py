"""What the mirror writes of a run: decisions with their facts, attempts, gaps; whose it is; and what becomes of it if it vanishes."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from api_testing import ORDINARY, instant, seen_run, status
from mintaka_api.backlog import Batch
from mintaka_api.cluster import Cluster
from mintaka_api.metrics import Metrics
from mintaka_api.mirror import Mirror
from mintaka_api.queries.gaps import GAP
from mintaka_api.queries.vanished import VANISHED_RULE, live_runs
from mintaka_api.row_mapping import read_deployment, read_version
from mintaka_api.settings import Settings
from mintaka_api.snapshots import snapshot_of
from mintaka_core.errors import InvalidResource
from mintaka_core.names import API_VERSION
from mintaka_history.enum_codes import STATE_OF_CODE, NameKind
from mintaka_history.queries.names import Names
from mintaka_history.tables import attempts, flow_deployment_versions, flow_deployments, flow_run_transitions, flow_runs
from mintaka_history.timestamps import now_microseconds
from mintaka_kubernetes import Credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mintaka_history.database import Database

pytestmark = pytest.mark.anyio

LATER = 1_900_000_000_000_000


class Side:
    """The mirror of one of several clusters; its informers never run."""

    def __init__(self, database: Database, cluster: Cluster, key: str) -> None:
        self.database, self.names = database, Names()
        self.metrics = Metrics()
        self.mirror = Mirror(database, self.names, cluster, Settings(cluster_name=key), self.metrics)
        self.mirror.writer.cluster_key = key
        self.key = key

    @property
    def number(self) -> int:
        """The id of the cluster's key."""
        word = (NameKind.CLUSTER, self.key)
        return self.names.ids_of(self.database, {word})[word]

    async def see(self, *documents: dict[str, Any]) -> None:
        """Write runs as they are in the cluster."""
        await self.mirror.writer.write(Batch([snapshot_of(each, 0.0) for each in documents]))

    async def miss(self, *documents: dict[str, Any]) -> None:
        """Write that runs left the cluster without an event."""
        await self.mirror.writer.write(Batch(vanished_runs={each["metadata"]["uid"]: LATER for each in documents}))

    def live(self) -> set[str]:
        """The uids of the runs that are in this cluster as far as the database knows."""
        with self.database.reading() as connection:
            return set(live_runs(connection, self.number, None))

    def run(self, name: str = "one") -> Any:
        """The row of a run."""
        with self.database.reading() as connection:
            return connection.execute(select(flow_runs).where(flow_runs.c.name == name)).one()

    def transitions(self, name: str = "one") -> list[Any]:
        """The rows of its transitions."""
        t = flow_run_transitions
        with self.database.reading() as connection:
            return list(connection.execute(select(t).where(t.c.flow_run == self.run(name).no).order_by(t.c.seq)))

    def seen(self, name: str = "one") -> tuple[str, int, bool, list[int]]:
        """State, sequence, whether it left the cluster, and the numbers of its transitions."""
        row = self.run(name)
        return STATE_OF_CODE[row.state].value, row.sequence, row.deleted is not None, [each.seq for each in self.transitions(name)]


@pytest.fixture
async def sides(database: Database) -> AsyncIterator[tuple[Side, Side]]:
    """The mirrors of two clusters with one database."""
    cluster = Cluster(credentials=Credentials("http://127.0.0.1:9"))
    yield Side(database, cluster, "first"), Side(database, cluster, "second")
    await cluster.close()


@pytest.fixture
def side(sides: tuple[Side, Side]) -> Side:
    """The mirror of a cluster."""
    return sides[0]


async def test_a_decision_is_stored_with_its_trail_facts_and_deadline(side: Side) -> None:
    """The trail only if more than one rule had an opinion, in the form of the histories of task runs."""
    run = seen_run("one", ORDINARY[:3])
    first, second, _ = run["status"]["transitions"]
    first |= {
        "trail": [{"rule": "a", "verdict": "Wait", "reason": "not yet"}, {"rule": "b", "verdict": "Redirect", "reason": "because\x00"}]
    }
    first |= {"facts": {"failures": 2, "jitter": 0.5}, "until": instant(60)}
    second |= {"trail": [{"rule": "a", "verdict": "Redirect", "reason": "alone"}]}
    await side.see(run)
    rows = side.transitions()
    assert json.loads(rows[0].trail) == [["a", "Wait", "not yet"], ["b", "Redirect", "because\N{REPLACEMENT CHARACTER}"]]
    assert json.loads(rows[0].facts) == {"failures": 2, "jitter": 0.5}
    assert rows[0].until - rows[0].at == 59_000_000
    assert [(row.trail, row.facts, row.until) for row in rows[1:]] == [(None, None, None)] * 2


@pytest.mark.parametrize("verdict", ["Wait", "Abort"])
async def test_a_decision_that_changes_no_state_is_a_row_and_changes_no_run(side: Side, verdict: str) -> None:
    """The run's state is that of its status."""
    run = seen_run("one", ("SCHEDULED", "PENDING", "PENDING"))
    run["status"]["state"] |= {"time": instant(2), "message": "as it was"}
    run["status"]["transitions"][2] |= {"verdict": verdict, "proposed": "RUNNING", "rule": "wait_for_a_slot", "message": "no slot is free"}
    await side.see(run)
    row = side.transitions()[2]
    assert [STATE_OF_CODE[code].value for code in (row.from_state, row.to_state, row.proposed)] == ["PENDING", "PENDING", "RUNNING"]
    assert (row.verdict, row.rule, row.message) == (verdict, "wait_for_a_slot", "no slot is free")
    assert side.seen() == ("PENDING", 3, False, [1, 2, 3])
    assert (side.run().message, side.run().state_time) == ("as it was", side.transitions()[1].at)


async def test_columns_of_the_status_are_stored(side: Side) -> None:
    """Revision, next time, conditions, and why history is incomplete; they follow the status."""
    run = seen_run("one", ORDINARY)
    condition = {"type": "HistoryComplete", "status": "False", "reason": "SchemaReplaced", "message": "m", "lastTransitionTime": instant(5)}
    run["status"] |= {"revision": "nightly-abc", "nextTime": instant(9), "conditions": [condition]}
    await side.see(run)
    row = side.run()
    assert (row.revision, row.history_condition, row.history_reason) == ("nightly-abc", False, "SchemaReplaced")
    assert row.next_time - row.state_time == 5_000_000
    assert json.loads(row.conditions) == [["HistoryComplete", "False", "SchemaReplaced", "m", row.state_time + 1_000_000]]
    later = seen_run("one", ORDINARY, version=2)
    later["status"] |= {"revision": "nightly-abc", "conditions": [condition | {"status": "True", "reason": "Delivered"}]}
    await side.see(later)
    row = side.run()
    assert (row.next_time, row.history_condition, row.history_reason) == (None, True, None)


async def test_a_reported_loss_of_history_stays_until_the_cluster_has_a_condition(side: Side) -> None:
    """The process reports it while it runs; what the mirror writes meanwhile does not affect it."""
    await side.see(seen_run("one", ORDINARY[:2]))
    with side.database.writing() as connection:
        connection.execute(update(flow_runs).values(history_reason="SchemaReplaced"))
    await side.see(seen_run("one", ORDINARY[:3], version=2))
    assert side.run().history_reason == "SchemaReplaced"
    ended = seen_run("one", ORDINARY, version=3)
    condition = {"type": "HistoryComplete", "status": "True", "reason": "Delivered", "message": "", "lastTransitionTime": instant(5)}
    ended["status"] |= {"conditions": [condition]}
    await side.see(ended)
    assert side.run().history_reason is None


def attempt(number: int, **members: Any) -> dict[str, Any]:
    """An attempt as a status has it."""
    return {"number": number, "podName": f"one-{number}", **members}


def stored_attempts(side: Side) -> list[tuple[Any, ...]]:
    """Number, pod, node, exit code and reason of each."""
    a = attempts.c
    with side.database.reading() as connection:
        rows = connection.execute(select(a.attempt, a.pod, a.node, a.exit_code, a.reason).order_by(a.attempt))
        return [tuple(row) for row in rows]


async def test_attempts_are_completed_and_never_emptied(side: Side) -> None:
    """Neither by an older status nor by a newer one that has dropped the attempt, or a part of it."""
    ended = seen_run("one", ORDINARY[:3], version=3)
    ended["status"]["attempts"] = [attempt(1, node="n1", exitCode=137, state="CRASHED", reason="OOMKilled"), attempt(2)]
    older = seen_run("one", ORDINARY[:2], version=2)
    older["status"]["attempts"] = [attempt(1, node="n0", podUid="u1")]
    newer = seen_run("one", ORDINARY, version=4)
    newer["status"]["attempts"] = [attempt(2, node="n2", exitCode=0)]
    expected = [(1, "one-1", "n1", 137, "OOMKilled"), (2, "one-2", None, None, None)]
    await side.see(ended)
    assert stored_attempts(side) == expected
    await side.see(older)
    assert stored_attempts(side) == expected
    await side.see(newer)
    assert stored_attempts(side) == [expected[0], (2, "one-2", "n2", 0, None)]
    with side.database.reading() as connection:
        assert connection.scalar(select(attempts.c.pod_uid).where(attempts.c.attempt == 1)) == "u1", (
            "an older status fills in what is missing"
        )


async def test_lost_transitions_are_recorded_as_a_gap(side: Side) -> None:
    """One row at the last missing number states which are missing; the run is marked."""
    await side.see(seen_run("one", ORDINARY[:2]))
    states = ("SCHEDULED", "PENDING", "RUNNING") * 20
    late = seen_run("one", version=9) | {"status": status(states, kept=32)}
    await side.see(late)
    rows = side.transitions()
    (gap,) = (row for row in rows if row.verdict == GAP)
    assert [row.seq for row in rows] == [1, 2, 28, *range(29, 61)]
    assert (gap.seq, json.loads(gap.facts)) == (28, {"first": 3, "last": 28})
    assert [STATE_OF_CODE[code].value for code in (gap.from_state, gap.to_state)] == ["PENDING", "SCHEDULED"]
    assert (gap.at, gap.message[:32]) == (rows[3].at, "transitions 3 to 28 are missing:")
    assert side.run().gap is True
    assert side.metrics.registry.get_sample_value("mintaka_mirror_gaps_total") == 1


async def test_a_gap_is_closed_by_what_another_replica_had_seen(side: Side) -> None:
    """In parts, until nothing is missing."""
    states = ("SCHEDULED", "PENDING", "RUNNING") * 3
    await side.see(seen_run("one", version=9) | {"status": status(states, kept=2)})
    assert [(row.seq, row.facts) for row in side.transitions() if row.verdict == GAP] == [(7, '{"first":1,"last":7}')]
    await side.see(seen_run("one", version=4) | {"status": status(states[:4], kept=2)})
    assert [(row.seq, row.facts) for row in side.transitions() if row.verdict == GAP] == [
        (2, '{"first":1,"last":2}'),
        (7, '{"first":5,"last":7}'),
    ]
    await side.see(seen_run("one", version=7) | {"status": status(states[:7])})
    assert side.seen() == ("RUNNING", 9, False, list(range(1, 10)))
    assert not [row for row in side.transitions() if row.verdict == GAP]
    assert side.run().gap is False


async def test_no_gap_without_missing_transitions(side: Side) -> None:
    """Repeated, overlapping and older statuses are none."""
    for last, kept in ((2, 1), (3, 2), (1, 1), (4, 1), (4, 4)):
        await side.see(seen_run("one", version=last) | {"status": status(ORDINARY[:last], kept=kept)})
    assert side.seen()[3] == [1, 2, 3, 4]
    assert side.run().gap is False


async def test_each_mirror_ends_only_runs_of_its_own_cluster(sides: tuple[Side, Side]) -> None:
    """What is not in one cluster may be in the other."""
    first, second = sides
    await first.see(ours := seen_run("ours", ORDINARY[:2]))
    await second.see(theirs := seen_run("theirs", ORDINARY[:2]))
    assert (first.live(), second.live()) == ({ours["metadata"]["uid"]}, {theirs["metadata"]["uid"]})
    await first.miss(ours, theirs)
    assert first.seen("ours") == ("CANCELLED", 3, True, [1, 2, 3])
    assert first.seen("theirs") == ("PENDING", 2, False, [1, 2])


async def test_a_run_that_reported_and_was_never_mirrored_is_not_another_clusters_for_an_hour(side: Side) -> None:
    """By then its own mirror, if there is one, has seen it."""
    row = {"uid": str(uuid.uuid4()), "ns": 1, "state": 3, "kind": 1, "name": "reported"}
    with side.database.writing() as connection:
        connection.execute(flow_runs.insert(), {**row, "no": 1, "created": now_microseconds() - 3_500_000_000})
        connection.execute(flow_runs.insert(), {**row, "no": 2, "uid": str(uuid.uuid4()), "kind": 3, "created": 1})
    assert side.live() == set()
    with side.database.writing() as connection:
        connection.execute(update(flow_runs).where(flow_runs.c.no == 1).values(created=now_microseconds() - 3_700_000_000))
    assert side.live() == {row["uid"]}


@pytest.mark.parametrize(
    ("kind", "sequence", "gone", "taken"),
    [
        ("a newer transition", 4, False, True),
        ("the same state, after clusterName was changed", 3, False, True),
        ("an older state, in a cluster restored from a backup", 2, False, False),
        ("its end in the other cluster", 3, True, False),
        ("a newer transition, and its end there", 4, True, False),
    ],
)
async def test_a_row_of_another_cluster_is_taken_over_only_by_a_run_that_is_not_behind(
    sides: tuple[Side, Side], caplog: pytest.LogCaptureFixture, kind: str, sequence: int, gone: bool, taken: bool
) -> None:
    """Not by one that is gone, either; both are logged."""
    first, second = sides
    await first.see(seen_run("one", ORDINARY[:3], version=70))
    snapshot = snapshot_of(seen_run("one", ORDINARY[:sequence], version=5), 0.0)
    if gone:
        snapshot = replace(snapshot, gone_time=LATER)
    await second.mirror.writer.write(Batch([snapshot]))
    state = ORDINARY[max(sequence, 3) - 1] if taken else "RUNNING"
    assert first.seen() == (state, max(sequence, 3) if taken else 3, False, list(range(1, (max(sequence, 3) if taken else 3) + 1))), kind
    assert first.run().cluster == (second if taken else first).number
    assert (
        "are now mirrored from this one: one" if taken else "are mirrored from another cluster, where they are further: one"
    ) in caplog.text
    assert second.metrics.registry.get_sample_value("mintaka_mirror_taken_over_total") == taken


@pytest.mark.parametrize("states", [ORDINARY[:1], ORDINARY[:3], ORDINARY], ids=lambda states: states[-1])
async def test_a_run_that_vanished_by_mistake_returns(side: Side, states: tuple[str, ...]) -> None:
    """As soon as it is seen again, though nothing has happened to it; what was invented is removed."""
    run = seen_run("one", states, version=5)
    run["status"]["attempts"] = [attempt(1)]
    await side.see(run)
    before = side.run(), side.transitions()
    await side.miss(run)
    assert side.seen()[0] == ("COMPLETED" if states == ORDINARY else "CANCELLED")
    assert side.live() == set()
    await side.see(run)
    assert (side.run(), side.transitions()) == before
    assert side.live() == {run["metadata"]["uid"]}


async def test_an_older_version_does_not_bring_a_vanished_run_back(side: Side) -> None:
    """It may be in the backlog of a replica that was frozen."""
    await side.see(run := seen_run("one", ORDINARY[:3], version=5))
    await side.miss(run)
    await side.see(seen_run("one", ORDINARY[:2], version=4), seen_run("two"))
    assert side.seen() == ("CANCELLED", 4, True, [1, 2, 3, 4])
    await side.see(seen_run("one", ORDINARY, version=6))
    assert side.seen() == ("COMPLETED", 4, False, [1, 2, 3, 4])
    assert VANISHED_RULE not in {row.rule for row in side.transitions()}


@pytest.mark.parametrize("hours", [-1, 1], ids=["behind", "ahead"])
async def test_with_the_clock_an_hour_off_nothing_ends_before_it_began(side: Side, hours: int) -> None:
    """A run that vanished ends when its last state began, if the API's clock is behind."""
    await side.see(run := seen_run("one", ORDINARY[:3]))
    began = side.run().state_time
    now = began + hours * 3_600_000_000
    await side.mirror.writer.write(Batch(vanished_runs={run["metadata"]["uid"]: now}))
    row = side.run()
    assert (row.ended, row.deleted, row.state_time) == (max(began, now),) * 3
    assert [each.at for each in side.transitions()] == sorted(each.at for each in side.transitions())


def deployment(name: str = "nightly", version: int = 1, **metadata: Any) -> dict[str, Any]:
    """A flow deployment."""
    uid = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
    metadata = {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": str(version), "creationTimestamp": instant(0), **metadata}
    return {"apiVersion": API_VERSION, "kind": "FlowDeployment", "metadata": metadata, "spec": {"entrypoint": "etl:main"}}


def revision(number: int, spec: dict[str, Any], owner: str = "nightly") -> dict[str, Any]:
    """A ControllerRevision of a deployment."""
    owners = [{"kind": "FlowDeployment", "name": owner, "uid": deployment(owner)["metadata"]["uid"]}]
    metadata = {"name": f"{owner}-{number}", "namespace": "ns", "ownerReferences": owners, "creationTimestamp": instant(number)}
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "data": {"spec": spec}, "revision": number}


async def write_deployments(side: Side, *documents: dict[str, Any], gone: int | None = None) -> None:
    """Write deployments and their versions."""
    found = [read_deployment(each) for each in documents if each["kind"] == "FlowDeployment"]
    versions = [read_version(each) for each in documents if each["kind"] == "ControllerRevision"]
    batch = Batch(deployments={each.metadata.uid: (each, gone) for each in found})
    batch.versions = {(each.deployment, each.revision): each for each in versions}
    await side.mirror.writer.write(batch)


@pytest.mark.parametrize("order", ["the deployment first", "the versions first"])
async def test_versions_of_a_deployment_are_stored_without_secrets(side: Side, order: str) -> None:
    """The deployment's row names the newest, which may be an old one that is current again."""
    schema = {"properties": {"token": {"type": "string", "writeOnly": True}}}
    first, second = revision(1, {"entrypoint": "a:b"}), revision(2, {"parameterSchema": schema, "parameters": {"token": "secret", "n": 1}})
    documents = [deployment(), second, first]
    for document in documents if order == "the deployment first" else reversed(documents):
        await write_deployments(side, document)
    v = flow_deployment_versions.c
    with side.database.reading() as connection:
        rows = connection.execute(select(v.revision, v.generation, v.spec).order_by(v.generation)).all()
        assert connection.scalar(select(flow_deployments.c.revision)) == "nightly-2"
    assert [(row.revision, row.generation) for row in rows] == [("nightly-1", 1), ("nightly-2", 2)]
    assert json.loads(rows[1].spec)["parameters"]["n"] == 1
    assert "secret" not in rows[1].spec
    again = first | {"revision": 3}
    await write_deployments(side, again)
    await write_deployments(side, deployment(version=2))
    with side.database.reading() as connection:
        assert connection.scalar(select(flow_deployments.c.revision)) == "nightly-1"


async def test_a_deployment_of_another_cluster_is_not_ended(sides: tuple[Side, Side]) -> None:
    """Neither by its deletion there nor because it is missing there."""
    first, second = sides
    await write_deployments(first, deployment(version=5))
    await write_deployments(second, deployment(version=9), gone=LATER)
    await second.mirror.writer.write(Batch(vanished_deployments={deployment()["metadata"]["uid"]: LATER}))
    with first.database.reading() as connection:
        row = connection.execute(select(flow_deployments.c.cluster, flow_deployments.c.deleted)).one()
    assert tuple(row) == (first.number, None)


def test_a_version_of_a_deleted_deployment_is_read() -> None:
    """Kubernetes removes the reference to a deleted owner; the annotation still names the owner."""
    document = revision(1, {"entrypoint": "a:b"})
    uid = document["metadata"]["ownerReferences"][0]["uid"]
    document["metadata"] |= {"annotations": {"mintaka.dev/deployment-uid": uid}, "ownerReferences": [{"kind": "FlowRun", "uid": "x"}]}
    assert read_version(document).deployment == uid
    del document["metadata"]["annotations"]
    with pytest.raises(InvalidResource, match="ns/nightly-1 is not a version of a flow deployment"):
        read_version(document)
