"""The programs that a shell script calls, found by following its syntax tree.

A program hides behind functions that run their arguments (`with_progress WHAT HOW_FAR COMMAND ...`), variables, wrappers (`xargs`, `find
-exec`, `timeout`), strings (`bash -c`, `trap`, `eval`) and behind functions of its own name (`ctr() { command ctr ...; }`). So functions are
followed for every way they are called, with their parameters and variables standing for what they may become; conditions are not: all
branches count, and of a loop's body one pass. A command word of which nothing can be said is reported as unreadable.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from called_programs.scopes import FINDERS, Frame, Scope
from called_programs.syntax import Node, children, line_of, parse, walk
from called_programs.values import Unknown, joined, known, last_name, source_text, text, unknown
from called_programs.wrappers import ELSEWHERE, SHELLS, wrapped_commands, wrapped_scripts

if TYPE_CHECKING:
    from collections.abc import Callable

    from called_programs.values import Value, Values

_DEEPEST_RECURSION = 3


@dataclass(frozen=True, order=True)
class Call:
    """One call of a program: `name` as the script has it, and what kind of name that is.

    "program": a file on the PATH. "path": a file with that path, or one that ends with it if it begins with "…". "found": a file that
    `find_program` finds. "own": a program of the user's own cluster. "environment": a command that the user names in variable `name`.
    "output of": what script or program `name` prints. "unreadable": the script's text does not say.
    """

    name: str
    kind: str
    where: str


@dataclass
class Script:
    """A script with everything it sources: its functions, and afterwards its calls."""

    functions: dict[str, tuple[Node, str]] = field(default_factory=dict)
    calls: set[Call] = field(default_factory=set)
    #: The sets of programs.list that it sees to.
    provides: set[str] = field(default_factory=set)
    #: Places that look for a program in a way that a function or builtin of its name would satisfy.
    loose_checks: set[str] = field(default_factory=set)


def read_script(source: str, name: str, sourced: Callable[[str], tuple[str, str] | None]) -> Script:
    """Return what `source` calls. `sourced` returns text and name of the file of ours whose path ends as given, None if there is none."""
    reader = _Reader(Script())
    reader.load(source, name, sourced)
    reader.follow_all()
    return reader.script


@cache
def builtins() -> frozenset[str]:
    """Return what bash runs by itself."""
    listing = subprocess.run(["bash", "-c", "compgen -b"], capture_output=True, text=True, check=True).stdout
    return frozenset(listing.split())


class _Reader:
    def __init__(self, script: Script) -> None:
        self.script = script
        self._scope = Scope()
        self._file = ""
        self._trees: list[tuple[Node, str]] = []
        self._followed: set[tuple[str, tuple[Values, ...] | None]] = set()
        self._active: list[str] = []

    def load(self, source: str, name: str, sourced: Callable[[str], tuple[str, str] | None]) -> None:
        """Read a file and those it sources, before anything is followed: functions may be called above their definition."""
        if any(name == known_name for _, known_name in self._trees):
            return
        tree = parse(source, name)
        self._trees.append((tree, name))
        for node in walk(tree):
            if node.get("Type") == "FuncDecl":
                self.script.functions[node["Name"]["Value"]] = (node["Body"], name)
            if node.get("Type") == "CallExpr" and _literal(node, 0) in (".", "source"):
                self._load_sourced(node, name, sourced)

    def follow_all(self) -> None:
        """Follow the top levels, then the functions that none of them reached."""
        for _ in range(2):  # a variable may get its value from one that is set further down
            for tree, _ in self._trees:
                self._scope.note_all(tree)
        for tree, name in self._trees:
            self._file = name
            self._follow(tree)
        reached = {function for function, _ in self._followed}
        for function in self.script.functions.keys() - reached:
            self._enter(function, None)

    def _load_sourced(self, node: Node, name: str, sourced: Callable[[str], tuple[str, str] | None]) -> None:
        alternatives = self._scope.value(node["Args"][1])
        last = alternatives[0][-1] if len(alternatives) == 1 and alternatives[0] else None
        if not isinstance(last, str):
            self._report(unknown("output")[0], node, name)
        elif file := sourced(last):
            self.load(*file, sourced)
        elif not (len(alternatives[0]) == 1 and last.startswith("/")):  # a file of the system's
            self._report(unknown("output")[0], node, name)

    # Following statements

    def _follow(self, node: Node) -> None:
        kind = node.get("Type")
        if kind == "FuncDecl":
            return
        self._scope.note(node)
        for child in children(node):
            self._follow(child)
        if kind == "CallExpr" and node.get("Args"):
            self._call(node)
        elif node.get("Redirs") and node.get("Cmd"):
            self._read_input(node)

    def _enter(self, function: str, arguments: list[Values] | None) -> None:
        key = (function, None if arguments is None else tuple(arguments))
        if key in self._followed or self._active.count(function) > _DEEPEST_RECURSION:
            return
        self._active.append(function)
        self._followed.add(key)
        before = self._file, self._scope.frame
        body, self._file = self.script.functions[function]
        self._scope.frame = Frame(arguments)
        self._follow(body)
        self._file, self._scope.frame = before
        self._active.pop()

    # Commands

    def _call(self, node: Node) -> None:
        words: list[Values] = []
        for word in node["Args"]:
            words += self._scope.expanded(word)
        if words:
            self._run(words, node, inside=True)

    def _run(self, words: list[Values], node: Node, *, inside: bool) -> None:
        """A command: `inside` this shell, where functions and builtins count, or a program that another program runs."""
        for alternative in words[0]:
            name = known(alternative)
            if name is None or "/" in name:
                self._report(alternative, node)
            elif name and inside and name in self.script.functions:
                self._enter(name, words[1:])
                self._note_provided(name, words[1:], node)
            elif name and inside and name in builtins():
                self._run_builtin(name, words[1:], node)
            elif name:
                self._report(alternative, node)
            self._run_wrapped(name or last_name(alternative), words[1:], node)

    def _note_provided(self, function: str, arguments: list[Values], node: Node) -> None:
        words = [known(values[0]) for values in arguments]
        if function == "provide_programs":
            self.script.provides |= {word for word in words if word}
        elif function in FINDERS and words and words[0]:
            self._report((Unknown(FINDERS[function], words[0]),), node)

    def _run_wrapped(self, name: str, arguments: list[Values], node: Node) -> None:
        if name in ELSEWHERE:
            return
        for command in wrapped_commands(name, arguments):
            if command:
                self._run(command, node, inside=False)
        for script in wrapped_scripts(name, arguments):
            self._run_text(script, node, apart=True)

    def _run_builtin(self, name: str, arguments: list[Values], node: Node) -> None:
        words = [known(values[0]) for values in arguments]
        if name in ("hash", "type") or (name == "command" and words[:1] in (["-v"], ["-V"])):
            if name != "type" or "-P" not in words:
                self.script.loose_checks.add(f"{self._file}:{line_of(node)}")
        elif name in ("command", "exec", "builtin"):
            self._run_past_functions(name, words, arguments, node)
        elif name == "eval" and arguments:
            self._run_text(joined([part for values in arguments for part in (values, text(" "))]), node)
        elif name == "trap" and words[:1] not in ([], ["-"], ["-l"], ["-p"]):
            self._run_text(arguments[0], node)
        elif name == "alias":
            for word in filter(None, words):
                self._run_text(text(word.partition("=")[2]), node)
        elif name in ("shift", "set"):
            self._change_parameters(name, words, arguments)

    def _run_past_functions(self, name: str, words: list[str | None], arguments: list[Values], node: Node) -> None:
        start = next((number for number, word in enumerate(words) if word is None or not word.startswith("-")), len(words))
        start += words[:start].count("-a")  # exec -a NAME
        if start < len(words) and not (name == "command" and words[start] in builtins()):
            self._run(arguments[start:], node, inside=name == "builtin")

    def _change_parameters(self, name: str, words: list[str | None], arguments: list[Values]) -> None:
        frame = self._scope.frame
        if name == "set" and "--" in words:
            frame.parameters = arguments[words.index("--") + 1 :]
        elif name == "shift" and frame.parameters is not None:
            del frame.parameters[: int(words[0] or 1) if words else 1]

    def _run_text(self, script: Values, node: Node, *, apart: bool = False) -> None:
        """Follow strings that a shell runs: this shell, or one `apart` that has none of our functions and variables."""
        for value in script:
            tree = parse(source_text(value), f"a string in {self._file}:{line_of(node)}")
            if not apart:
                self._scope.note_all(tree)
                self._follow(tree)
                continue
            reader = _Reader(Script())
            reader._trees.append((tree, f"{self._file}:{line_of(node)}"))
            reader.follow_all()
            self.script.calls |= reader.script.calls

    def _read_input(self, statement: Node) -> None:
        """`bash <<TEXT`: the text is a script."""
        command = statement["Cmd"]
        if command.get("Type") != "CallExpr" or _literal(command, 0) not in SHELLS:
            return
        for redirection in statement["Redirs"]:
            if redirection.get("Hdoc") or redirection["Op"] == "<<<":
                self._run_text(self._scope.value(redirection.get("Hdoc") or redirection["Word"]), statement, apart=True)

    def _report(self, value: Value, node: Node, file: str = "") -> None:
        where = f"{file or self._file}:{line_of(node)}"
        name, origin = known(value), value[-1]
        if name is not None:
            call = Call(name, "path" if "/" in name else "program", where)
        elif isinstance(origin, str) and "/" in origin:
            call = Call("…" + origin, "path", where)
        elif len(value) == 1 and isinstance(origin, Unknown) and origin.origin in ("found", "own", "environment", "output of"):
            call = Call(origin.name, origin.origin, where)
        elif any(isinstance(part, Unknown) and part.origin == "parameter" for part in value):
            return  # followed wherever the function is called; what the user passes to a script is his own
        else:
            call = Call("a command word that cannot be read", "unreadable", where)
        self.script.calls.add(call)


def _literal(call: Node, number: int) -> str:
    arguments = call.get("Args", [])
    parts = arguments[number].get("Parts", []) if len(arguments) > number else []
    return parts[0]["Value"] if len(parts) == 1 and parts[0]["Type"] == "Lit" else ""
