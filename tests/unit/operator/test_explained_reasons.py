"""Explanations cover every reason of the operator's tables, and its times."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mintaka_core.explanation_reasons import ISSUES, REFUSALS, REMEDIES
from mintaka_core.reconciling.observation import FORCE_AFTER
from mintaka_operator.create_errors import CREATE_REASONS
from mintaka_operator.pending_reasons import PENDING_REASONS

_TIMES = {
    "waits 10 minutes": timedelta(minutes=10),
    "waits 5 minutes": timedelta(minutes=5),
    "waits 60 s": timedelta(seconds=60),
    "waits for ever": None,
    "tried again for ever": None,
}


@pytest.mark.parametrize(("reason", "consequence"), [(reason, what.partition(";")[0]) for reason, _, what in CREATE_REASONS])
def test_every_refusal_of_a_pod_is_explained(reason: str, consequence: str) -> None:
    """As long as the run waits, with the operator's time; if it ends at once, by what would change that."""
    if consequence == "CRASHED at once":
        assert REMEDIES[reason]
    else:
        assert REFUSALS[reason].patience == _TIMES[consequence]


@pytest.mark.parametrize("reason", [reason for row in PENDING_REASONS for reason in row.reasons])
def test_every_reason_for_which_a_pod_does_not_start_is_explained(reason: str) -> None:
    """By a clause of its own."""
    assert ISSUES[reason] != ISSUES[""]


def test_a_pod_that_does_not_stop_is_deleted_by_force_at_the_time_in_the_explanation() -> None:
    """5 min after its grace period."""
    assert timedelta(minutes=5) == FORCE_AFTER
