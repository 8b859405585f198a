"""Which rules a run obeys, in the order they are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core import rules

if TYPE_CHECKING:
    from mintaka_core.transitions import Policy

#: The life of a flow run. Fences come first, then the owner's intents, then time, then retries; the order of states last,
#: when every redirect has been made.
FLOW_RUN_POLICY: Policy = (
    rules.fence_stale_attempts,
    rules.terminal_states_stay,
    rules.cancelling_ends_cancelled,
    rules.cancel_what_does_not_run,
    rules.suspend_before_running,
    rules.suspend_what_was_stopped,
    rules.wait_for_scheduled_time,
    rules.time_out_pending,
    rules.time_out_running,
    rules.retry_what_never_ran,
    rules.retry_failed,
    rules.retry_crashed,
    rules.run_in_order,
)

#: The life of a task run, decided in the process that runs the flow. A kept result comes last: it stands in for a run
#: that would otherwise begin.
TASK_RUN_POLICY: Policy = (
    rules.terminal_states_stay,
    rules.wait_for_scheduled_time,
    rules.retry_failed,
    rules.retry_crashed,
    rules.run_in_order,
    rules.use_kept_result,
)
