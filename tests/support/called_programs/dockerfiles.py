"""The commands of a Dockerfile: of RUN, CMD, ENTRYPOINT and HEALTHCHECK, each as shell source."""

from __future__ import annotations

import json
import re
import shlex
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_FLAG = re.compile(r"\s*--[a-z-]+(=\S*)?\s+")
_HERE_DOCUMENT = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?\s*$")
_COMMANDS = ("RUN", "CMD", "ENTRYPOINT", "HEALTHCHECK")
_OTHERS = (
    "ADD",
    "ARG",
    "COPY",
    "ENV",
    "EXPOSE",
    "FROM",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
)


def commands(dockerfile: str) -> list[str]:
    """Return the scripts of all instructions that run something.

    Raises:
        ValueError: an instruction is none that Docker knows.

    """
    scripts: list[str] = []
    lines = iter(dockerfile.splitlines())
    for first in lines:
        if not first.strip() or first.lstrip().startswith("#"):
            continue
        text = first
        while text.endswith("\\"):
            line = next(lines)
            text = text if line.lstrip().startswith("#") else text[:-1] + line
        if mark := _HERE_DOCUMENT.search(text):
            text = text[: mark.start()] + "\n" + "\n".join(takewhile(_other_than(mark[1]), lines))
        if script := _script(text):
            scripts.append(script)
    return scripts


def _other_than(end: str) -> Callable[[str], bool]:
    return lambda line: line.strip() != end


def _script(text: str) -> str | None:
    found = _INSTRUCTION.match(text)
    instruction, rest = (found[1].upper(), found[2]) if found else ("", "")
    if instruction in _OTHERS and instruction not in ("ONBUILD", "SHELL"):
        return None
    if instruction == "ONBUILD":
        return _script(rest)
    if instruction not in _COMMANDS:
        message = f"not an instruction of a Dockerfile that is understood here: {text.splitlines()[0]}"
        raise ValueError(message)
    while flag := _FLAG.match(rest):
        rest = rest[flag.end() :]
    if instruction == "HEALTHCHECK":
        rest = rest.partition("CMD")[2].strip()
    return shlex.join(json.loads(rest)) if rest.startswith("[") else rest
