"""Cursors, prefixes, histories, bodies, settings, credentials: each small, each with its rule."""

from __future__ import annotations

import asyncio
import base64
import gzip
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from mintaka_api.json_schema_checks import check_parameters
from mintaka_api.paging import decode_cursor, encode_cursor
from mintaka_api.problems import Problem
from mintaka_api.request_bodies import HeldBodies, Intake
from mintaka_api.settings import InvalidSetting, from_command_line, from_environment
from mintaka_controller.schema_validation import CheckUnavailable, InvalidSchema, Violation
from mintaka_core.errors import MintakaError
from mintaka_core.resources import FlowDeployment
from mintaka_core.states import DEFAULT_NAMES, StateType
from mintaka_history.enum_codes import STATE_CODES, StateWord
from mintaka_history.lineage import inputs_of, upstream_of
from mintaka_history.queries.pages import prefix_end
from mintaka_history.state_history import compact_history, expand_history
from mintaka_history.timestamps import from_microseconds, to_microseconds
from mintaka_history.writing.runs import first_number

if TYPE_CHECKING:
    from mintaka_controller.schema_validation import SchemaValidator

words = st.sampled_from([state.value for state in StateType])
opinions = st.tuples(st.text(max_size=9), st.sampled_from(["Accept", "Redirect", "Wait", "Abort"]), st.text(max_size=9))
entries = st.tuples(
    words,
    st.one_of(st.just(""), st.text(max_size=9)),
    st.integers(-(2**50), 2**50),
    st.one_of(st.just(""), words),
    st.lists(opinions, max_size=3).map(tuple),
)


@given(st.lists(entries, max_size=6))
def test_a_history_comes_back_as_it_went_in(history: list[Any]) -> None:
    """But that a state without a name has its type's, and that a proposal which is not told was one of that state."""
    assert expand_history(compact_history(history)) == [
        (word, name or DEFAULT_NAMES[StateType(word)], offset, proposed or word, list(trail))
        for word, name, offset, proposed, trail in history
    ]


def test_an_ordinary_history_is_short() -> None:
    """Three states take 27 bytes."""
    usual: list[Any] = [("PENDING", "Pending", 0, "", ()), ("RUNNING", "Running", 11, "", ()), ("COMPLETED", "Completed", 43, "", ())]
    assert compact_history(usual) == "[[2,0],[3,11],[4,43]]"


def test_rows_written_before_trails_and_parameters_were_kept_are_read() -> None:
    """What they do not say stays empty."""
    assert expand_history('[[2,0],[1,5,"AwaitingRetry","retry_failed","failure 1 of 1 allowed"],[3,9,"Retrying","",""]]') == [
        ("PENDING", "Pending", 0, "PENDING", []),
        ("SCHEDULED", "AwaitingRetry", 5, "SCHEDULED", [("retry_failed", "Redirect", "failure 1 of 1 allowed")]),
        ("RUNNING", "Retrying", 9, "RUNNING", []),
    ]
    assert inputs_of("[0,2]") == {"": [0, 2]}
    assert upstream_of(inputs_of('{"rows":[2,0],"wait_for":[0]}')) == [2, 0]
    assert inputs_of(None) == {}


def test_every_state_has_a_code_of_its_own_and_a_word() -> None:
    """The wire, the database and the core name the same states."""
    assert set(STATE_CODES) == set(StateType)
    assert len(set(STATE_CODES.values())) == len(StateType)
    assert set(StateWord.__args__) == {state.value for state in StateType}


@given(st.integers(-(10**15), 253_402_214_400_000_000))
def test_an_instant_is_its_microseconds(microseconds: int) -> None:
    """There and back."""
    assert to_microseconds(from_microseconds(microseconds)) == microseconds


@given(st.text(max_size=6), st.text(max_size=6))
def test_a_prefix_is_a_range(prefix: str, text: str) -> None:
    """By code point, as both databases sort."""
    end = prefix_end(prefix)
    assert text.startswith(prefix) == (text >= prefix and (end is None or text < end)) or any(
        0xD800 <= ord(c) < 0xE000 for c in prefix + text
    )


