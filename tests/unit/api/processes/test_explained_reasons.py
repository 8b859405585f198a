"""Explanations cover every reason for which the local server cannot start a process."""

from __future__ import annotations

import pytest

from mintaka_api.local.processes.process_failure_table import CREATE_REASONS
from mintaka_core.explanation_reasons import REFUSALS, REMEDIES


@pytest.mark.parametrize(("reason", "consequence"), [(reason, what) for reason, _, what in CREATE_REASONS])
def test_every_reason_is_explained(reason: str, consequence: str) -> None:
    """As a wait, or by what would change the end."""
    assert REMEDIES[reason] if consequence == "FAILED at once" else REFUSALS[reason]
