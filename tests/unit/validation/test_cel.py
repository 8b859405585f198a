"""Expressions have the same values as on a real API server, and none takes much time or memory."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cel_expressions import EXPRESSIONS, TYPES, VALUE, recorded
from mintaka_validation import cel

RECORDED = recorded()
#: Expressions for which our runtime differs from the API server, with its answer; docs/cel.md lists them.
DIFFERENT = {
    "[1, 'a'].size() == 2": "true",
    "{'a': 1, 'a': 2}.a == 2": "error",
    "self.count > 6.5 && self.ratio >= 2": "invalid",
    "string(duration('90m')) == '5400s' && string(timestamp('2026-01-01T00:00:00.500Z')) == '2026-01-01T00:00:00.5Z'": "false",
}
OTHER_WORDS = {"'hello'.charAt(9) == ''", "self.empty.matches(self.text + '(')", "self.port.startsWith('h')"}
_ABOUT_PRESENCE = ("has(self", "self.?", "self.missing", "self.none")


def _answer(expression: str) -> list[str]:
    """Our answer, in the form of the recorded ones."""
    whole = any(words in expression for words in _ABOUT_PRESENCE)
    try:
        program = cel.compile(expression, {"self": "dyn"}) if whole else cel.compile(expression.replace("self.", ""), TYPES)
    except cel.CelError:
        return ["invalid", ""]
    if program.result_type != "bool":
        return ["invalid", ""]
    try:
        return ["true" if program.evaluate({"self": VALUE} if whole else VALUE) else "false", ""]
    except cel.CelError as error:
        return ["error", str(error)]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_has_the_value_that_the_api_server_gives_it(expression: str) -> None:
    """An invalid constant, which it refuses to compile, is an error of evaluation here."""
    kind, message = _answer(expression)
    expected, words = RECORDED[expression]
    if expression in DIFFERENT:
        assert kind == DIFFERENT[expression] != expected
    elif expected == "invalid":
        assert kind in {"invalid", "error"}
    else:
        assert kind == expected
        assert message == words or expression in OTHER_WORDS


def test_every_expression_has_a_recorded_answer() -> None:
    assert set(RECORDED) == set(EXPRESSIONS)
    assert len(EXPRESSIONS) >= 60


TEXT = "x" * 16000


@pytest.mark.parametrize(
    ("expression", "values", "words"),
    [
        (f"[s]{'.map(a, a + a)' * 12}[0].size() > 0", {"s": TEXT}, "it may cost"),
        ("s.replace('', s).size() > 0", {"s": TEXT}, "it may cost"),
        ("[s].map(a, [a, a].join(s)).size() > 0", {"s": TEXT}, "it may cost"),
        (f"[s]{'.map(a, [a, a])' * 20} == []", {"s": TEXT}, "it may cost"),
        ("xs.all(x, s.matches('^(x+x+)+y' + string(x)))", {"s": TEXT, "xs": list(range(1000))}, "it may cost"),
        ("xs.map(x, xs) == xs.map(x, xs)", {"xs": list(range(2000))}, "it may cost"),
        ("xs.all(x, x >= 0)", {"xs": list(range(10001))}, "its macros take more than 10000 iterations"),
        ("xs.all(x, xs.all(y, xs.all(z, x + y + z >= 0)))", {"xs": list(range(30))}, "its macros take more than 10000 iterations"),
        ("xs.all(a, xs.all(b, xs.all(c, xs.all(d, xs.all(e, xs.all(f, xs.all(g, true)))))))", {"xs": [1]}, "nested more than 6 levels deep"),
        ("s == ''", {"s": "x" * 300_000}, "the values have a size of"),
    ],
    ids=[
        "a text that doubles", "a text within itself", "texts joined with a text", "a list that doubles", "many regular expressions",
        "lists of lists", "many iterations", "a loop in a loop in a loop", "macros in macros", "large values",
    ],
)  # fmt: skip
def test_an_expression_that_could_take_long_is_refused(expression: str, values: dict[str, Any], words: str) -> None:
    types = {"s": "string", "xs": "list<int>"}
    program = cel.compile(expression, {name: types[name] for name in values})
    with pytest.raises(cel.CelError, match=words):
        program.evaluate(values)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("1" + " + 1" * 100, "Exceeded max recursion depth"),
        ("x" + ".a" * 100, "Exceeded max recursion depth"),
        ("'" + "a" * 5000 + "'", "has 5002 characters, at most 4096 are allowed"),
        ("x == '\ud800'", "unpaired surrogate"),
        ("y == 1", "undeclared reference to 'y'"),
        ("x +", "Syntax error"),
    ],
    ids=["a long sum", "a deep selection", "a long constant", "an unpaired surrogate", "an unknown variable", "half an expression"],
)
def test_an_expression_that_is_not_valid_is_refused_when_it_is_compiled(expression: str, words: str) -> None:
    with pytest.raises(cel.CelError, match=words):
        cel.compile(expression, {"x": "dyn"})


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("int", "1", "Expected INT"),
        ("dyn", object(), "Non-CEL value type"),
        ("dyn", 1 << 70, "out of range"),
    ],
    ids=["a text for a number", "an object of Python", "a number of 71 bits"],
)
def test_a_value_that_is_not_of_its_type_is_an_error(kind: str, value: Any, words: str) -> None:
    with pytest.raises(cel.CelError, match=words):
        cel.compile("x == x", {"x": kind}).evaluate({"x": value})


def test_a_value_that_is_nested_too_deeply_is_an_error() -> None:
    deep: list[Any] = []
    for _ in range(1000):
        deep = [deep]
    with pytest.raises(cel.CelError, match="more than 200 levels"):
        cel.compile("x == x", {"x": "dyn"}).evaluate({"x": deep})


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(cel.CelError, match='No value with name "x"'):
        cel.compile("x == 1", {"x": "dyn"}).evaluate({})


@pytest.mark.parametrize("kind", ["text", "list", "list<text>", "map<list<int>, int>", "map<string, string"])
def test_a_type_that_does_not_exist_is_an_error(kind: str) -> None:
    with pytest.raises(cel.CelError, match="is not a type: write bool, int"):
        cel.compile("true", {"x": kind})


@pytest.mark.parametrize(
    ("expression", "values", "expected"),
    [
        ("now - started > duration('1h')", {"now": datetime(2026, 1, 1, 2, tzinfo=UTC), "started": datetime(2026, 1, 1, tzinfo=UTC)}, True),
        ("wait == duration('90s')", {"wait": timedelta(seconds=90)}, True),
        ("x.a[1] + 1", {"x": {"a": [1, 2]}}, 3),
        ("{'a': [x, null, 1.5]}", {"x": True}, {"a": [True, None, 1.5]}),
        ("x + 'b'", {"x": "a\0"}, "a\x01b"),
    ],
    ids=["times", "durations", "JSON", "a value of several parts", "a text with U+0000"],
)
def test_values_of_python_go_in_and_come_out(expression: str, values: dict[str, Any], expected: Any) -> None:
    kinds: dict[type, str] = {datetime: "timestamp", timedelta: "duration", str: "string"}
    types = {name: kinds.get(type(value), "dyn") for name, value in values.items()}
    assert cel.compile(expression, types).evaluate(values) == expected


def test_a_program_can_be_evaluated_by_several_threads() -> None:
    program = cel.compile("xs.filter(x, x > n).size()", {"xs": "list<int>", "n": "int"})
    found: list[int] = []

    def evaluate(n: int) -> None:
        found.extend(program.evaluate({"xs": list(range(100)), "n": n}) for _ in range(200))

    threads = [threading.Thread(target=evaluate, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(found)) == [96, 97, 98, 99]
    assert len(found) == 800


def test_importing_validation_loads_neither_the_runtime_nor_the_models() -> None:
    """Both are loaded when a document is validated."""
    script = (
        "import sys, mintaka_validation, mintaka_validation.cel; sys.exit('cel_expr_python' in sys.modules or 'pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
