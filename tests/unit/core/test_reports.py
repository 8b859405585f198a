"""Reports: what a flow leaves fits into a termination message, and whatever lies there is read without harm."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mintaka_core.reports import LIMIT_BYTES, Report, completed_report, decode_report, is_cut_report
from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED, PAUSED, TERMINAL, State, StateType

ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=200)  # lone surrogates and control characters too
CLEAN_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
GOOD = {
    "mintaka": 1, "attempt": 1, "type": "FAILED", "name": "Failed", "reason": "ValueError", "message": "m",
    "retriable": True, "historyComplete": True, "spool": "",
}  # fmt: skip
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.integers(1, 10**6),
    st.sampled_from([COMPLETED, FAILED, CRASHED, CANCELLED, PAUSED]),
    *[CLEAN_TEXT] * 4,
    st.booleans(),
    st.booleans(),
)
def test_what_is_written_is_read_back(
    attempt: int, end: StateType, name: str, reason: str, message: str, spool: str, retriable: bool, complete: bool
) -> None:
    """A report of ordinary size survives the way through the kubelet unchanged."""
    report = Report(attempt, State(end, name, reason, message), retriable, complete, spool)
    assert decode_report(report.encode()) == report


@given(*[ANY_TEXT] * 4, st.integers(1, 3000))
@example("😀" * 200, "😀" * 200, "😀" * 5000, "😀" * 500, 1)
@example("\x01" * 200, "\x01" * 200, "\x01" * 5000, "\x01" * 500, 1)
@example('"' * 200, "\\" * 200, "漢" * 5000, "\ud800" * 500, 1)
def test_every_report_fits_whatever_it_says(name: str, reason: str, message: str, spool: str, times: int) -> None:
    """The kubelet cuts what is longer, at the end that says most: so the report is cut first, in the middle of its message."""
    text = Report(1, State(FAILED, name, reason, message * times), spool=spool).encode()
    assert len(text.encode()) <= LIMIT_BYTES
    read = decode_report(text)
    assert read is not None
    assert read.state.type == FAILED


SHARE = 12 * 1024
REPORTS = st.builds(
    Report,
    st.integers(1, 10**6),
    st.builds(
        State, st.sampled_from([COMPLETED, FAILED, CRASHED, CANCELLED, PAUSED]), ANY_TEXT, ANY_TEXT, ANY_TEXT.map(lambda text: text * 20)
    ),
    st.booleans(),
    st.booleans(),
    ANY_TEXT,
    ANY_TEXT,
    st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the bounds have none
)


def deciding(report: Report | None) -> Any:
    """All of a report but the words for people."""
    assert report is not None
    state = report.state
    return (report.attempt, state.type, state.name, state.reason, report.retriable, report.history_complete, report.suspension, report.resume_by)  # fmt: skip


def kept(text: str, size: int) -> str:
    """The first `size` bytes, as they arrive through kubelet and API server: half a character becomes a replacement."""
    return text.encode()[:size].decode(errors="replace")


@given(REPORTS, st.data())
def test_whatever_is_cut_after_the_first_line_the_verdict_is_the_same(report: Report, data: st.DataObject) -> None:
    """The kubelet keeps the beginning: 12 KiB of all containers' messages together, and others may inject containers."""
    text = report.encode()
    first_line = len(text.partition("\n")[0].encode())
    read = decode_report(text)
    for size in (first_line, first_line + 1, data.draw(st.integers(first_line, len(text.encode())))):
        cut = decode_report(kept(text, size))
        assert cut is not None
        assert deciding(cut) == deciding(read)
        whole = read.state.message if read else ""
        assert cut.state.message.removesuffix(" […]") == whole[: len(cut.state.message.removesuffix(" […]"))]
        assert cut.spool in {"", read.spool if read else ""}


@pytest.mark.parametrize("message", ["why " * 2000, "漢字" * 2000, 'q"\\\n\x01😀' * 900], ids=["letters", "three bytes", "escapes"])
def test_every_cut_of_a_long_message_is_read(message: str) -> None:
    """Within escapes and characters, too; what was cut ends in an ellipsis."""
    text = Report(1, State(FAILED, reason="ValueError", message=message), retriable=False).encode()
    first_line, whole = len(text.partition("\n")[0].encode()), json.loads(text)["message"]
    for size in range(first_line, len(text.encode())):
        cut = decode_report(kept(text, size))
        assert cut is not None
        assert (cut.state.reason, cut.retriable) == ("ValueError", False)
        assert cut.state.message in {"", whole} or cut.state.message.endswith(" […]")
        assert "\N{REPLACEMENT CHARACTER}" not in cut.state.message


@pytest.mark.parametrize("size", range(0, 110, 7))
def test_a_report_that_is_cut_within_its_first_line_is_none_and_known_as_such(size: int) -> None:
    """Of sixty containers; its beginning is no log for people."""
    cut = kept(Report(1, State(FAILED, reason="ValueError", message="m")).encode(), size)
    assert decode_report(cut) is None
    assert is_cut_report(cut) == (size > len('{"mintaka"'))


