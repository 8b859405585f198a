r"""Texts come back from the history as they were sent, and what is no JSON breaks nothing.

Only what a database cannot store is replaced by U+FFFD: NUL and halves of surrogate pairs, never `\u0000` as text.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, field_serializer

from mintaka import flow, get_run_logger, sharing, task
from mintaka.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from mintaka.exceptions import SharingError
from mintaka.histories import history
from mintaka.variables import Variable
from mintaka.waiting.mailboxes import plain
from mintaka_history.json_text import encode_storable
from mintaka_history.sharing.variables import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MINTAKA_HISTORY", raising=False)
    monkeypatch.delenv("MINTAKA_API_URL", raising=False)
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path))
    yield
    sharing.close()


#: What is sent, and what comes back.
TEXTS = {
    "a path that looks like an escape": (r"C:\u0000_backup", r"C:\u0000_backup"),
    "JSON in a text": (json.dumps({"a": "x\0y\ud800"}), json.dumps({"a": "x\0y\ud800"})),
    "JSON in JSON in a text": (json.dumps(json.dumps("x\0y")), json.dumps(json.dumps("x\0y"))),
    "an escape of half a pair as text": (r"\ud800 \ud83d\ude00", r"\ud800 \ud83d\ude00"),
    "quotes, lines and tabs": ('"\\u0000"\n\\n\t\\', '"\\u0000"\n\\n\t\\'),
    "characters beyond the first plane": ("\U0001f600\u2028\uffff\x85", "\U0001f600\u2028\uffff\x85"),
    "control characters": ("\x01\x1b[0m\x7f", "\x01\x1b[0m\x7f"),
    "half of a pair": ("a\ud800b", "a\N{REPLACEMENT CHARACTER}b"),
    "both halves, apart": ("\ud83d\ude00", "\U0001f600"),
    "an undecodable name of a file": ("caf\udce9", "caf\N{REPLACEMENT CHARACTER}"),
    "half of a pair beside an escape as text": ("\\u0000\ud800", "\\u0000\N{REPLACEMENT CHARACTER}"),
    "NUL beside an escape as text": ("\0\\u0000\\\0", "\N{REPLACEMENT CHARACTER}\\u0000\\\N{REPLACEMENT CHARACTER}"),
}


@task(task_run_name="{text}")
def fails(text: str) -> None:
    raise ValueError(text)


@pytest.mark.parametrize(("sent", "stored"), TEXTS.values(), ids=TEXTS)
def test_texts_come_back_as_they_were_sent(sent: str, stored: str) -> None:
    @flow(flow_run_name=lambda: sent)
    def main(value: Any, nested: Any) -> None:  # noqa: ARG001 - the history shows them
        get_run_logger().info("%s", sent)
        create_markdown_artifact(sent, description=sent)
        create_table_artifact([{sent: sent}])
        create_link_artifact(sent, sent)
        fails.with_options(tags=[sent])(sent, return_state=True)

    main.with_options(tags=[sent])(sent, {"key": [sent, {sent: 1}]})
    with history() as read:
        run = read.flow_run(read.flow_runs()[0]["uid"])
        assert (run["name"], run["tags"]) == (stored, [stored])
        # SQLite stores NUL in JSON, PostgreSQL does not.
        parameters = json.loads(encode_storable(run["parameters"]))
        assert parameters == {"value": stored, "nested": {"key": [stored, {stored: 1}]}}
        assert [line["message"] for line in read.logs(run["uid"]) if line["logger"] == "mintaka.flow_runs"] == [stored]
        (found,) = read.task_runs(run["uid"])
        assert (found["name"], found["tags"], found["message"]) == (stored, [stored], stored)
        markdown, table, link = read.artifacts(run["uid"])
        assert (markdown["data"], markdown["description"]) == (stored, stored)
        assert table["data"] == [{stored: stored}]
        assert link["data"] == {"link": stored, "link_text": stored}


@pytest.mark.parametrize("sent", [sent for sent, stored in TEXTS.values() if sent.isprintable() or sent == stored or "\0" in sent])
def test_variables_come_back_as_they_were_set(sent: str) -> None:
    try:
        sent.encode()
    except UnicodeEncodeError:
        with pytest.raises(InvalidValueError, match="half of a surrogate pair, which is not Unicode text: encode it"):
            Variable.set("v", [sent])
    else:
        Variable.set("v", {"text": [sent, {sent: sent}]}, tags=[sent])
        assert Variable.get("v") == {"text": [sent, {sent: sent}]}


class Odd(BaseModel):
    value: float = math.inf
    text: str = "a\ud800"


class Broken(BaseModel):
    value: int = 1

    @field_serializer("value")
    def refuse(self, _value: int) -> Any:
        raise LookupError("no words")


NUMBERS: dict[str, tuple[Any, Any]] = {
    "not a number": (math.nan, None),
    "infinity": (math.inf, None),
    "minus infinity in a list": ([1.5, -math.inf], [1.5, None]),
    "not a number in a dictionary": ({"a": {"b": math.nan}}, {"a": {"b": None}}),
    "not a number beside half of a pair": ({"a": [math.nan, "\ud800"], "\udfff": -math.inf}, {"a": [None, "\ufffd"], "\ufffd": None}),
    "a model with both": (Odd(), {"value": None, "text": "a\ufffd"}),
    "a model that cannot be shown": (Broken(), "<tests.unit.sdk.test_texts.Broken>"),
    "an integer beyond 64 bits": (10**30, str(10**30)),
}


@pytest.mark.parametrize(("sent", "stored"), NUMBERS.values(), ids=NUMBERS)
def test_what_json_does_not_have_is_null_in_the_history(sent: Any, stored: Any) -> None:
    @flow
    def main(value: Any) -> Any:
        create_table_artifact([{"cell": sent if isinstance(sent, float) else math.nan}])
        get_run_logger().info("%s", sent)
        return value

    returned = main(sent)
    assert returned is sent
    with history() as read:
        run = read.flow_run(read.flow_runs()[0]["uid"])
        found = run["parameters"]["value"]
        assert found == stored or (str(found).endswith("Broken>") and str(stored).endswith("Broken>"))
        json.dumps(run, allow_nan=False)
        assert [each["data"] for each in read.artifacts(run["uid"])] == [[{"cell": None}]]
        assert len([line for line in read.logs(run["uid"]) if line["logger"] == "mintaka.flow_runs"]) == 1


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": -math.inf}])
def test_a_variable_that_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises((InvalidValueError, SharingError), match="one that JSON can say"):
        Variable.set("v", value)


def test_answers_to_pauses_are_json_that_every_database_stores() -> None:
    assert plain({"a": math.nan, "b": "\ud800", "c": [math.inf, "\0"], "d": r"\u0000"}) == {
        "a": None,
        "b": "\ufffd",
        "c": [None, "\ufffd"],
        "d": r"\u0000",
    }
