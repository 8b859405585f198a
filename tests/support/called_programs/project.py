"""The project's own scripts, and for each of their calls who sees to it that the program is there."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from called_programs.calls import Call, Script, read_script
from called_programs.dockerfiles import commands
from called_programs.makefiles import recipes
from called_programs.python_calls import python_calls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHELL_SCRIPT = re.compile(r"#!.*\b(ba|da|z|k)?sh\b")
_PYTHON_SCRIPT = re.compile(r"#!.*\bpython")
#: What a virtual environment of the project's has in its `bin` besides what .venv has.
_OF_ENVIRONMENTS = ("python", "pip", "uv")
_PYTHON = re.compile(r"python(3(\.\d+)?)?")
#: Where the programs of Python files come from: those of the product are not called on the machine that is set up.
_PYTHON_FOLDERS = {"tests": ("images", "tests"), "benchmarks": ("cluster", "images", "tests"), "tools": (), "charts": (), "docker": ()}


@dataclass
class Needs:
    """A script: its calls of programs that have to be files of the machine, and the sets of programs.list it makes sure of itself."""

    script: str
    sets: tuple[str, ...]
    calls: set[Call] = field(default_factory=set)


@dataclass
class Given:
    """What README.md says has to be there beforehand."""

    always: frozenset[str]
    #: With CLUSTER=current only.
    own_cluster: frozenset[str]


class Project:
    """A checkout."""

    def __init__(self, folder: Path) -> None:
        """Read nothing yet."""
        self.folder = folder

    @cached_property
    def files(self) -> list[str]:
        """What git tracks or would add."""
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        listing = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True).stdout.split("\n")
        return sorted({name for name in listing if (self.folder / name).is_file()})

    @cached_property
    def given(self) -> Given:
        """The programs of README.md's sentences that begin with "Given are" and "With CLUSTER=current also"."""
        text = re.sub(r"\s+", " ", self.text("README.md"))
        always, own = (re.search(start + r"(.*?)\.(?: |$)", text) for start in ("Given are", "With `CLUSTER=current` also"))
        if always is None or own is None:
            message = (
                "README.md no longer says what has to be there: 'Given are `git`, ...' and 'With `CLUSTER=current` also `kubectl`, ...'"
            )
            raise ValueError(message)
        return Given(*(frozenset(re.findall(r"`(\w+)`", sentence[1])) for sentence in (always, own)))

    @cached_property
    def binaries(self) -> frozenset[str]:
        """The programs that cluster/build builds."""
        table = self.text("cluster/build").partition("package=(")[2].partition("\n)")[0]
        return frozenset(re.findall(r"\[([\w-]+)\]=", table))

    def text(self, name: str) -> str:
        """Return what a file of ours contains."""
        return (self.folder / name).read_text(encoding="utf-8")

    def scripts(self) -> Iterator[tuple[str, Script]]:
        """Yield every shell script that is run by itself, and the Makefile, each with what it calls."""
        for name in self.files:
            if self._first_line(name, _SHELL_SCRIPT):
                yield name, read_script(self.text(name), name, self.sourced)
        yield "Makefile", read_script(recipes(self.folder), "Makefile", self.sourced)

    def sourced(self, tail: str) -> tuple[str, str] | None:
        """Return text and name of the one file of ours whose path ends with `tail`."""
        end = re.sub(r"^(/?\.\.)*/?", "", tail)
        found = [name for name in self.files if name == end or name.endswith("/" + end)]
        return (self.text(found[0]), found[0]) if len(found) == 1 else None

    def needs_of_machine(self) -> Iterator[Needs]:
        """Yield what shell scripts, Makefile and Python files need of the machine they run on."""
        for name, script in self.scripts():
            yield Needs(name, tuple(sorted(script.provides)), {call for call in script.calls if not self._is_ours(call, name)})
        for name in self.files:
            folder = name.partition("/")[0]
            if folder in _PYTHON_FOLDERS and folder != "docker" and name.endswith(".py"):
                calls = python_calls(self.text(name), name)
                yield Needs(name, _PYTHON_FOLDERS[folder], {call for call in calls if not self._is_ours(call, name)})

    def needs_of_base_image(self) -> Iterator[Needs]:
        """Yield what the Dockerfile's commands, and the scripts in `docker/`, need of the image they start from."""
        for name in self.files:
            if re.search(r"(^|/)Dockerfile[^/]*$", name):
                script = read_script("\n".join(commands(self.text(name))), name, self.sourced)
                yield Needs(name, (), {call for call in script.calls if not self._is_own_path(call)})
            elif name.startswith("docker/") and self._first_line(name, _PYTHON_SCRIPT):
                yield Needs(name, (), {call for call in python_calls(self.text(name), name) if not self._is_own_path(call)})

    def _first_line(self, name: str, pattern: re.Pattern[str]) -> bool:
        with (self.folder / name).open("rb") as stream:
            return bool(pattern.match(stream.readline(200).decode("utf-8", errors="replace")))

    def _is_ours(self, call: Call, script: str) -> bool:
        """Is `call` seen to otherwise than by a package: given, built, in an environment of ours, a file of ours?"""
        name = "python3" if _PYTHON.fullmatch(call.name) else call.name
        if call.kind == "own":
            return name in self.given.own_cluster
        if call.kind == "environment":
            return name.isupper()  # the user's own word; others are variables that are read
        if call.kind == "path":
            return self._is_own_path(call)
        if call.kind == "output of":
            return name in self.given.always | {"python3"} and f"tools/{call.name}" in self.files
        return name in self.given.always or (name in self.binaries and self._has_binaries(script))

    def _is_own_path(self, call: Call) -> bool:
        if call.kind != "path":
            return False
        folder, _, name = call.name.rpartition("/")
        if folder.endswith("/bin") and (name in _OF_ENVIRONMENTS or _PYTHON.fullmatch(name) or (self.folder / ".venv/bin" / name).exists()):
            return True
        if folder == "…" and name in self.binaries:
            return True
        end = re.sub(r"^(…?/)?((\.|\.\.)/)*", "", call.name)
        return not call.name.startswith("/") and any(own == end or own.endswith("/" + end) for own in self.files)

    def _has_binaries(self, script: str) -> bool:
        """Does `script` have the cluster's binaries on its PATH? Python files have, whatever runs them."""
        return script.endswith(".py") or "$(cluster/env)" in self.text(script)
