"""The programs that Python files call, as far as they are named by literal strings."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from called_programs.calls import Call

if TYPE_CHECKING:
    from collections.abc import Iterator

_RUNNERS = ("run", "Popen", "call", "check_call", "check_output", "create_subprocess_exec", "execv", "execvp", "execvpe")
_FINDERS = ("which", "find_program")
#: A list or tuple with such a name is a command line.
_NAMES = ("argv", "arguments", "command")
_PROGRAM = re.compile(r"[\w.+/][\w.+/-]*")


def python_calls(source: str, name: str) -> set[Call]:
    """Return the programs that `source` runs or looks for; a name with a folder before it is a path."""
    tree = ast.parse(source, name)
    assigned = dict(_assignments(tree))
    found: set[Call] = set()
    for node in ast.walk(tree):
        for word in _first_words(node, assigned):
            found.add(Call(word, "path" if "/" in word else "found", f"{name}:{getattr(node, 'lineno', 0)}"))
    return found


def _assignments(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        yield from ((target.id, value) for target in targets if isinstance(target, ast.Name) and value)


def _first_words(node: ast.AST, assigned: dict[str, ast.expr]) -> Iterator[str]:
    if isinstance(node, ast.Call):
        function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if function in (*_RUNNERS, *_FINDERS) and node.args:
            yield from _first_word(
                node.args[0], assigned, alone=function in (*_FINDERS, "create_subprocess_exec", "execv", "execvp", "execvpe")
            )
    elif isinstance(node, ast.keyword) and node.arg in _NAMES:
        yield from _first_word(node.value, assigned)
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id in _NAMES for target in targets):
            yield from _first_word(node.value, assigned)


def _first_word(expression: ast.expr, assigned: dict[str, ast.expr], *, alone: bool = False) -> Iterator[str]:
    if isinstance(expression, ast.List | ast.Tuple) and expression.elts:
        yield from _first_word(expression.elts[0], assigned, alone=True)
    elif isinstance(expression, ast.Starred):
        yield from _first_word(expression.value, assigned)
    elif isinstance(expression, ast.BinOp):
        yield from _first_word(expression.left, assigned)
    elif isinstance(expression, ast.Name) and not alone and isinstance(assigned.get(expression.id), ast.List | ast.Tuple):
        yield from _first_word(assigned[expression.id], assigned)
    elif alone and isinstance(expression, ast.Constant) and _PROGRAM.fullmatch(str(expression.value)):
        yield str(expression.value)
