"""Shell scripts as syntax trees: shfmt's parser reads them, and what it cannot read is an error."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

type Node = dict[str, Any]

_SHFMT = Path(sys.executable).with_name("shfmt")


class UnreadableScriptError(Exception):
    """The parser did not understand a script: what it calls is unknown."""


@cache
def parse(text: str, name: str) -> Node:
    """Return the tree of `text`, in shfmt's own JSON; `name` is for the error. Trees are shared: do not change them."""
    command: list[str | Path] = [_SHFMT, "--language-dialect", "bash", "--filename", name, "--to-json"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"the shell parser cannot read {name}: {done.stderr.strip()}"
        raise UnreadableScriptError(message)
    tree: Node = json.loads(done.stdout)
    return tree


def children(node: Node) -> list[Node]:
    """Return the nodes directly below, in the order of the text."""
    found: list[Node] = []
    for value in node.values():
        found += [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
    return found


def walk(node: Node) -> list[Node]:
    """Return `node` and all nodes below it."""
    found = [node]
    for child in children(node):
        found += walk(child)
    return found


def line_of(node: Node) -> int:
    """Return the number of the line that `node` begins in."""
    position: Node = node.get("Pos", {})
    return int(position.get("Line", 0))
