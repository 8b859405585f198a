"""Resources: what is written is read back, leniently, and small enough."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintaka_core.backoff import Backoff, Budget, Retries
from mintaka_core.instants import format_time
from mintaka_core.resources import FlowDeployment, FlowRun, FlowRunSpec, FlowRunStatus, FlowTemplate
from mintaka_core.resources.model import Condition, Model, set_condition
from mintaka_core.resources.runs import TRANSITIONS_KEPT, StateStatus, TransitionStatus
from mintaka_core.states import CRASHED, FAILED, RUNNING, State, StateType

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
INSTANTS = st.integers(0, 3 * 10**15).map(lambda microseconds: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds))
ZONED = st.builds(datetime.astimezone, INSTANTS, st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]))
WORDS = st.text(min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def a[M: Model](model: type[M], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[M]:
    """A model of these fields; hypothesis would fill its camelCase aliases too."""
    return st.fixed_dictionaries(fields).map(lambda drawn: model(**drawn))


OBJECTS = st.dictionaries(WORDS, JSON, max_size=4)
CONDITIONS = a(
    Condition,
    type=WORDS,
    status=st.sampled_from(["True", "False", "Unknown"]),
    reason=WORDS,
    message=WORDS,
    last_transition_time=INSTANTS,
    observed_generation=st.none() | st.integers(0, 9),
)
STATES = a(StateStatus, type=st.sampled_from(list(StateType)), name=WORDS, reason=WORDS, message=WORDS, time=INSTANTS)
TRANSITIONS = a(
    TransitionStatus,
    sequence=st.integers(1, 99),
    from_type=st.none() | st.sampled_from(list(StateType)),
    to=st.sampled_from(list(StateType)),
    name=WORDS,
    proposed=st.sampled_from(list(StateType)),
    rule=WORDS,
    verdict=st.sampled_from(["Accept", "Redirect"]),
    reason=WORDS,
    message=WORDS,
    attempt=st.integers(0, 9),
    time=INSTANTS,
)
STATUSES = a(
    FlowRunStatus,
    state=st.none() | STATES,
    sequence=st.integers(0, 99),
    attempt=st.integers(0, 9),
    pod_name=st.none() | WORDS,
    start_time=st.none() | ZONED,
    next_time=st.none() | INSTANTS,
    transitions=st.lists(TRANSITIONS, max_size=3).map(tuple),
    conditions=st.lists(CONDITIONS, max_size=3).map(tuple),
    problem=WORDS,
)

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "mintaka.dev/v1alpha1",
    "kind": "FlowDeployment",
    "metadata": {"name": "etl", "namespace": "team", "uid": "u1", "resourceVersion": "7", "generation": 3, "finalizers": []},
    "spec": {
        "entrypoint": "flow.py:main",
        "source": {"configMap": {"name": "code"}},
        "image": "python:3.13",
        "parameters": {"day": None, "nested": {"Case": [1, 2.5, "x"]}},
        "parameterSchema": {"type": "object", "$defs": {}},
        "retries": {"onFailure": {"limit": 2, "backoff": {"delaySeconds": 1.5, "factor": 3, "maxSeconds": 60, "jitter": 0}}, "onCrash": {"limit": 3, "reasons": ["Evicted"]}},
        "timeoutSeconds": 60,
        "pendingTimeoutSeconds": 30,
        "verdicts": {"OOMKilled": "FAILED"},
        "podTemplate": {"spec": {"containers": [{"name": "flow", "resources": {"limits": {"memory": "1Gi"}}}]}},
        "tags": ["a"],
        "schedules": [{"name": "nightly", "cron": "0 6 * * *", "timeZone": "Europe/Berlin", "startingDeadlineSeconds": 60}, {"name": "often", "interval": "15m", "anchor": "2026-01-01T00:00:00.000000Z", "suspend": True}],
        "suspend": True,
        "history": {"limit": 5, "ttlSecondsAfterFinished": 60},
        "version": "1",
        "description": "d",
    },
    "status": {"observedGeneration": 3, "activeRuns": 1, "schedules": [{"name": "nightly", "definition": "0 6 * * * Europe/Berlin", "lastTime": "2026-01-01T05:00:00.000000Z"}]},
}  # fmt: skip


def _contains(whole: Any, part: Any) -> bool:
    """`part` is in `whole`, field by field; what `whole` has more are defaults."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and _contains(whole[key], value) for key, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(_contains(*pair) for pair in zip(whole, part, strict=True))
    return bool(whole == part)


def test_a_manifest_with_everything_loses_nothing() -> None:
    """Every field of a deployment comes back as it was written, nulls among the parameters too."""
    read = FlowDeployment.model_validate(DEPLOYMENT)
    wire = read.to_wire()
    assert _contains(wire, DEPLOYMENT)
    assert FlowDeployment.model_validate_json(json.dumps(wire)) == read


@given(STATUSES)
@settings(max_examples=50)
def test_a_status_survives_the_way_through_the_api_server(status: FlowRunStatus) -> None:
    """Instants keep their microseconds, whatever zone they were told in; what is unset is left out."""
    wire = json.loads(json.dumps(status.to_wire()))
    assert FlowRunStatus.model_validate(wire) == status
    assert None not in wire.values()


