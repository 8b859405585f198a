"""The policy of a run: the built-in rules and those of users that are about it, with the facts of the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mintaka_controller.reading import read_deployment
from mintaka_core.policies import FLOW_RUN_POLICY, with_rules_of_users
from mintaka_core.secret_parameters import UNKNOWN, SecretParameters
from mintaka_core.transitions import Policy, is_users_rule
from mintaka_core.user_rules import Journal, RunFacts, bind, needs, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mintaka_controller.context import Context
    from mintaka_core.reconciling.plans import RunPlan
    from mintaka_core.resources import FlowRun, FlowTemplate
    from mintaka_core.resources.runs import FlowRunStatus


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """The rules that decide about a run, what those of users did in this pass, and the other live runs if a rule counts them."""

    policy: Policy = FLOW_RUN_POLICY
    journal: Journal = field(default_factory=dict)
    live: dict[str, dict[str, int]] | None = None


async def policy_of(context: Context, run: FlowRun, template: FlowTemplate | None) -> RunPolicy:
    """The policy of a run; `template` is None if it is not known what it runs."""
    rules = context.rules.of_namespace(run.metadata.namespace)
    if not rules:
        return RunPolicy()
    journal: Journal = {}
    facts = await facts_of_run(context, run, template, with_labels=any(rule.selector.match_labels for rule in rules))
    about = select(rules, facts)
    key = (run.metadata.namespace, run.metadata.name)
    live = context.runs.live_beside(key) if needs(about, "live") else None
    return RunPolicy(with_rules_of_users(bind(about, facts, context.rules.expressions, journal)), journal, live)


async def facts_of_run(context: Context, run: FlowRun, template: FlowTemplate | None, *, with_labels: bool) -> RunFacts:
    """The facts of a run that rules read, besides its transitions."""
    namespace, deployment = run.metadata.namespace, run.spec.deployment or ""
    known = with_labels and context.deployments.get((namespace, deployment)) is not None
    found = await read_deployment(context, (namespace, deployment)) if known else None

    def parameters() -> Mapping[str, Any]:
        secrets = SecretParameters(template.parameter_schema) if template else UNKNOWN
        merged = template.merged_parameters(run.spec.parameters) if template else run.spec.parameters or {}
        masked = secrets.masked(merged)
        return masked if isinstance(masked, dict) else {}

    tags = dict.fromkeys((*(template.tags if template else ()), *run.spec.tags))
    return RunFacts(namespace, run.metadata.name, deployment, found[0].metadata.labels if found else {}, tuple(tags), parameters)


def holders_in(plan: RunPlan, status: FlowRunStatus) -> Iterable[str]:
    """The rules of users that hold the run back: that of the last decision, if it was a wait or a refusal."""
    records = (*status.transitions, *plan.transitions, *plan.noted)
    last = records[-1] if records else None
    return [last.rule] if last and not last.accepted and is_users_rule(last.rule) else []
