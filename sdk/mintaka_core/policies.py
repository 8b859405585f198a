"""The policies of runs: rules in the order of evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core import rules, task_rules

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
    rules.wait_for_a_slot,
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


#: The policy of task runs, and of flow runs whose own process decides: those of scripts and those that a flow calls. What replaces a
#: run that would otherwise begin comes after the order of states; only a run that really begins waits for slots.
TASK_RUN_POLICY: Policy = (
    rules.terminal_states_stay,
    task_rules.complete_without_result,
    rules.wait_for_scheduled_time,
    task_rules.cancel_what_is_left,
    rules.retry_failed,
    rules.retry_crashed,
    task_rules.run_in_process_order,
    task_rules.replay_recorded_result,
    task_rules.use_kept_result,
    task_rules.wait_for_tag_slots,
)

#: Both policies by the name that users see.
POLICIES: dict[str, Policy] = {"flow-runs": FLOW_RUN_POLICY, "task-runs": TASK_RUN_POLICY}
#: What each is for.
TITLES = {
    "flow-runs": "flow runs of deployments, decided by the operator or the local server",
    "task-runs": "task runs, and flow runs of scripts and called flows, decided by the process that runs the flow",
}
