"""Which processes belong to an attempt, by the token in their environment. Nothing here is signalled: processes and `os.kill` are stubs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from mintaka_api.local.processes import leftovers
from mintaka_api.local.processes.leftovers import TOKEN, end_holders, holders

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class StubProcess:
    """A process with an environment."""

    pid: int
    variables: dict[str, str] = field(default_factory=dict)

    def environ(self) -> dict[str, str]:
        """Its environment."""
        return self.variables

    def status(self) -> str:
        """It lives."""
        return "running"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, StubProcess]]:
    """The processes of a machine, by id: one without a token, one with an empty one, one of attempt `t0`, and this one as well."""
    found = [StubProcess(1), StubProcess(2, {TOKEN: ""}), StubProcess(3, {TOKEN: "t0"}), StubProcess(os.getpid(), {TOKEN: "t0"})]
    processes = {process.pid: process for process in found}
    stub = SimpleNamespace(process_iter=lambda: list(processes.values()), Error=LookupError, STATUS_ZOMBIE="zombie", STATUS_DEAD="dead")

    def kill(pid: int, _number: int) -> None:
        assert pid == 3, f"process {pid} is no process of the attempt"
        del processes[pid]

    monkeypatch.setattr(leftovers, "_psutil", lambda: stub)
    monkeypatch.setattr(leftovers.os, "kill", kill)
    yield processes
    monkeypatch.undo()


def test_a_token_has_the_processes_that_have_it_in_their_environment(table: dict[int, StubProcess]) -> None:
    """A server that runs in an attempt's process has its token as well: it does not end itself."""
    assert set(table) == {1, 2, 3, os.getpid()}
    assert holders(["t0", "t1"]) == {"t0": {3}, "t1": set()}


def test_an_empty_token_has_no_processes(table: dict[int, StubProcess]) -> None:
    """Neither those without the variable nor those with an empty one."""
    assert holders([""]) == {}
    assert holders(["", "t0"]) == {"t0": {3}}
    assert end_holders("") == []
    assert 1 in table


def test_only_the_processes_of_a_token_are_ended(table: dict[int, StubProcess]) -> None:
    assert end_holders("t0") == []
    assert set(table) == {1, 2, os.getpid()}
