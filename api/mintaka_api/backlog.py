"""What the mirror has seen and not yet written. Pure: no I/O, no clock.

It has one entry per object, holding its latest state. Transitions accumulate instead of being replaced, so an object that
changes often while the database is unavailable is written without a gap. The number of objects bounds the backlog's size.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mintaka_api.row_mapping import DeploymentVersion
from mintaka_api.snapshots import RunSnapshot
from mintaka_core.resources import FlowDeployment

#: The maximum size of the runs of a batch in bytes of JSON, and the number of its deployments: their schemas take time, and the
#: other users of the database wait for the end of a batch.
_RUNS_BYTES = 4 * 1024 * 1024
_DEPLOYMENTS = 20


@dataclass(slots=True)
class Batch:
    """The objects written in one transaction; the numbers are the times (µs) at which objects left the cluster."""

    runs: list[RunSnapshot] = field(default_factory=list)
    deployments: dict[str, tuple[FlowDeployment, int | None]] = field(default_factory=dict)
    vanished_runs: dict[str, int] = field(default_factory=dict)
    vanished_deployments: dict[str, int] = field(default_factory=dict)
    versions: dict[tuple[str, str], DeploymentVersion] = field(default_factory=dict)

    def __len__(self) -> int:
        """The number of objects in the batch."""
        vanished = len(self.vanished_runs) + len(self.vanished_deployments)
        return len(self.runs) + len(self.deployments) + len(self.versions) + vanished

    def names(self) -> list[str]:
        """The names of the objects, for messages: never their contents."""
        deployments = [f"flow deployment {one.metadata.namespace}/{one.metadata.name}" for one, _ in self.deployments.values()]
        versions = [f"revision {one.namespace}/{one.revision} of a flow deployment" for one in self.versions.values()]
        uids = (*(run.uid for run in self.runs), *self.vanished_runs, *self.vanished_deployments)
        return [*deployments, *versions, *(f"flow run or deployment with uid {uid}" for uid in uids)]

    def halves(self) -> tuple[Batch, Batch]:
        """Split the batch in two; both parts are smaller if it has more than one object."""
        parts = Batch(), Batch()
        for position, run in enumerate(self.runs):
            parts[position % 2].runs.append(run)
        for position, (uid, entry) in enumerate(self.deployments.items(), start=len(self.runs)):
            parts[position % 2].deployments[uid] = entry
        start = len(self.runs) + len(self.deployments)
        for position, (uid, time) in enumerate(self.vanished_runs.items(), start=start):
            parts[position % 2].vanished_runs[uid] = time
        for position, (uid, time) in enumerate(self.vanished_deployments.items(), start=start + len(self.vanished_runs)):
            parts[position % 2].vanished_deployments[uid] = time
        for position, (key, version) in enumerate(
            self.versions.items(), start=start + len(self.vanished_runs) + len(self.vanished_deployments)
        ):
            parts[position % 2].versions[key] = version
        return parts


class Backlog:
    """Collects snapshots and hands them out in batches."""

    def __init__(self) -> None:
        """Create an empty backlog."""
        self._runs: dict[str, RunSnapshot] = {}
        self._deployments: dict[str, tuple[FlowDeployment, int | None]] = {}
        self._vanished_runs: dict[str, int] = {}
        self._vanished_deployments: dict[str, int] = {}
        self._versions: dict[tuple[str, str], DeploymentVersion] = {}
        self._taken = Batch()

    def __len__(self) -> int:
        """The number of objects that wait to be written."""
        vanished = len(self._vanished_runs) + len(self._vanished_deployments)
        return len(self._runs) + len(self._deployments) + len(self._versions) + vanished

    def clear(self) -> None:
        """Drop everything: another replica has mirrored since, and the next lists show what it has not."""
        self._runs, self._deployments, self._versions = {}, {}, {}
        self._vanished_runs, self._vanished_deployments = {}, {}
        self._taken = Batch()

    @property
    def oldest(self) -> float | None:
        """When the longest-waiting run was seen (monotonic seconds); None if no run waits."""
        return next(iter(self._runs.values())).received if self._runs else None

    def present(self) -> dict[str, str]:
        """The resource version by uid of the runs in the cluster that wait to be written or are being written."""
        return {run.uid: run.version for run in (*self._taken.runs, *self._runs.values()) if run.gone_time is None}

    def add_run(self, snapshot: RunSnapshot) -> None:
        """Add a snapshot that is newer than those added before."""
        older = self._runs.get(snapshot.uid)
        self._runs[snapshot.uid] = snapshot.merged(older) if older else snapshot

    def add_deployment(self, deployment: FlowDeployment, gone_time: int | None) -> None:
        """Add the state of a deployment; `gone_time` is set if it left the cluster."""
        self._deployments[deployment.metadata.uid] = (deployment, gone_time)

    def add_version(self, version: DeploymentVersion) -> None:
        """Add a version of a deployment."""
        self._versions[version.deployment, version.revision] = version

    def vanish_run(self, uid: str, time: int) -> None:
        """Record that a run is no longer in the cluster."""
        if snapshot := self._runs.get(uid):
            self._runs[uid] = replace(snapshot, gone_time=snapshot.gone_time or time)
        else:
            self._vanished_runs[uid] = time

    def vanish_deployment(self, uid: str, time: int) -> None:
        """Record that a deployment is no longer in the cluster."""
        if entry := self._deployments.get(uid):
            self._deployments[uid] = (entry[0], entry[1] or time)
        else:
            self._vanished_deployments[uid] = time

    def take(self, limit: int) -> Batch:
        """Hand out at most `limit` runs and some deployments, those that waited longest, and everything that vanished."""
        batch = Batch([], {}, self._vanished_runs, self._vanished_deployments)
        size = 0
        while self._runs and len(batch.runs) < limit and size < _RUNS_BYTES:
            run = self._runs.pop(next(iter(self._runs)))
            batch.runs.append(run)
            size += len(run.raw) + sum(len(each.raw) for each in run.older)
        while self._deployments and len(batch.deployments) < _DEPLOYMENTS:
            uid = next(iter(self._deployments))
            batch.deployments[uid] = self._deployments.pop(uid)
        while self._versions and len(batch.versions) < _DEPLOYMENTS:
            key = next(iter(self._versions))
            batch.versions[key] = self._versions.pop(key)
        self._vanished_runs, self._vanished_deployments = {}, {}
        self._taken = batch
        return batch

    def forget_taken(self) -> None:
        """Drop the batch that was handed out: it is written."""
        self._taken = Batch()

    def put_back(self) -> None:
        """Put back the batch that was handed out and could not be written, merged under what was seen since."""
        batch, self._taken = self._taken, Batch()
        returned = {run.uid: run for run in batch.runs}
        for uid, newer in self._runs.items():
            returned[uid] = newer.merged(returned[uid]) if uid in returned else newer
        self._runs = returned
        self._deployments = batch.deployments | self._deployments
        self._versions = batch.versions | self._versions
        for uid, time in batch.vanished_runs.items():
            self.vanish_run(uid, time)
        for uid, time in batch.vanished_deployments.items():
            self.vanish_deployment(uid, time)
        for uid in [uid for uid in self._vanished_runs if uid in self._runs]:
            self.vanish_run(uid, self._vanished_runs.pop(uid))
        for uid in [uid for uid in self._vanished_deployments if uid in self._deployments]:
            self.vanish_deployment(uid, self._vanished_deployments.pop(uid))
