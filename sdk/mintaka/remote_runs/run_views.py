"""What `run_deployment` returns: a flow run as the API last showed it, with the attributes of Prefect's flow runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from mintaka.exceptions import MissingResult
from mintaka.persisting.result_settings import ON
from mintaka.results import ResultRecord, ResultRecordMetadata, ResultStore
from mintaka.states import State
from mintaka_core.run_ids import deployment_id, flow_run_id
from mintaka_core.states import COMPLETED, RUNNING, StateType

if TYPE_CHECKING:
    from collections.abc import Mapping


class CalledResult(ResultRecord):
    """The result of a flow run that ran elsewhere, read on request from the result storage of its deployment."""

    __slots__ = ("_run",)

    def __init__(self, run: str, uid: str, ended: datetime, storage_url: str) -> None:
        store = ResultStore(storage_url) if storage_url else ON.store()
        metadata = ResultRecordMetadata(f"runs/{uid}/result", store.serializer.name, ended, None, 0, "", "")
        super().__init__(metadata, store.storage)
        self._run = run

    @property
    def result(self) -> Any:
        """The value.

        Raises:
            MissingResult: it was not persisted, or not in this storage.
            StorageError, CorruptResult, SerializationError: it cannot be read.
        """
        try:
            return super().result
        except MissingResult as error:
            message = (
                f"no result of flow run {self._run} is in {self.storage.url}: set resultStorage in its deployment, or "
                "@flow(persist_result=True) and the same MINTAKA_RESULT_STORAGE for both runs"
            )
            raise MissingResult(message) from error


@dataclass(frozen=True)
class CalledFlowRun:
    """A flow run of a deployment, as the API showed it when this was made. `name` is that of its resource."""

    id: UUID
    name: str
    namespace: str
    deployment: str
    state: State[Any]
    parameters: dict[str, Any]
    tags: list[str]
    created: datetime
    expected_start_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    attempt: int
    parent_flow_run_id: UUID | None = None
    parent_task_run_id: UUID | None = None
    idempotency_key: str | None = None
    job_variables: dict[str, Any] = field(default_factory=dict)

    @property
    def state_type(self) -> StateType:
        """The type of its state."""
        return self.state.type

    @property
    def state_name(self) -> str:
        """The name of its state."""
        return self.state.name

    @property
    def deployment_id(self) -> UUID:
        """The id of the flow deployment, derived from its namespace and name."""
        return deployment_id(self.namespace, self.deployment)

    @property
    def run_count(self) -> int:
        """How many attempts there were."""
        return self.attempt

    @property
    def total_run_time(self) -> timedelta:
        """How long it ran, from its first start to its end; until then, to now."""
        if self.start_time is None:
            return timedelta(0)
        return (self.end_time or datetime.now(UTC)) - self.start_time


def state_of(document: Mapping[str, Any], result: CalledResult | None) -> State[Any]:
    """The state in the API's document of a flow run; a state of a newer release that is unknown here counts as running."""
    shown = document["state"]
    kind = StateType(shown["type"]) if shown["type"] in {str(each) for each in StateType} else RUNNING
    time = datetime.fromisoformat(shown["time"]) if shown["time"] else None
    return State(kind, shown["name"], shown["reason"], shown["message"], time=time, data=result)


def view_of(document: Mapping[str, Any], storage_url: str, **given: Any) -> CalledFlowRun:
    """The run in a document of the API; `given` are the attributes that the API does not return."""
    uid, created = document["uid"], datetime.fromisoformat(document["created"])
    ended = _instant(document["ended"])
    completed = document["state"]["type"] == COMPLETED
    place = f"{document['namespace']}/{document['name']}"
    return CalledFlowRun(
        id=flow_run_id(uid),
        name=document["name"],
        namespace=document["namespace"],
        deployment=document["deployment"] or "",
        state=state_of(document, CalledResult(place, uid, ended or created, storage_url) if completed else None),
        parameters=document["parameters"],
        tags=document["tags"],
        created=created,
        expected_start_time=_instant(document["scheduled"]) or created,
        start_time=_instant(document["started"]),
        end_time=ended,
        attempt=document["attempt"],
        **given,
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
