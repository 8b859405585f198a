"""The custom resources, written once as pydantic models; the CRDs and `kubectl explain` are generated from them."""

from mintaka_core.resources.deployments import FlowDeployment, FlowDeploymentSpec, FlowDeploymentStatus
from mintaka_core.resources.orchestration_rules import OrchestrationRule, OrchestrationRuleSpec, OrchestrationRuleStatus
from mintaka_core.resources.runs import FlowRun, FlowRunSpec, FlowRunStatus
from mintaka_core.resources.template import FlowTemplate

__all__ = [
    "FlowDeployment",
    "FlowDeploymentSpec",
    "FlowDeploymentStatus",
    "FlowRun",
    "FlowRunSpec",
    "FlowRunStatus",
    "FlowTemplate",
    "OrchestrationRule",
    "OrchestrationRuleSpec",
    "OrchestrationRuleStatus",
]
