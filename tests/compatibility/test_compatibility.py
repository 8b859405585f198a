"""Flows written from Prefect's documented features do the same under Mintaka, or differ as is stated next to them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from both_libraries import MINTAKA_SECONDS, PREFECT_SECONDS, PREFECT_TRIES, cases, mintaka_results, prefect_results
from table import PAGE, page_with_table

if TYPE_CHECKING:
    from both_libraries import Case

CASES = cases()
MANY = 30

pytestmark = pytest.mark.timeout(PREFECT_TRIES * PREFECT_SECONDS + 2 * MINTAKA_SECONDS + 60)


@pytest.fixture(scope="session")
def under_prefect(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By flow file: what it shows under Prefect."""
    return prefect_results(tmp_path_factory.mktemp("prefect"), CASES)


@pytest.fixture(scope="session")
def under_mintaka(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By flow file: what it shows under Mintaka."""
    return mintaka_results(tmp_path_factory.mktemp("mintaka"), CASES)


@pytest.fixture(scope="session")
def under_the_switch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By flow file: what it shows under Mintaka with MINTAKA_SEMANTICS=prefect3."""
    return mintaka_results(tmp_path_factory.mktemp("switch"), CASES, "prefect3")


def expected(case: Case, document: dict[str, Any]) -> dict[str, Any]:
    """What Mintaka has to show where Prefect shows `document`."""
    unknown = set(case.differs) - set(document)
    assert not unknown, f"{case.name}.yaml speaks of {unknown}, which the flow does not show"
    return document | {key: note["mintaka"] for key, note in case.differs.items()}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_a_flow_shows_the_same_under_both_libraries_but_for_stated_differences(
    case: Case, under_prefect: dict[str, Any], under_mintaka: dict[str, Any]
) -> None:
    theirs, ours = under_prefect[case.path.name], under_mintaka[case.path.name]
    assert "document" in theirs, f"{case.name} does not run under Prefect: {theirs}"
    assert "document" in ours, ours.get("traceback") or ours["error"]
    assert json.dumps(ours["document"], indent=1) == json.dumps(expected(case, theirs["document"]), indent=1)


def expected_with_the_switch(case: Case, document: dict[str, Any]) -> dict[str, Any]:
    """The same with MINTAKA_SEMANTICS=prefect3: what it covers is as it is under Prefect."""
    stays = {key: note for key, note in case.differs.items() if not note["covered"]}
    return document | {key: note.get("prefect3", note["mintaka"]) for key, note in stays.items()}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_with_the_switch_a_flow_shows_what_it_shows_under_prefect_but_for_what_the_switch_does_not_cover(
    case: Case, under_prefect: dict[str, Any], under_the_switch: dict[str, Any]
) -> None:
    theirs, ours = under_prefect[case.path.name], under_the_switch[case.path.name]
    assert "document" in theirs, f"{case.name} does not run under Prefect: {theirs}"
    assert "document" in ours, ours.get("traceback") or ours["error"]
    assert json.dumps(ours["document"], indent=1) == json.dumps(expected_with_the_switch(case, theirs["document"]), indent=1)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if case.differs])
def test_a_stated_difference_is_one_and_has_a_reason(case: Case, under_prefect: dict[str, Any]) -> None:
    document = under_prefect[case.path.name]["document"]
    for key, note in case.differs.items():
        assert note["why"].strip()
        assert note["mintaka"] != document[key], f"{key} is the same under both"
        assert "prefect3" not in note or note["prefect3"] != document[key], f"{key} is covered by the switch: say so"


def test_the_switch_covers_each_decided_difference() -> None:
    covered = {case.name for case in CASES if any(note["covered"] for note in case.differs.values())}
    assert covered == {"final_states", "futures_nobody_awaits", "results_not_persisted", "returned_collections", "states_as_values"}


def test_there_are_many_flows() -> None:
    assert len(CASES) >= MANY


def test_the_table_in_the_documentation_is_the_one_of_these_flows() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page_with_table(text) == text, "write it anew: make compatibility-table"
