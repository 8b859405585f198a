"""YAML that is printed is read the same by readers of YAML 1.1 and 1.2, kubectl's among them, as keys and as values."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mintaka.yaml_text import as_yaml

#: What a reader of YAML 1.1 or 1.2 takes for something else than text if it is not quoted: go-yaml, which kubectl has, and others.
NOT_TEXT = [
    "n",
    "N",
    "y",
    "Y",
    "no",
    "No",
    "NO",
    "yes",
    "Yes",
    "on",
    "On",
    "ON",
    "off",
    "OFF",
    "true",
    "True",
    "TRUE",
    "false",
    "False",
    "null",
    "Null",
    "NULL",
    "~",
    "=",
    "<<",
    "1e3",
    "1E5",
    "1e+3",
    "12e03",
    "1_000",
    "012",
    "08",
    "0o17",
    "0O17",
    "0x1f",
    "0X1F",
    "0b11",
    "0B1",
    "-1",
    "+1",
    "1.",
    ".5",
    "-.5",
    "1:20",
    "190:20:30",
    "685_230.15",
    ".inf",
    ".Inf",
    "-.inf",
    "+.INF",
    ".nan",
    ".NaN",
    "2024-01-01",
    "2024-01-01T00:00:00Z",
]
#: What has a meaning in YAML where it stands, or would be changed.
SPECIAL = [
    *(
        "",
        " ",
        " a",
        "a ",
        "- a",
        "-",
        "--- a",
        "...",
        "? a",
        ": a",
        "a: b",
        "a #b",
        "#",
        "&a",
        "*a",
        "!!str a",
        "|",
        ">",
        "%a",
        "@a",
        "`a",
        "[a",
        "{a",
    ),
    *(
        "a\nb",
        "a\n",
        "\na",
        "a\n\n",
        " a\nb",
        "a \nb",
        "\ta\nb",
        "a\r\nb",
        "\r",
        "\t",
        "a\x85b",
        "a\u2028b\nc",
        "\ufeffa",
        "a: b\nc: d",
        "---\na",
    ),
    *('"', "'", "\\", "\\u0000", "\x07", "\x7f", "\x00", "\u00a0", "\U0001f600", "x" * 300, "long words " * 40, "many words\n" * 40),
]


@pytest.mark.parametrize("text", NOT_TEXT)
def test_what_could_be_something_else_is_quoted_as_a_key_and_as_a_value(text: str) -> None:
    printed = as_yaml({"spec": {"parameters": {text: text, "list": [text]}}})
    scalars = [(event.value, event.style) for event in yaml.parse(printed) if isinstance(event, yaml.ScalarEvent)]
    assert [style for value, style in scalars if value == text] == ['"', '"', '"']


@pytest.mark.parametrize("text", [*NOT_TEXT, *SPECIAL], ids=ascii)
def test_texts_are_read_as_they_were(text: str) -> None:
    document = {"spec": {text: 1, "value": text, "list": [text, {text: text}], "end": "end"}}
    assert yaml.safe_load(as_yaml(document)) == document


@given(
    st.recursive(
        st.text(st.characters(codec="utf-8")), lambda part: st.lists(part) | st.dictionaries(st.text(max_size=9), part), max_leaves=9
    )
)
def test_any_document_is_read_as_it_was(document: Any) -> None:
    assert yaml.safe_load(as_yaml({"document": document})) == {"document": document}


@given(st.text(st.sampled_from("0123456789_.eExXoObB+-:infaN~ynYN<="), min_size=1, max_size=8))
def test_no_plain_text_looks_like_a_number_or_a_word_of_yaml(text: str) -> None:
    printed = as_yaml([text])
    (style,) = [event.style for event in yaml.parse(printed) if isinstance(event, yaml.ScalarEvent)]
    if style is None:
        assert not re.match(r"[-+]?\.?[0-9]|[-+]?\.(inf|nan)", text, re.IGNORECASE)
        assert text.lower() not in {word.lower() for word in NOT_TEXT}


def test_other_values_are_what_they_are_and_none_is_an_anchor() -> None:
    same = ["a"]
    document = {"numbers": [1, -1, 1.5, 1e20, 10**18], "words": [True, False, None], "one": same, "two": same, "empty": [{}, []]}
    printed = as_yaml(document)
    assert yaml.safe_load(printed) == document
    assert not re.search(r"[&*]id", printed)
