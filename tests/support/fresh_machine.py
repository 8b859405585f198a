"""Which calls of programs would fail on a machine that has nothing but what README.md names, once the package step has been run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from called_programs.project import Project
from minimal_root import ROOT, programs_after_step, programs_of_base_image

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from called_programs.calls import Call
    from called_programs.project import Needs
    from minimal_root import Programs


def failing_calls(release: str, checkout: Path = ROOT, only: frozenset[str] = frozenset()) -> list[str]:
    """Return a sentence for each call that would fail on a minimal Debian `release` with the packages that its script makes sure of.

    `checkout` is where the package step and its list are taken from, `only` the scripts to be tried if not all.
    """
    failing: list[str] = []
    for needs in Project(ROOT).needs_of_machine():
        if needs.calls and (not only or needs.script in only):
            programs = programs_after_step(release, needs.sets, checkout)
            failing += _failing(needs, programs, f"a minimal {release} with the packages of: {' '.join(needs.sets) or 'no set'}")
    return failing


def failing_calls_in_base_image() -> list[str]:
    """Return a sentence for each call in the Dockerfile and its scripts that would fail in the image they start from."""
    programs = programs_of_base_image()
    return [sentence for needs in Project(ROOT).needs_of_base_image() for sentence in _failing(needs, programs, "the base image")]


def _failing(needs: Needs, programs: Programs, system: str) -> Iterable[str]:
    return [f"{call.where}: {_what(call)}, not in {system}" for call in sorted(needs.calls) if not _is_there(call, programs)]


def _is_there(call: Call, programs: Programs) -> bool:
    if call.kind == "path":
        return call.name in programs.files
    return call.name in (programs.found if call.kind == "found" else programs.on_path if call.kind == "program" else ())


def _what(call: Call) -> str:
    return f"{call.name} ({call.kind})"
