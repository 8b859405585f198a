"""Calls a command of `mintaka` in this process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from mintaka import cli

if TYPE_CHECKING:
    import pytest


def call_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str, program: str = "mintaka"
) -> tuple[int, str, str]:
    """The exit code of a command, and what it printed on standard output and standard error."""
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    capsys.readouterr()
    code: Any = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code or 0
    printed = capsys.readouterr()
    return int(code), printed.out, printed.err
