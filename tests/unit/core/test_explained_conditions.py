"""The explanation in a run's status: the condition Finished, and the word in the column REASON."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mintaka_core.reconciling.plans import AddFinalizer
from mintaka_core.rules import rule
from mintaka_core.states import CRASHED
from mintaka_core.transitions import Policy, Wait
from mintaka_core.workloads import CreateError
from run_scenario import START, Stage, crashed

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_core.transitions import Transition

HOUR = timedelta(hours=1)
BUDGET = {"onCrash": {"limit": 5, "backoff": {"delaySeconds": 10, "jitter": 0}}}


def quota() -> Stage:
    """A run for which no pod can be created."""
    stage = Stage(settled=False)
    stage.create_error = CreateError("QuotaExceeded", "exceeded quota: team", CRASHED, None)
    return stage.settle()


#: The kind, how it comes about, and the condition: status, reason, message.
CONDITIONS: list[tuple[str, Callable[[], Stage], tuple[str, str, str]]] = [
    (
        "waits for its time",
        lambda: Stage(spec={"scheduledTime": START + HOUR}),
        ("False", "Scheduled", "It waits for its scheduled time, 2026-01-01T13:00:00Z. It starts then. To run now, create another run without scheduledTime."),
    ),
    (
        "runs",
        lambda: Stage(timeoutSeconds=60).pass_time(1).start(),
        ("False", "Running", "Attempt 1 runs in pod r-1 since 2026-01-01T12:00:01Z. It is stopped and fails TimedOut if it has not ended by 2026-01-01T12:01:01Z. mintaka logs r shows its log."),
    ),
    (
        "retries",
        lambda: Stage(retries=BUDGET).pass_time(1).start().end(crashed("OOMKilled")),
        ("False", "OOMKilled", "Attempt 1 crashed with OOMKilled. Attempt 2 starts at 2026-01-01T12:00:11Z (crash 1 of 5 allowed). "),
    ),
    ("a quota is used up", quota, ("False", "QuotaExceeded", "A ResourceQuota has no room: exceeded quota: team. The operator asks again within 2 min, ")),
    ("is being suspended", lambda: Stage().pass_time(1).start().ask(suspend=True), ("False", "Running", "Its workload is being stopped for spec.suspend. ")),
    ("is over", lambda: Stage().pass_time(1).start().end(), ("True", "Completed", "It completed. Nothing follows. mintaka resume r runs it again.")),
]  # fmt: skip


@pytest.mark.parametrize(("lived", "expected"), [pytest.param(*each, id=kind) for kind, *each in CONDITIONS])
def test_the_condition_states_why_a_run_is_in_its_state(lived: Callable[[], Stage], expected: tuple[str, str, str]) -> None:
    """In full, whatever the time is: repeating the pass writes nothing."""
    stage = lived()
    (found,) = [condition for condition in stage.run.status.conditions if condition.type == "Finished"]
    status, reason, message = expected
    assert (found.status, found.reason) == (status, reason)
    assert found.message.startswith(message)
    assert stage.plan().status is None


@rule()
def freeze(transition: Transition) -> Any:
    """No starts in a freeze."""
    if transition.edge != ("SCHEDULED", "PENDING") or transition.now >= START + HOUR:
        return None
    return Wait(START + HOUR, "no starts before noon")


def test_a_run_that_a_rule_holds_names_the_rule_and_the_time() -> None:
    """A word in the column, and the sentence; once the rule lets it go, neither."""
    policy: Policy = (freeze,)
    stage = Stage(settled=False, policy=policy)
    stage.settle()
    (found,) = [condition for condition in stage.run.status.conditions if condition.type == "Finished"]
    assert (stage.run.status.problem, found.reason) == ("HeldByRule", "HeldByRule")
    assert (
        found.message == "Rule freeze holds it: no starts before noon. It is asked again at 2026-01-01T13:00:00Z. mintaka cancel r ends it."
    )
    stage.pass_time(to=START + HOUR)
    assert (stage.state, stage.run.status.problem) == ("PENDING", "")
    assert AddFinalizer() in stage.effects


def test_a_process_of_this_machine_is_not_called_a_pod() -> None:
    """A local server's runs."""
    stage = Stage(local=True)
    assert next(each.message for each in stage.run.status.conditions if each.type == "Finished").startswith("Its process was created ")
