"""A flow with the settings of its deployment, as `flow.to_deployment` returns it, and the FlowDeployment made of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mintaka.exceptions import InvalidSettingError
from mintaka.flows import Flow
from mintaka.manifests import checked_manifest, deployment_object_name
from mintaka.schedules import Schedule
from mintaka.serving.deployable import EntrypointType
from mintaka.serving.flow_places import FlowPlace, place_of
from mintaka.serving.job_variables import TemplateParts
from mintaka.serving.schedule_arguments import manifest_schedules, schedules_of
from mintaka_core.secret_parameters import SecretParameters

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Characters that neither Prefect nor the API allows in the name of a deployment.
_BANNED = frozenset("/%&><")


@dataclass(frozen=True)
class RunnerDeployment:
    """A flow and the settings of its deployment; `manifest()` is the FlowDeployment.

    `concurrency_limit`: how many of its runs may run at a time, on a local server; None: as many as the server starts.
    `paused`: no schedule creates runs. `notes`: sentences on the arguments without a counterpart.
    """

    flow: Flow[..., Any]
    name: str
    place: FlowPlace
    schedules: tuple[Schedule, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    version: str | None = None
    description: str | None = None
    paused: bool = False
    enforce_parameter_schema: bool = True
    concurrency_limit: int | None = None
    job_variables: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def flow_name(self) -> str:
        """The name of the flow."""
        return self.flow.name

    @property
    def full_name(self) -> str:
        """`FLOW/NAME`, as Prefect names deployments."""
        return f"{self.flow_name}/{self.name}"

    @property
    def entrypoint(self) -> str:
        """`FILE:FLOW` or `MODULE:FLOW`."""
        return self.place.entrypoint

    @property
    def object_name(self) -> str:
        """The name of the FlowDeployment; see `deployment_object_name`."""
        return deployment_object_name(self.flow_name, self.name)

    def manifest(
        self,
        *,
        now: datetime | None = None,
        source: str | None = None,
        parts: TemplateParts | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The FlowDeployment, checked as the API server would.

        Args:
            now: None: the current time.
            source: the code of the flow's file; None: it is available where the flow runs.
            parts: added to the pod template and next to it.
            variables: instead of the job variables.

        Raises:
            MintakaError: it would be refused; the message names the field.
        """
        moment = now or datetime.now(UTC)
        parts = parts or TemplateParts()
        parts.add(self.job_variables if variables is None else variables)
        schema = SecretParameters(self.flow.parameters.schema()).masked_schema() if self.enforce_parameter_schema else None
        entrypoint = f"{Path(self.entrypoint.rpartition(':')[0]).name}:{self.entrypoint.rpartition(':')[2]}" if source else self.entrypoint
        spec: dict[str, Any] = {
            "entrypoint": entrypoint,
            "source": {"inline": source} if source else None,
            "parameters": self._json_parameters(self.parameters) or None,
            "parameterSchema": schema,
            "schedules": self._schedules(moment) or None,
            "suspend": self.paused or None,
            "tags": sorted({*self.flow.tags, *self.tags}) or None,
            "version": self.version,
            "description": self.description,
            "podTemplate": parts.pod_template,
            **parts.spec,
        }
        return checked_manifest({"name": self.object_name, **parts.metadata}, spec, now=moment)

    def check(self) -> None:
        """Raise the errors of parameters and schedules that `manifest` would raise."""
        self._json_parameters(self.parameters)
        self._schedules(datetime.now(UTC))

    def warn(self) -> None:
        """A warning for each of the notes, and for job variables without a counterpart."""
        parts = TemplateParts()
        parts.add(self.job_variables)
        differ = f"runs have the settings of the flow that {self.entrypoint} names, not those of with_options(…)"
        for note in (*self.notes, *(f"job_variables: {each}" for each in parts.notes), *([differ] if self.place.settings_differ else [])):
            warnings.warn(f"deployment {self.full_name}: {note}", UserWarning, stacklevel=2)

    def _schedules(self, now: datetime) -> list[dict[str, Any]]:
        found = manifest_schedules(self.schedules, now)
        for one in found:
            if "parameters" in one:
                one["parameters"] = self._json_parameters(one["parameters"])
        return found

    def _json_parameters(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters as JSON values.

        Raises:
            InvalidSettingError: one is not a parameter of the flow, is a secret, or cannot be expressed as JSON.
        """
        known = self.flow.parameters.schema()
        found: dict[str, Any] = {}
        for name, value in parameters.items():
            if name not in known["properties"] and not known.get("additionalProperties"):
                message = f"flow {self.flow_name} has no parameter {name!r}; it has {', '.join(known['properties']) or 'none'}"
                raise InvalidSettingError(message)
            if hasattr(value, "get_secret_value"):
                message = (
                    f"parameter {name!r} of deployment {self.full_name} is secret, and a deployment shows its parameters: leave it out, and have the "
                    "flow read it from the environment or with Secret.load"
                )
                raise InvalidSettingError(message)
            found[name] = self._json(name, value)
        return found

    def _json(self, name: str, value: Any) -> Any:
        from pydantic_core import PydanticSerializationError, to_jsonable_python  # noqa: PLC0415 - start-up time

        try:
            return to_jsonable_python(value)
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            message = f"parameter {name!r} of deployment {self.full_name} cannot be JSON: {error}"
            raise InvalidSettingError(message) from error


def runner_deployment(
    flow: Flow[..., Any],
    name: str,
    *,
    interval: Any = None,
    cron: Any = None,
    rrule: Any = None,
    paused: bool | None = None,
    schedule: Schedule | None = None,
    schedules: Iterable[Any] | None = None,
    concurrency_limit: Any = None,
    parameters: Mapping[str, Any] | None = None,
    triggers: Any = None,
    description: str | None = None,
    tags: Iterable[str] | None = None,
    version: str | None = None,
    version_type: Any = None,
    enforce_parameter_schema: bool = True,
    work_pool_name: str | None = None,
    work_queue_name: str | None = None,
    job_variables: Mapping[str, Any] | None = None,
    entrypoint_type: str | EntrypointType = EntrypointType.FILE_PATH,
) -> RunnerDeployment:
    """The arguments of `flow.to_deployment`, checked.

    Raises:
        InvalidSettingError: an argument makes no sense, or no other process can find the flow.
    """
    name = Path(name).stem if name.endswith(".py") else name
    if not name or not _BANNED.isdisjoint(name):
        message = f"the name of a deployment must not contain any of {' '.join(sorted(_BANNED))} or be empty: {name!r}"
        raise InvalidSettingError(message)
    nothing = {
        "triggers": ("an object that reacts to events has to create the FlowRun", triggers),
        "version_type": ("version is a text", version_type),
        "work_pool_name": ("runs are started where the deployment is applied", work_pool_name),
        "work_queue_name": ("runs are started where the deployment is applied", work_queue_name),
    }
    limit, notes = _limit(concurrency_limit)
    found = RunnerDeployment(
        flow,
        name,
        flow.source_place or place_of(flow, entrypoint_type),
        schedules_of(interval=interval, cron=cron, rrule=rrule, schedule=schedule, schedules=schedules),
        dict(parameters or {}),
        tuple(tags or ()),
        version or flow.version,
        description or flow.description,
        bool(paused),
        enforce_parameter_schema,
        limit,
        dict(job_variables or {}),
        (*(f"{word} has no effect: {why}" for word, (why, value) in nothing.items() if value), *notes),
    )
    found.check()
    return found


def _limit(given: Any) -> tuple[int | None, tuple[str, ...]]:
    """A number, or an object with `limit` and `collision_strategy`, as a number and notes."""
    if given is None:
        return None, ()
    number = given if isinstance(given, int) else getattr(given, "limit", None)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        message = f"a concurrency limit is a number of runs, 1 or more, not {given!r:.100}"
        raise InvalidSettingError(message)
    strategy = getattr(given, "collision_strategy", None)
    if strategy is not None and "CANCEL" in str(getattr(strategy, "value", strategy)).upper():
        return number, ("collision_strategy=CANCEL_NEW has no effect: a run over the limit waits",)
    return number, ()
