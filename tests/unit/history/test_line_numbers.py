"""Numbers of copied lines: between those of stored lines, never one of the SDK's, with room for lines to come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mintaka_history.batches import LINE_STEP
from mintaka_history.line_numbers import NewLine, StoredLine, number


def delivered(*places: float) -> list[StoredLine]:
    """Delivered lines at multiples of the step, one a second."""
    return [StoredLine(round(place * LINE_STEP), round(place * 10), copied=False) for place in places]


def new(*rows: tuple[float | None, float | None, int]) -> list[NewLine[int]]:
    """Lines between delivered ones, with their times; their row is their position."""
    return [
        NewLine(None if low is None else round(low * LINE_STEP), None if high is None else round(high * LINE_STEP), time, index)
        for index, (low, high, time) in enumerate(rows)
    ]


def test_lines_come_between_the_lines_they_were_printed_between() -> None:
    """Before the first, between two, after the last; none has a number of the SDK's."""
    stored = delivered(1, 2, 3)
    numbered = number(new((None, 1, 0), (1, 2, 11), (1, 2, 12), (2, 3, 25), (3, None, 40)), stored)
    merged = sorted([(line.seq, "sdk") for line in stored] + [(seq, str(row)) for seq, row in numbered])
    assert [what for _, what in merged] == ["0", "sdk", "1", "2", "sdk", "3", "sdk", "4"]
    assert all(seq % LINE_STEP for seq, _ in numbered)
    assert LINE_STEP * 3 < numbered[-1][0] < LINE_STEP * 4


def test_lines_of_two_containers_are_merged_by_time() -> None:
    """Stored lines are not renumbered."""
    first = number(new((1, None, 10), (1, None, 30), (1, None, 50)), delivered(1))
    stored = [*delivered(1), *(StoredLine(seq, time, copied=True) for (seq, _), time in zip(first, (10, 30, 50), strict=True))]
    second = number(new((1, None, 20), (1, None, 30), (1, None, 40), (1, None, 60)), stored)
    merged = sorted([(seq, f"a{row}") for seq, row in first] + [(seq, f"b{row}") for seq, row in second])
    assert [what for _, what in merged] == ["a0", "b0", "a1", "b1", "b2", "a2", "b3"]


def test_a_log_without_delivered_lines_leaves_room_for_what_the_sdk_may_still_deliver() -> None:
    """Its first line will have the number of the step."""
    numbered = number(new(*[(None, None, n) for n in range(30_001)]), [])
    assert 0 < numbered[0][0] < numbered[-1][0] < LINE_STEP


def test_lines_that_find_no_room_follow_in_the_next_gap() -> None:
    """The SDK of an unknown client numbered 0, 1, 2; 70,000 lines in one step."""
    tight = [StoredLine(n, n, copied=False) for n in range(3)]
    numbered = number([NewLine(0, 1, 0, "a"), NewLine(1, 2, 1, "b"), NewLine(2, None, 2, "c")], tight)
    assert [row for _, row in numbered] == ["a", "b", "c"]
    assert all(seq > 2 for seq, _ in numbered)
    count = 70_000
    numbered = number([NewLine(LINE_STEP, 2 * LINE_STEP, 0, n) for n in range(count)], delivered(1, 2))
    assert [row for _, row in numbered] == list(range(count))
    assert len({seq for seq, _ in numbered}) == count
    assert not {seq for seq, _ in numbered} & {0, LINE_STEP, 2 * LINE_STEP, 3 * LINE_STEP}


def test_lines_before_a_beginning_that_is_full_come_before_all() -> None:
    """What follows the first line was not read, so nothing may be put there."""
    stored = [StoredLine(6, 0, copied=True), StoredLine(8, 5, copied=False)]
    numbered = number([NewLine(None, 8, 1, n) for n in range(3)], stored, open_ended=False)
    assert [row for _, row in numbered] == [0, 1, 2]
    assert sorted(seq for seq, _ in numbered) == [4, 5, 7]


@given(
    places=st.lists(st.integers(1, 12), unique=True, max_size=6),
    rounds=st.lists(st.lists(st.tuples(st.integers(-1, 5), st.integers(0, 130)), max_size=12), min_size=1, max_size=6),
)
def test_whatever_is_copied_in_whatever_order_no_number_is_given_twice(places: list[int], rounds: list[list[tuple[int, int]]]) -> None:
    """Each container's lines stay in order, and between the delivered lines that they were printed between."""
    seqs = sorted(place * LINE_STEP for place in places)
    stored = [StoredLine(seq, seq // LINE_STEP * 10, copied=False) for seq in seqs]
    for lines in rounds:
        wanted: list[NewLine[int]] = []
        latest = after = -1
        for index, (position, time) in enumerate(lines):
            after, latest = max(after, min(position, len(seqs) - 1)), max(latest, time)
            upper = seqs[after + 1] if after + 1 < len(seqs) else None
            wanted.append(NewLine(seqs[after] if after >= 0 else None, upper, latest, index))
        numbered = number(wanted, stored)
        assert [row for _, row in sorted(numbered)] == list(range(len(lines)))
        assert not {seq for seq, _ in numbered} & {line.seq for line in stored}
        for seq, row in numbered:
            assert seq % LINE_STEP
            assert wanted[row].after is None or seq > wanted[row].after  # type: ignore[operator]
            assert wanted[row].before is None or seq < wanted[row].before  # type: ignore[operator]
        stored = sorted([*stored, *(StoredLine(seq, wanted[row].time, copied=True) for seq, row in numbered)])
