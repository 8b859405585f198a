"""The variables and parameters of a script, and what its words become with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from called_programs.syntax import walk
from called_programs.values import EMPTY, UNKNOWN_NAME, Values, joined, known, last_name, text, united, unknown

if TYPE_CHECKING:
    from called_programs.syntax import Node

#: Our functions that print the file of the program they are given, and what kind of call its name then is.
FINDERS = {"find_program": "found", "program_file": "found", "users_own": "own"}


@dataclass
class Frame:
    """A function while it is followed: its parameters, None if no caller is known, and its variables."""

    parameters: list[Values] | None
    variables: dict[str, list[Values]] = field(default_factory=dict)


class Scope:
    """The variables of a script and, while one of its functions is followed, that function's.

    A variable stands for all values it is ever given: a list of elements for an array, of one element for any other.
    """

    def __init__(self) -> None:
        """Nothing is set yet."""
        self.frame = Frame(None)
        self._globals: dict[str, list[Values]] = {}

    def note_all(self, tree: Node) -> None:
        """Note every assignment in `tree`, as one to a variable of the script's."""
        for node in walk(tree):
            self._note(node, self._globals)

    def note(self, node: Node) -> None:
        """Note what `node` assigns where it is followed."""
        local = node.get("Type") == "DeclClause" or self.frame.parameters is not None
        self._note(node, self.frame.variables if local else self._globals)

    def _note(self, node: Node, variables: dict[str, list[Values]]) -> None:
        if node.get("Type") == "WordIter":
            noted = {node["Name"]["Value"]: [united([self.value(word) for word in node.get("Items", [])])]}
        elif node.get("Type") in ("CallExpr", "DeclClause"):
            assigned = [item for item in (node.get("Assigns") or node.get("Args") or []) if isinstance(item.get("Name"), dict)]
            noted = {item["Name"]["Value"]: self._elements(item) for item in assigned if not item.get("Naked")}
        else:
            return
        for name, elements in noted.items():
            before = variables.get(name, [])
            first = [united([*before[:1], *elements[:1]])] if before or elements else []
            variables[name] = [*first, *dict.fromkeys([*before[1:], *elements[1:]])]

    def _elements(self, assignment: Node) -> list[Values]:
        if "Array" in assignment:
            return [self.value(element["Value"]) for element in assignment["Array"].get("Elems", []) if element.get("Value")]
        if assignment.get("Append"):
            return []
        return [self.value(assignment["Value"]) if assignment.get("Value") else EMPTY]

    def expanded(self, word: Node) -> list[Values]:
        """Return the words that a word becomes: `"$@"` and `"${array[@]}"` are many."""
        parts = word.get("Parts", [])
        inner = parts[0].get("Parts", []) if len(parts) == 1 and parts[0]["Type"] == "DblQuoted" else parts
        if len(inner) == 1 and inner[0]["Type"] == "ParamExp" and not inner[0].get("Length"):
            name, index = inner[0]["Param"]["Value"], _index(inner[0])
            if name in ("@", "*"):
                return [unknown("parameter")] if self.frame.parameters is None else list(self.frame.parameters)
            if index in ("@", "*"):
                return list(self._lookup(name))
        return [self.value(word)]

    def value(self, word: Node) -> Values:
        """Return what one word becomes."""
        return joined([self._part(part) for part in word.get("Parts", [])]) if word.get("Parts") else EMPTY

    def _part(self, part: Node) -> Values:
        kind = part["Type"]
        if kind == "Lit":
            return text(_unescaped(part["Value"]))
        if kind == "SglQuoted":
            return text(part.get("Value", ""))
        if kind == "DblQuoted":
            return joined([self._part(inner) for inner in part.get("Parts", [])]) if part.get("Parts") else EMPTY
        if kind == "ParamExp":
            return self._parameter(part)
        if kind == "CmdSubst":
            return self._output(part)
        return unknown("output")

    def _parameter(self, part: Node) -> Values:
        name, change = part["Param"]["Value"], part.get("Exp")
        if any(part.get(key) for key in ("Excl", "Length", "Width", "Slice", "Repl", "Names")):
            return unknown("output")
        if change and change["Op"] in (":-", "-", ":=", "="):
            return united([self._variable(name, _index(part)), self.value(change.get("Word") or {})])
        if change and change["Op"] in (":+", "+"):
            return united([EMPTY, self.value(change.get("Word") or {})])
        if change and change["Op"] not in (":?", "?"):
            return unknown("output")
        return self._variable(name, _index(part))

    def _variable(self, name: str, index: str | None) -> Values:
        if name.isdigit() and name != "0":
            parameters = self.frame.parameters
            if parameters is None:
                return unknown("parameter")
            return parameters[int(name) - 1] if int(name) <= len(parameters) else EMPTY
        if name == UNKNOWN_NAME:
            return unknown("parameter")
        if not name.isidentifier():
            return unknown("parameter" if name in ("@", "*") else "output")
        elements = self._lookup(name)
        if index in (None, "0"):
            return elements[0] if elements else EMPTY
        return united(elements) if elements else unknown("output")

    def _lookup(self, name: str) -> list[Values]:
        for variables in (self.frame.variables, self._globals):
            if name in variables:
                return variables[name]
        return [unknown("environment", name)]

    def _output(self, substitution: Node) -> Values:
        """Return what a command substitution stands for, if it prints the file of a program."""
        statements = substitution.get("Stmts", [])
        command = statements[0].get("Cmd", {}) if len(statements) == 1 else {}
        if command.get("Type") != "CallExpr" or not command.get("Args"):
            return unknown("output")
        words = [self.value(word) for word in command["Args"]]
        first = known(words[0][0])
        if first in FINDERS and len(words) > 1 and (program := known(words[1][0])):
            return unknown(FINDERS[first], program)
        if first == "type" and len(words) == 3 and (program := known(words[2][0])):
            return text(program)
        return unknown("output of", last_name(words[0][0]))


def _index(part: Node) -> str | None:
    parts = (part.get("Index") or {}).get("Parts", [])
    return parts[0].get("Value", "?") if parts else None


def _unescaped(literal: str) -> str:
    result, escaped = "", False
    for letter in literal:
        if escaped or letter != "\\":
            result += "" if escaped and letter == "\n" else letter
            escaped = False
        else:
            escaped = True
    return result