def test_what_decides_fits_the_share_of_ever_so_many_containers() -> None:
    """About two hundred bytes; no pod has sixty containers."""
    usual = Report(32767, State(CANCELLED, reason="KeyboardInterrupt", message="m" * 5000), retriable=False, history_complete=False)
    widest = Report(32767, State(CANCELLED, "n" * 500, "R" * 500))
    for report, containers in ((usual, 80), (widest, 40)):
        text = report.encode()
        assert len(text.partition("\n")[0]) <= SHARE // containers
        assert deciding(decode_report(kept(text, SHARE // containers))) == deciding(decode_report(text))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(GOOD, ensure_ascii=False),
        json.dumps(GOOD, separators=(",", ":")),
        json.dumps(GOOD, indent=1),
        json.dumps(dict(reversed(GOOD.items()))),
    ],
    ids=["as it was", "compact", "of many lines", "in another order"],
)
def test_a_report_of_an_older_release_is_read(text: str) -> None:
    """Runs go on while the operator is upgraded."""
    assert decode_report(text) == Report(1, State(FAILED, "Failed", "ValueError", "m"))


def test_a_report_is_one_json_object_to_whoever_knows_nothing_of_lines() -> None:
    """An operator of an older release, jq."""
    read = json.loads(Report(1, State(FAILED, "Failed", "ValueError", "a\nb"), spool="s").encode())
    assert read == GOOD | {"message": "a\nb", "spool": "s"}


@pytest.mark.parametrize("character", ["x", "é", "漢", "😀", "\x01", '"', "\\"], ids=ascii)
def test_a_long_message_keeps_its_beginning_and_more_of_its_end(character: str) -> None:
    """The room is used, whatever the alphabet; the last words of a traceback are its most useful ones."""
    text = Report(1, State(FAILED, message="BEGIN" + character * 100_000 + "END")).encode()
    read = decode_report(text)
    assert read is not None
    message = read.state.message
    assert message.startswith("BEGIN")
    assert message.endswith("END")
    head, tail = message.split(" […] ")
    assert len(head) < len(tail)
    assert len(text.encode()) > LIMIT_BYTES - 20


def test_a_spool_address_of_ordinary_length_is_never_cut() -> None:
    """Without its end an address is worth nothing."""
    spool = "s3://bucket/" + "f" * 500
    read = decode_report(Report(1, State(FAILED, message="x" * 10_000), spool=spool).encode())
    assert read is not None
    assert read.spool == spool


@given(ANY_TEXT)
def test_any_text_is_read_without_an_error(text: str) -> None:
    """A container may write anything there."""
    assert decode_report(text) is None or json.loads(text)["mintaka"] == 1


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), JSON_VALUES))
def test_any_damage_to_a_report_is_read_without_an_error(damage: dict[str, Any]) -> None:
    """Each field may hold anything JSON; what is read can be stored."""
    read = decode_report(json.dumps(GOOD | damage))
    if read is not None:
        for text in (read.state.name, read.state.reason, read.state.message, read.spool):
            text.encode()
            assert "\0" not in text
        assert isinstance(read.attempt, int)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "1",
        "Traceback (most recent call last):",
        "[" * 4096,
        '{"mintaka":' * 370,
        json.dumps(GOOD)[:-1],
        json.dumps({key: value for key, value in GOOD.items() if key != "message"}),
        json.dumps(GOOD | {"mintaka": 2}),
        json.dumps(GOOD | {"attempt": float("inf")}),
        json.dumps(GOOD | {"attempt": float("nan")}),
        json.dumps(GOOD | {"attempt": [1]}),
        json.dumps(GOOD | {"attempt": "one"}),
        json.dumps(GOOD | {"type": []}),
        json.dumps(GOOD | {"type": "DONE"}),
        json.dumps(GOOD).replace('"attempt": 1', '"attempt": ' + "9" * 4000),
    ],
    ids=lambda text: text[:40] or "empty",
)
def test_what_is_no_report_is_none(text: str) -> None:
    """Damaged, foreign or of another version: it is as if nothing had been left (or a harmless number)."""
    read = decode_report(text)
    assert read is None or read.attempt > 10**3000


@pytest.mark.parametrize("state_type", list(StateType))
def test_only_an_end_or_a_pause_can_be_reported(state_type: StateType) -> None:
    """A process that is over cannot claim to run."""
    read = decode_report(json.dumps(GOOD | {"type": state_type}))
    assert (read is not None) == (state_type in TERMINAL | {PAUSED})


def test_a_good_end_needs_no_words() -> None:
    """The shortest report: completed."""
    assert decode_report(completed_report(3).encode()) == Report(3, State(COMPLETED))


@pytest.mark.parametrize("until", [None, datetime(2030, 1, 1, 12, tzinfo=UTC)], ids=["for ever", "for a time"])
def test_a_suspension_is_part_of_the_report(until: datetime | None) -> None:
    """Which one, and until when; others have neither."""
    report = Report(1, State(PAUSED, "Suspended", "Suspended", "waits"), suspension="approval \N{SNOWMAN}", resume_by=until)
    assert decode_report(report.encode()) == report
    assert not {"suspension", "resumeBy"} & json.loads(completed_report(1).encode()).keys()


@pytest.mark.parametrize("until", ["tomorrow", 17, [], "9999-99-99T00:00:00Z"])
def test_a_report_that_waits_until_no_time_is_none(until: Any) -> None:
    """What a container writes is not trusted."""
    assert decode_report(json.dumps({**GOOD, "type": "PAUSED", "resumeBy": until})) is None
