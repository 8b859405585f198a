"""Common to all resource models: camelCase on the wire, docstrings as descriptions, lenient reading.

Reading is lenient (unknown fields are ignored) because an older operator must accept a newer resource; the API server
refuses unknown fields.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PlainSerializer
from pydantic.alias_generators import to_camel

from mintaka_core.instants import EARLIEST, FIRST, LAST, clamp, format_time, to_utc


class Model(BaseModel):
    """Base of every model that is part of a resource."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # an error is logged, and the value it quotes may be a secret
    )

    def to_wire(self) -> dict[str, Any]:
        """The model in manifest form: camelCase, JSON types, without unset fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def cel(rule: str, message: str, *, reason: str = "FieldValueInvalid", field_path: str = "") -> dict[str, str]:
    """One CEL validation for `x-kubernetes-validations`."""
    return {"rule": rule, "message": message, "reason": reason} | ({"fieldPath": field_path} if field_path else {})


def validations(*rules: dict[str, str]) -> dict[str, Any]:
    """The JSON Schema extra that adds CEL validations to the CRD."""
    return {"x-kubernetes-validations": list(rules)}


def _without_year_zero(value: Any) -> Any:
    """Replace a time of the year 0000, which Go writes and Python cannot represent."""
    return format_time(EARLIEST) if isinstance(value, str) and value.startswith("0000-") else value


_MICROTIME = PlainSerializer(format_time, return_type=str, when_used="json")

#: A time that a user wants, with microseconds; in UTC. What UTC cannot express is not valid.
Time = Annotated[datetime, AfterValidator(to_utc), _MICROTIME]

#: When something happened, as the API server records it; in UTC, clamped, so that durations can be added to it.
Recorded = Annotated[datetime, BeforeValidator(_without_year_zero), AfterValidator(clamp)]

#: The same as we record it: with microseconds.
RecordedTime = Annotated[Recorded, _MICROTIME]

#: A time of a plan or schedule, as we record it; in UTC. It may come from a `Time`: only what UTC cannot express is clamped.
PlannedTime = Annotated[
    datetime, BeforeValidator(_without_year_zero), AfterValidator(lambda instant: clamp(instant, FIRST, LAST)), _MICROTIME
]

#: The same with the offset of its time zone, for people who compare it with a clock.
LocalTime = Annotated[datetime, PlainSerializer(datetime.isoformat, return_type=str, when_used="json")]

#: Any JSON: stored unchanged, not validated by the API server.
AnyObject = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]

#: For fields with one writer, or that change as a whole: the API server then does not track the owner of every leaf, which
#: saves a fifth of a write's cost.
ATOMIC: dict[str, JsonValue] = {"x-kubernetes-map-type": "atomic"}

#: A DNS-1123 subdomain, the format of Kubernetes object names.
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]

Tag = Annotated[str, Field(min_length=1, max_length=100)]

#: Absent and null are the same in a Kubernetes list.
Absent = BeforeValidator(lambda value: [] if value is None else value)


class Condition(Model):
    """One aspect of a resource's state, in the form `kubectl wait --for=condition=…` reads (metav1.Condition)."""

    type: str = Field(max_length=316)
    """Name of the aspect, in CamelCase."""
    status: str = Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})
    """Whether the aspect holds: True, False or Unknown."""
    reason: str = Field(max_length=1024)
    """Why it holds or not, as one CamelCase word for programs."""
    message: str = Field(default="", max_length=32768)
    """Why it holds or not, for people."""
    last_transition_time: RecordedTime
    """When `status` last changed."""
    observed_generation: int | None = None
    """The `metadata.generation` this condition is based on."""


def set_condition(conditions: tuple[Condition, ...], new: Condition) -> tuple[Condition, ...]:
    """`conditions` with `new` replacing the one of its type; the transition time changes only if the status does."""
    old = next((condition for condition in conditions if condition.type == new.type), None)
    if old and old.status == new.status:
        new = new.model_copy(update={"last_transition_time": old.last_transition_time})
    return (*(condition for condition in conditions if condition.type != new.type), new)


class Metadata(Model):
    """The part of an object's metadata that we read."""

    name: str
    namespace: str = "default"
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: Recorded | None = None
    deletion_timestamp: Recorded | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
