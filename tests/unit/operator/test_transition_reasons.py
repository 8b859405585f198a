"""Transitions are counted by reason; how many series that makes is not for users to decide."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from mintaka_operator import metrics
from mintaka_operator.transition_reasons import KNOWN_REASONS, reason_class

MODULES = ("mintaka_controller.applying", "mintaka_controller.create_checks", "mintaka_controller.gathering", "mintaka_core.limits", "mintaka_core.rules", "mintaka_core.reconciling.reruns", "mintaka_core.reconciling.cleanup", "mintaka_core.reconciling.active_runs", "mintaka_core.reconciling.runs", "mintaka.runner", "mintaka.termination", "mintaka_operator.pods", "mintaka_operator.exits", "mintaka_operator.disruptions")  # fmt: skip
#: Calls whose first argument, or whose `reason`, is the reason of a state.
MAKERS = {"State", "Crashed", "Failed", "Cancelled", "crashed", "CreateError", "Excess", "_final", "scheduled", "run_again", "_fault"}


def reasons_in(module: str) -> set[str]:
    """The reasons that a module's source gives as literals."""
    file = importlib.import_module(module).__file__
    assert file
    found: set[str] = set()
    for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in MAKERS):
            continue
        given = [keyword.value for keyword in node.keywords if keyword.arg == "reason"] + node.args[:1]
        found |= {value.value for value in given if isinstance(value, ast.Constant) and isinstance(value.value, str)}
    return {word for word in found if word.isalpha() and word[0].isupper()}


@pytest.mark.parametrize("module", MODULES)
def test_a_reason_that_mintaka_gives_is_counted_by_its_name(module: str) -> None:
    """Whoever adds one adds it to the list."""
    assert reasons_in(module) <= KNOWN_REASONS


def test_the_search_finds_reasons() -> None:
    """Else the test above could not fail."""
    assert {"PodDisappeared", "NodeLost"} <= reasons_in("mintaka_core.reconciling.active_runs")
    assert "ContainerRestarted" in reasons_in("mintaka.runner")


@pytest.mark.parametrize(
    ("reason", "counted"),
    [("OOMKilled", "OOMKilled"), ("", ""), ("ValueError", "other"), ("x" * 200, "other"), ("Gremlins", "other"), ("oomkilled", "other"), ("OutOfexample.com/gpu", "other")],
)  # fmt: skip
def test_a_reason_that_a_flow_or_pod_makes_up_is_other(reason: str, counted: str) -> None:
    """However many there are."""
    assert reason_class(reason) == counted


def test_a_thousand_exceptions_make_one_series() -> None:
    """As the operator counts them."""
    for number in range(1000):
        metrics.count_transition("FAILED", f"Error{number}")
    (family,) = [family for family in REGISTRY.collect() if family.name == "mintaka_operator_transitions"]
    labels = {sample.labels["reason"] for sample in family.samples}
    assert labels <= {*KNOWN_REASONS, "", "other"}
    assert "other" in labels
