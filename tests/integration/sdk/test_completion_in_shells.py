"""What a TAB makes of a line in interactive shells, on a terminal (`cluster/packages tests` installs zsh and fish)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from mintaka import flow
from shells import KINDS, InteractiveShell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FLOWS = '''from mintaka import flow

@flow
def first():
    """It's the: first one."""

@flow
def second(): ...
'''

LINES = {
    "a command": ("mintaka expl", "mintaka explain "),
    "an option": ("mintaka get --sta", "mintaka get --state "),
    "the value of an option": ("mintaka get --state f", "mintaka get --state failed "),
    "the value after an equals sign": ("mintaka get --state=f", "mintaka get --state=failed "),
    "a command of a group": ("mintaka variable uns", "mintaka variable unset "),
    "as much as two flows have in common": ("mintaka run jo", "mintaka run jobs.py:"),
    "a flow of a file": ("mintaka run jobs.py:f", "mintaka run jobs.py:first "),
    "a flow of a file at home": ("mintaka run ~/jobs.py:f", "mintaka run ~/jobs.py:first "),
    "a folder, to go on in it": ("mintaka run sub", "mintaka run sub/"),
    "a run": ("mintaka explain tab", "mintaka explain tab-7 "),
    "a run whose name has to be quoted": ("mintaka explain od", r"mintaka explain odd\ name "),
    "a run within quotes": ("mintaka explain 'odd n", "mintaka explain 'odd name' "),
    "the command after another one": ("true && mintaka expl", "true && mintaka explain "),
    "the command after an assignment": ("A=b mintaka expl", "A=b mintaka explain "),
    "the plugin of kubectl": ("kubectl-mintaka expl", "kubectl-mintaka explain "),
}


@flow(flow_run_name="{name}")
def tabbed(name: str) -> str:
    return name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with the program, two runs, a file with flows and a folder."""
    folder = tmp_path_factory.mktemp("shells")
    (folder / "bin").mkdir()
    for name in ("mintaka", "kubectl-mintaka"):
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from mintaka.cli import main; main()" "$@"\n')
        program.chmod(0o755)
    (folder / "jobs.py").write_text(FLOWS)
    (folder / "sub").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MINTAKA_HISTORY", raising=False)
        patch.setenv("MINTAKA_HOME", str(folder / "home"))
        for name in ("tab-7", "odd name"):
            tabbed(name)
        yield folder


@pytest.fixture(scope="module", params=list(KINDS))
def shell(request: pytest.FixtureRequest, folder: Path) -> Iterator[InteractiveShell]:
    """Each shell, taught by `mintaka completion`."""
    with InteractiveShell(request.param, folder) as started:
        yield started


@pytest.mark.parametrize("what", LINES)
def test_a_tab_completes(shell: InteractiveShell, what: str) -> None:
    line, completed = LINES[what]
    assert shell.tab(line).line == completed


def test_what_a_tab_cannot_decide_is_listed(shell: InteractiveShell) -> None:
    tabbed = shell.tab("mintaka re")
    assert tabbed.line == "mintaka re"
    assert "replay" in tabbed.shown
    assert "resume" in tabbed.shown


def test_where_nothing_is_known_the_line_stays(shell: InteractiveShell) -> None:
    assert shell.tab("mintaka get --limit ").line.rstrip() == "mintaka get --limit"
    assert shell.tab("mintaka nix x").line == "mintaka nix x"
