"""Which wire versions are served, in reports and in termination messages, and the messages about the others."""

from __future__ import annotations

import json

import pytest

from mintaka_core import wire_versions
from mintaka_core.history_reasons import REPORTED_REASONS, SENTENCES, HistoryReason
from mintaka_core.reports import Report, decode_report, is_cut_report, unserved_version
from mintaka_core.states import FAILED, State
from mintaka_core.wire_versions import OLDEST_WIRE_VERSION, WIRE_VERSION, oldest_served, why_not_of_this_operator, why_unserved


@pytest.mark.parametrize(("version", "oldest"), [(1, 1), (2, 1), (3, 1), (4, 2), (10, 8)])
def test_a_release_serves_itself_and_the_two_before(version: int, oldest: int) -> None:
    assert oldest_served(version) == oldest


def test_the_range_is_that_of_this_release() -> None:
    assert oldest_served(WIRE_VERSION) == OLDEST_WIRE_VERSION
    served = [version for version in range(WIRE_VERSION + 5) if wire_versions.is_served(version)]
    assert served == list(range(OLDEST_WIRE_VERSION, WIRE_VERSION + 1))
    assert wire_versions.served_versions() == "1"


@pytest.mark.parametrize(
    ("version", "parts"),
    [
        (0, ["wire version 0", "names none", "serves 1", "rebuild the flow's image"]),
        (7, ["wire version 7", "serves 1", "upgrade the Helm release"]),
    ],
)
def test_the_sentence_names_both_versions_and_what_to_upgrade(version: int, parts: list[str]) -> None:
    assert [part for part in parts if part not in why_unserved(version, "the API")] == []


@pytest.mark.parametrize(
    ("operator", "problem"),
    [(1, ""), (2, ""), (3, ""), (4, "rebuild the flow's image"), (9, "rebuild the flow's image"), (0, "upgrade the Helm release")],
)
def test_an_operator_that_does_not_serve_this_sdk_is_found(operator: int, problem: str) -> None:
    said = why_not_of_this_operator(operator)
    assert problem in said
    assert bool(said) == bool(problem)


GOOD = json.loads(Report(1, State(FAILED, "Failed", "ValueError", "no")).encode())


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (Report(1, State(FAILED)).encode(), None),
        (json.dumps(GOOD | {"mintaka": 0}), 0),
        (json.dumps(GOOD | {"mintaka": WIRE_VERSION + 1}), WIRE_VERSION + 1),
        (json.dumps(GOOD | {"mintaka": 4711}, indent=2), 4711),
        ('{"mintaka":9,"of":"another shape","cut', 9),
        ('{"mintaka":"9","attempt":1}', None),
        ('{"mintaka":9}', None),
        ('{"mintaka":true,"attempt":1}', None),
        ("Traceback (most recent call last):", None),
        ('{"level":"INFO","mintaka":9,', None),
        ('{"mintaka":' + "9" * 1000, None),
    ],
)
def test_a_report_of_another_version_is_recognised(text: str, version: int | None) -> None:
    """In any shape; it is neither a report nor the beginning of one."""
    assert unserved_version(text) == version
    if version is not None:
        assert (decode_report(text), is_cut_report(text)) == (None, False)


@pytest.mark.parametrize("value", [True, 1.0, "1", None, [1]], ids=repr)
def test_a_version_is_an_integer(value: object) -> None:
    assert decode_report(json.dumps(GOOD | {"mintaka": value})) is None


@pytest.mark.parametrize("reason", sorted(REPORTED_REASONS))
def test_a_report_says_why_history_is_incomplete(reason: HistoryReason) -> None:
    """On its first line, so that it survives truncation."""
    report = Report(1, State(FAILED, message="m" * 9000), history_complete=False, history_reason=reason)
    text = report.encode()
    assert (decode_report(text), reason in text.partition("\n")[0]) == (decode_report(text), True)
    read = decode_report(text[: len(text) // 2])
    assert read is not None
    assert read.history_reason == reason


@pytest.mark.parametrize("reason", ["Spooled", "NoReport", "other", "", 7, None, ["HistoryLost"]], ids=repr)
def test_no_other_reason_is_taken_from_a_container(reason: object) -> None:
    read = decode_report(json.dumps(GOOD | {"historyComplete": False, "historyReason": reason}))
    assert read is not None
    assert read.history_reason is None


def test_a_complete_history_has_no_reason() -> None:
    read = decode_report(json.dumps(GOOD | {"historyComplete": True, "historyReason": "HistoryLost"}))
    assert read is not None
    assert read.history_reason is None


def test_every_reason_has_a_sentence() -> None:
    assert set(SENTENCES) == set(HistoryReason)
