"""The services that routes use: one object of each kind per process."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Protocol, cast

from fastapi import Depends
from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotation

from mintaka_api.background_tasks import Part
from mintaka_api.change_feed import ChangeFeed
from mintaka_api.documents import Documents
from mintaka_api.intents import RunControl
from mintaka_api.metrics import Metrics
from mintaka_api.request_bodies import Intake
from mintaka_controller.schema_validation import SchemaValidator
from mintaka_history.database import Database
from mintaka_history.maintenance.policy import RetentionPolicy
from mintaka_history.queries.names import Names

if TYPE_CHECKING:
    from mintaka_api.leader import Leader  # noqa: TC004 - start-up time: not without a cluster
    from mintaka_api.mirror import Mirror  # noqa: TC004 - start-up time: not without a cluster
    from mintaka_api.response_models import LoginCodeAnswer


class LoginCodes(Protocol):
    """One-time codes that a browser exchanges for a session."""

    def create(self) -> LoginCodeAnswer:
        """A new code."""


@dataclass(slots=True)
class Services:
    """The services of a running API; `mirror` is None if mirroring is off, `leader` is None without a cluster.

    `runs` is None if nothing runs flows: neither a cluster nor a local server. Only a local server has `documents` and `login_codes`.

    Of the replicas of a release, the one whose `leader` leads mirrors and maintains the database; without one, this process does.
    """

    database: Database
    names: Names
    metrics: Metrics
    validator: SchemaValidator
    intake: Intake = field(default_factory=Intake)
    runs: RunControl | None = None
    mirror: Mirror | None = None
    leader: Leader | None = None
    login_codes: LoginCodes | None = None
    documents: Documents | None = None
    parts: list[Part] = field(default_factory=list)
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)
    feed: ChangeFeed = field(init=False)

    def __post_init__(self) -> None:
        """Add what is made of the other services."""
        self.feed = ChangeFeed(self.database, self.names)

    def current_parts(self) -> list[Part]:
        """The background tasks, each with its current problem."""
        if self.mirror is None:
            return self.parts
        problem, note = self.mirror.problem(), self.leader.note if self.leader is not None else ""
        return [replace(part, problem=part.problem or problem, note=note) if part.name == "mirror" else part for part in self.parts]


async def _services(request: Request) -> Services:
    return cast("Services", request.app.state.services)


#: The type of the route parameter that receives the services.
Here = Annotated[Services, Depends(_services)]