def test_numbers_of_runs_are_ordered_by_time() -> None:
    """A later run has a higher number, whatever its uid."""
    assert first_number("a", 1_000_000) < first_number("b", 1_001_000)
    assert first_number("a", 1_000_000) == first_number("a", 1_000_999)


def test_a_cursor_gives_back_its_key() -> None:
    """In the question it belongs to."""
    cursor = encode_cursor({"sort": "name"}, ("ü", 3))
    assert decode_cursor({"sort": "name"}, cursor, (str, int)) == (("ü", 3), False)
    assert decode_cursor({"sort": "name"}, None, (str, int)) == (None, False)
    before = encode_cursor({"sort": "name"}, ("ü", 3), backwards=True)
    assert decode_cursor({"sort": "name"}, before, (str, int)) == (("ü", 3), True)
    assert encode_cursor({"sort": "name"}, None) is None


@given(st.one_of(st.text(max_size=40), st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_anything_else_is_no_cursor(text: str) -> None:
    """A Problem, whatever it is."""
    with pytest.raises(Problem, match="cursor"):
        decode_cursor({}, text, (int,))


@pytest.mark.parametrize("key", [("a",), (1, 2), (2**70,), (True,), (None,), (1.5,), ([1],)])
def test_a_forged_key_of_another_shape_is_no_cursor(key: tuple[Any, ...]) -> None:
    """The digest alone does not make it one."""
    with pytest.raises(Problem, match="cursor"):
        decode_cursor({}, encode_cursor({}, key), (int,))


async def body_of(content: list[bytes], encoding: str = "", limit: int = 100) -> bytes:
    """What an intake makes of a request."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in content] + [{"type": "http.request", "body": b""}]

    async def receive() -> Any:
        return messages.pop(0)

    headers = [(b"content-encoding", encoding.encode())] if encoding else []
    async with Intake().body(Request({"type": "http", "method": "POST", "headers": headers}, receive), limit) as body:
        return body


@pytest.mark.anyio
async def test_bodies_up_to_the_limit_are_read() -> None:
    """Packed or not, in any pieces."""
    assert await body_of([b"a" * 60, b"b" * 40]) == b"a" * 60 + b"b" * 40
    packed = gzip.compress(b"a" * 100)
    assert await body_of([packed[:7], packed[7:]], "gzip") == b"a" * 100


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("content", "encoding", "name"),
    [
        ([b"a" * 101], "", "too-large"),
        ([gzip.compress(b"a" * 101)], "gzip", "too-large"),
        ([gzip.compress(b"a" * 10**7)], "GZIP", "too-large"),
        ([gzip.compress(b"a")[:-1]], "gzip", "malformed"),
        ([b"a"], "gzip", "malformed"),
        ([b"a"], "zstd", "unsupported-encoding"),
    ],
)
async def test_other_bodies_are_problems(content: list[bytes], encoding: str, name: str) -> None:
    """Too large, not whole, not known."""
    with pytest.raises(Problem) as refused:
        await body_of(content, encoding)
    assert refused.value.name == name


def body_request(content: list[bytes], *, ends: bool = True) -> Request:
    """A request whose body arrives in parts; `ends` False: of which the rest never comes."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in content]

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        if not ends:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b""}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


@pytest.mark.anyio
async def test_all_bodies_together_are_bounded() -> None:
    """One that finds no room is to be sent again, and takes no room; what was processed makes room."""
    intake = Intake(100)
    async with intake.body(body_request([b"a" * 60])) as first, intake.body(body_request([b"b" * 40])) as second:
        assert (first, second) == (b"a" * 60, b"b" * 40)
        for content in ([b"c"], [b"", b"c" * 50, b"c" * 51]):
            with pytest.raises(Problem) as refused:
                async with intake.body(body_request(content)):
                    pass
            assert refused.value.name == "overloaded"
    with suppress(KeyError):
        async with intake.body(body_request([b"d" * 100])) as third:
            raise KeyError(third)
    async with intake.body(body_request([b"e" * 100])) as last:
        assert last == b"e" * 100


@pytest.mark.anyio
async def test_a_body_that_does_not_arrive_holds_no_room_for_long() -> None:
    """It is given up."""
    intake = Intake(100, arrival_seconds=0.01)
    with pytest.raises(Problem) as refused:
        async with intake.body(body_request([b"a" * 100], ends=False)):
            pass
    assert refused.value.name == "too-slow"
    async with intake.body(body_request([b"b" * 100])) as body:
        assert body == b"b" * 100


@pytest.mark.anyio
@pytest.mark.parametrize("fails", [False, True])
async def test_a_held_body_counts_until_its_request_is_answered(fails: bool) -> None:
    """Or fails."""
    intake = Intake(100)

    async def answer(scope: Any, receive: Any, _send: Any) -> None:
        assert await intake.hold(Request(scope, receive), 100) == b"a" * 60
        with pytest.raises(Problem) as refused:
            await intake.hold(Request(scope, body_request([b"b" * 41]).receive), 100)
        assert refused.value.name == "overloaded"
        if fails:
            raise KeyError

    given_one = body_request([b"a" * 60])
    with suppress(KeyError):
        await HeldBodies(answer)(given_one.scope, given_one.receive, cast("Any", None))
    async with intake.body(body_request([b"c" * 100])) as last:
        assert len(last) == 100


class Answering:
    """A validator that gives a prepared answer."""

    def __init__(self, answer: list[Violation] | MintakaError) -> None:
        self.answer = answer

    async def violations(self, _schema: Any, _value: Any, _name: str, *, namespace: str) -> list[Violation]:
        assert namespace == "sales"
        if isinstance(self.answer, MintakaError):
            raise self.answer
        return self.answer


VIOLATION = Violation(path="parameters/n", message='"x" is not of type "integer"')
CHECKED: dict[str, tuple[list[Violation] | MintakaError, tuple[str, str]]] = {
    "they disobey": ([VIOLATION], ("invalid-parameters", 'parameters/n: "x" is not of type "integer"')),
    "the schema is none": (
        InvalidSchema("a reference in it leads nowhere"),
        ("invalid-parameters", "the flow deployment's parameterSchema is not valid: a reference in it leads nowhere"),
    ),
    "no process can be started": (
        CheckUnavailable("there is no memory"),
        ("validation-unavailable", "parameters cannot be checked at the moment, try again: there is no memory"),
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize(("answer", "problem"), CHECKED.values(), ids=CHECKED)
async def test_parameters_that_cannot_be_accepted_are_a_problem(answer: list[Violation] | MintakaError, problem: tuple[str, str]) -> None:
    """Of the parameters, of the schema, or of the moment."""
    spec = {"entrypoint": "m:f", "parameterSchema": {"type": "object"}}
    deployment = FlowDeployment.model_validate({"metadata": {"name": "d", "namespace": "sales", "uid": "u"}, "spec": spec})
    with pytest.raises(Problem) as refused:
        await check_parameters(cast("SchemaValidator", Answering(answer)), deployment, {"n": "x"}, "sales")
    assert (refused.value.name, refused.value.detail) == problem


def test_options_win_over_environment_variables() -> None:
    """And those over defaults."""
    environment = {"MINTAKA_LISTEN_PORT": "1", "MINTAKA_NAMESPACES": "a, b,", "MINTAKA_MIRROR": "false", "MINTAKA_LOG_LEVEL": "debug"}
    settings = from_environment(environment)
    assert (settings.port, settings.namespaces, settings.mirror, settings.log_level) == (1, ("a", "b"), False, "DEBUG")
    settings = from_command_line(["--port", "2", "--namespace", "c", "--mirror", "--database-url", "sqlite://"], environment)
    assert (settings.port, settings.namespaces, settings.mirror, settings.database_url) == (2, ("c",), True, "sqlite://")


@pytest.mark.parametrize("environment", [{"MINTAKA_LISTEN_PORT": "tcp://10.0.0.1:4200"}, {"MINTAKA_MIRROR": "perhaps"}])
def test_settings_that_make_no_sense_are_refused(environment: dict[str, str]) -> None:
    """With the variable's name."""
    with pytest.raises(InvalidSetting, match=next(iter(environment))):
        from_environment(environment)
