"""Artifacts inside and outside of flow runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from mintaka import artifacts, flow, task
from mintaka.testing import recorded

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS: dict[str, Callable[[], Any]] = {
    "markdown": lambda: artifacts.create_markdown_artifact("# Yield", key="yield"),
    "table": lambda: artifacts.create_table_artifact([{"a": 1}], key="yield"),
    "link": lambda: artifacts.create_link_artifact("https://example.org", key="yield"),
    "image": lambda: artifacts.create_image_artifact("https://example.org/a.png", key="yield"),
    "progress": lambda: artifacts.create_progress_artifact(30, key="yield"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_artifact_belongs_to_the_run_that_makes_it(kind: str) -> None:
    with recorded() as history:
        flow(lambda: [KINDS[kind](), task(KINDS[kind])()], name="main")()
    assert [(each.kind, each.key, each.n) for each in history.artifacts.values()] == [(kind, "yield", None), (kind, "yield", 0)]


@pytest.mark.parametrize("place", ["no run", "a task", "a function of a task"])
@pytest.mark.parametrize("kind", KINDS)
def test_outside_of_a_flow_run_it_is_not_stored_and_a_warning_says_so(kind: str, place: str) -> None:
    """It has an id all the same, so that code under test, and scripts that call a task alone, go on as under Prefect."""
    make = KINDS[kind]
    called: Callable[[], Any] = {"no run": make, "a task": task(make), "a function of a task": task(make).fn}[place]
    with pytest.warns(UserWarning, match=rf"{kind} artifact yield is not stored, because it was made outside of a flow run") as told:
        assert isinstance(called(), UUID)
    assert [warning.filename for warning in told] == [__file__]


def test_progress_outside_of_a_flow_run_can_be_updated() -> None:
    def update() -> bool:
        made = artifacts.create_progress_artifact(1)
        return artifacts.update_progress_artifact(made, 50) == made

    with pytest.warns(UserWarning, match="is not stored") as told:
        assert update()
    assert [warning.filename for warning in told] == [__file__] * 2


def test_one_that_is_wrong_is_refused_outside_too() -> None:
    with pytest.raises(ValueError, match="an artifact's key has small letters"):
        artifacts.create_markdown_artifact("x", key="Not a key")


def test_the_awaitable_twin_warns_too() -> None:
    async def make() -> Any:
        return await artifacts.acreate_markdown_artifact("x")

    with pytest.warns(UserWarning, match="is not stored") as told:
        assert isinstance(asyncio.run(make()), UUID)
    assert [warning.filename for warning in told] == [__file__]
