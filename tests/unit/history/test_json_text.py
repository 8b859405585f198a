r"""JSON as the databases keep it: NUL and halves of surrogate pairs go, what only looks like them stays."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintaka_history.json_text import encode_storable, storable_json, without_nul

KEPT = {
    "a path on Windows": r"C:\u0000_backup",
    "JSON in a text": json.dumps({"path": r"C:\u0000", "nul": "\0", "half": "\ud800"}),
    "JSON in JSON in a text": json.dumps(json.dumps("\0\ud800")),
    "a regular expression": r"[\u0000-\u001f\ud800-\udfff]",
    "a surrogate pair": "\U0001f600",
    "backslashes": "\\" * 7 + "u0000",
}


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_only_looks_like_an_escape_is_kept(text: str, ascii_only: bool) -> None:
    """In a value and in a key."""
    encoded = json.dumps({text: [text]}, ensure_ascii=ascii_only).encode()
    assert without_nul(encoded) == storable_json(encoded) == encoded
    assert json.loads(encode_storable({text: [text]})) == {text: [text]}


REPLACED = {
    "NUL": ("a\0b", "a\ufffdb"),
    "NUL after backslashes": ("\\\\\0\\u0000", "\\\\\ufffd\\u0000"),
    "many NULs": ("\0" * 3, "\ufffd" * 3),
    "the first half of a pair": ("\ud800x", "\ufffdx"),
    "the second half of a pair": ("\udc00", "\ufffd"),
    "two first halves": ("\ud800\ud83d", "\ufffd\ufffd"),
    "a half before a pair": ("\ud800\U0001f600", "\ufffd\U0001f600"),
    "a half after a backslash": ("\\\ud800", "\\\ufffd"),
}


@pytest.mark.parametrize(("text", "stored"), REPLACED.values(), ids=REPLACED)
def test_what_no_database_keeps_is_replaced(text: str, stored: str) -> None:
    """In a value and in a key."""
    assert json.loads(storable_json(json.dumps({text: text}).encode())) == {stored: stored}
    assert json.loads(encode_storable([text])) == [stored]


@given(st.recursive(st.text(alphabet='\0\\u0dD89fF"\ud83d\ude00\ud800', max_size=12), lambda part: st.lists(part, max_size=3)))
def test_only_nul_and_halves_are_replaced(value: object) -> None:
    """Whatever stands beside them."""

    def expected(part: object) -> object:
        if isinstance(part, list):
            return [expected(each) for each in part]
        whole = str(part).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return whole.replace("\0", "\ufffd")

    found = json.loads(storable_json(json.dumps(value).encode()))
    assert found == expected(value)


def test_the_time_grows_with_the_text() -> None:
    """Also of one that is made of backslashes; four megabytes take less than two seconds of processor time."""
    began = time.process_time()
    for text in (b'"' + b"\\\\" * 2_000_000 + b'\\u0000"', b'"' + b"\\u0000" * 600_000 + b'"'):
        assert json.loads(without_nul(text)).endswith("\ufffd")
    assert time.process_time() - began < 4