@given(OBJECTS, st.none() | ZONED, st.booleans(), st.lists(WORDS, max_size=3))
@settings(max_examples=50)
def test_a_run_survives_the_way_through_the_api_server(
    parameters: dict[str, Any], scheduled_time: datetime | None, suspend: bool, tags: list[str]
) -> None:
    """Parameters are the user's: not a key of them is touched."""
    spec = FlowRunSpec(deployment="etl", parameters=parameters, scheduled_time=scheduled_time, suspend=suspend, tags=tuple(tags))
    wire = json.loads(json.dumps(spec.to_wire()))
    assert wire["parameters"] == parameters
    assert FlowRunSpec.model_validate(wire) == spec


def test_what_a_newer_operator_wrote_is_read_by_an_older_one() -> None:
    """Unknown fields are ignored: the API server is the one that refuses them."""
    run = FlowRun.model_validate(
        {"metadata": {"name": "r", "managedFields": []}, "spec": {"deployment": "etl", "priority": 3}, "status": {"newer": {}}}
    )
    assert run.spec.deployment == "etl"


def test_models_cannot_be_changed_in_place() -> None:
    """What was observed stays what was observed."""
    run = FlowRun.model_validate({"metadata": {"name": "r"}, "spec": {"deployment": "etl"}})
    with pytest.raises(ValueError, match="frozen"):
        run.spec = FlowRunSpec()  # type: ignore[misc]


@given(ZONED)
def test_instants_are_told_in_utc_to_the_microsecond(instant: datetime) -> None:
    """As Kubernetes writes a MicroTime."""
    text = format_time(instant)
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == instant


def test_a_condition_moves_its_time_only_with_its_status() -> None:
    """Told again, it keeps the time; changed, it takes the new one; others stay where they are."""
    other = Condition(type="Other", status="True", reason="R", last_transition_time=NOW)
    first = set_condition((other,), Condition(type="Ready", status="True", reason="A", last_transition_time=NOW))
    again = set_condition(first, Condition(type="Ready", status="True", reason="B", last_transition_time=LATER))
    changed = set_condition(again, Condition(type="Ready", status="False", reason="C", last_transition_time=LATER))
    assert [(c.type, c.reason, c.last_transition_time) for c in again] == [("Other", "R", NOW), ("Ready", "B", NOW)]
    assert [(c.type, c.reason, c.last_transition_time) for c in changed] == [("Other", "R", NOW), ("Ready", "C", LATER)]


def test_a_state_without_a_time_is_no_status() -> None:
    """A proposal cannot be stored."""
    with pytest.raises(ValueError, match="no time"):
        StateStatus.of(State(RUNNING))


def test_long_texts_are_cut_to_what_the_schema_admits() -> None:
    """A status that the API server refuses would hold the run up for ever."""
    state = StateStatus.of(State(FAILED, "n" * 9999, "r" * 9999, "m" * 9999, NOW))
    assert (len(state.name), len(state.reason), len(state.message)) == (200, 200, 4096)


def test_the_longest_status_is_far_below_what_etcd_takes() -> None:
    """Full of transitions with the longest texts that we write, in an alphabet of three bytes a letter: under 256 KiB."""
    text = "漢" * 5000
    state = StateStatus.of(State(CRASHED, text, text, text, NOW))
    transition = TransitionStatus(
        sequence=1, to=CRASHED, name=state.name, proposed=CRASHED, verdict="Redirect", reason=state.reason, message=text[:1024], attempt=1, time=NOW
    )  # fmt: skip
    condition = Condition(type="Finished", status="True", reason=state.name, message=text[:1024], last_transition_time=NOW)
    status = FlowRunStatus(state=state, transitions=(transition,) * TRANSITIONS_KEPT, conditions=(condition,) * 5)
    assert len(json.dumps(status.to_wire(), ensure_ascii=False).encode()) < 256 * 1024


def test_retries_become_budgets_the_rules_understand() -> None:
    """Every figure arrives where it belongs; the budgets do not mix."""
    template = FlowTemplate.model_validate(DEPLOYMENT["spec"])
    assert template.retries.budgets() == Retries(
        Budget(2, Backoff(1.5, 3, 60, 0)), Budget(3, Backoff(10, 2, 600, 0.1), frozenset({"Evicted"}))
    )
    assert FlowTemplate().retries.budgets() == Retries(Budget(0, Backoff()), Budget(0, Backoff()))


def test_a_runs_parameters_go_over_its_deployments_one_by_one() -> None:
    """Not merged any deeper: a parameter is one value."""
    template = FlowTemplate(parameters={"a": 1, "b": {"x": 1}})
    assert template.merged_parameters({"b": {"y": 2}, "c": None}) == {"a": 1, "b": {"y": 2}, "c": None}
    assert template.merged_parameters(None) == {"a": 1, "b": {"x": 1}}
    assert FlowTemplate().merged_parameters(None) == {}


def test_every_model_is_frozen_and_camel_case() -> None:
    """One base decides how all of them look on the wire."""
    for model in _models(Model):
        assert model.model_config.get("frozen"), model
        for name, field in model.model_fields.items():
            assert "_" not in (field.alias or name), (model, name)


def _models(model: type[Model]) -> set[type[Model]]:
    return {model, *(found for child in model.__subclasses__() for found in _models(child))}
