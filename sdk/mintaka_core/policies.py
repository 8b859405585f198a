"""The policies of runs: rules in the order of evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core import rules

if TYPE_CHECKING:
    from mintaka_core.transitions import Policy

#: The policy of flow runs. Fences come first, then the owner's intents, then time, then retries; the order of states comes
#: last, after all redirects.
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


def with_rules_of_users(rules_of_users: Policy, policy: Policy = FLOW_RUN_POLICY) -> Policy:
    """The policy with the rules of users: after fences, intents and timeouts, before retries."""
    if not rules_of_users:
        return policy
    place = policy.index(rules.retry_what_never_ran)
    return (*policy[:place], *rules_of_users, *policy[place:])


#: The policy of task runs, applied in the process that runs the flow. A cached result comes last: it replaces a run that
#: would otherwise begin.
TASK_RUN_POLICY: Policy = (
    rules.terminal_states_stay,
    rules.wait_for_scheduled_time,
    rules.retry_failed,
    rules.retry_crashed,
    rules.run_in_order,
    rules.use_kept_result,
)
