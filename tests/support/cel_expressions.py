"""Expressions of all kinds, and the answers of a real Kubernetes API server to them as rules of a CRD for the value VALUE.

The answers are recorded in `cel_expressions.json`: `true`, `false`, `error` (with the message) for one that fails when it is
evaluated, `invalid` for one that the API server does not compile.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_RECORDED = Path(__file__).with_suffix(".json")

#: The value of `self` in the expressions.
VALUE: dict[str, Any] = {
    "text": "Grüße, Welt",
    "empty": "",
    "count": 7,
    "ratio": 2.0,
    "flag": True,
    "words": ["red", "green", "blue", "red"],
    "numbers": [3, 1, 2],
    "labels": {"team": "data", "a.b/c": "x"},
    "size": 5,
    "nested": {"deep": {"value": 1}},
    "port": 80,
}

#: The types of the members of VALUE.
TYPES: dict[str, str] = {
    "text": "string",
    "empty": "string",
    "count": "int",
    "ratio": "double",
    "flag": "bool",
    "words": "list<string>",
    "numbers": "list<int>",
    "labels": "map<string, string>",
    "size": "int",
    "nested": "map<string, map<string, int>>",
    "port": "dyn",
}

_TEXT, _INTEGER = {"type": "string", "maxLength": 100}, {"type": "integer"}

#: The schema of VALUE; `missing` is a field that it does not have, `port` takes a number or a text.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": _TEXT,
        "empty": _TEXT,
        "missing": _TEXT,
        "count": _INTEGER,
        "ratio": {"type": "number"},
        "flag": {"type": "boolean"},
        "words": {"type": "array", "maxItems": 10, "items": _TEXT},
        "numbers": {"type": "array", "maxItems": 10, "items": _INTEGER},
        "labels": {"type": "object", "maxProperties": 10, "additionalProperties": _TEXT},
        "size": _INTEGER,
        "nested": {
            "type": "object",
            "properties": {"deep": {"type": "object", "properties": {"value": _INTEGER, "absent": _INTEGER}}},
        },
        "port": {"x-kubernetes-int-or-string": True},
    },
}

EXPRESSIONS: tuple[str, ...] = (
    # texts
    "self.text.size() == 11",
    "bytes(self.text).size() == 13",
    "self.text.startsWith('Grüße') && self.text.endsWith('Welt') && self.text.contains(', ')",
    r"self.text.matches('^[A-Z]\\S+, \\w+$')",
    r"'a\n'.matches('^a$')",
    "self.text.split(', ') == ['Grüße', 'Welt']",
    "self.words.join('-') == 'red-green-blue-red'",
    "'a-b-c'.replace('-', '+', 1) == 'a+b-c'",
    "self.text.lowerAscii() == 'grüße, welt' && 'abc'.upperAscii() == 'ABC'",
    "'  x '.trim() == 'x' && 'hello'.substring(1, 3) == 'el'",
    "'hello'.charAt(4) == 'o' && 'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3",
    "'hello'.charAt(9) == ''",
    "'%s has %d of %.2f'.format(['x', 3, 1.5]) == 'x has 3 of 1.50'",
    r"'\u00fc' == 'ü' && r'\d' == '\\d' && b'abc' == bytes('abc')",
    "self.text + '!' == 'Grüße, Welt!' && 'a' < 'b' && !('B' > 'a')",
    "self.text.matches('(')",
    "self.empty.matches(self.text + '(')",
    # lists
    "self.words.size() == 4 && size(self.numbers) == 3",
    "'red' in self.words && !('pink' in self.words)",
    "self.words[0] == 'red' && self.words[3] == self.words[0]",
    "self.words[4] == 'x'",
    "self.words[-1] == 'red'",
    "self.numbers + [4] == [3, 1, 2, 4]",
    "[1, 2] == [2, 1]",
    "[[1], [2, 3]][1][0] == 2",
    "[1, 'a'].size() == 2",
    "[dyn(1), dyn('a')].size() == 2",
    "[].size() == 0 && [] == []",
    # maps
    "self.labels['team'] == 'data' && self.labels['a.b/c'] == 'x'",
    "'team' in self.labels && self.labels.size() == 2",
    "self.labels['none'] == 'x'",
    "{'a': 1, 'b': 2}.b == 2",
    "{'a': 1} == {'a': 1} && {'a': 1, 'b': 2} == {'b': 2, 'a': 1}",
    "{1: 'a', 2: 'b'}[2] == 'b'",
    "{'a': 1, 'a': 2}.a == 2",
    # macros
    "self.words.all(word, word.size() > 2)",
    "self.words.exists(word, word == 'blue')",
    "self.words.exists_one(word, word == 'red')",
    "self.words.filter(word, word.startsWith('r')) == ['red', 'red']",
    "self.numbers.map(number, number * 2) == [6, 2, 4]",
    "self.numbers.map(number, number > 1, number * 10) == [30, 20]",
    "self.labels.all(key, self.labels[key].size() < 5)",
    "self.words.all(word, self.numbers.exists(number, number == 1 && word != ''))",
    "[1, 0, 2].exists(number, 4 / number == 2)",
    "[1, 0, 3].all(number, 4 / number > 0)",
    "[].all(item, false) && ![].exists(item, true)",
    # presence and optional values
    "has(self.text) && !has(self.missing)",
    "has(self.nested.deep.value) && !has(self.nested.deep.absent)",
    "self.missing == 'x'",
    "self.?missing.orValue('fallback') == 'fallback'",
    "self.?nested.?deep.?value.orValue(0) == 1",
    "self.labels[?'none'].hasValue()",
    "optional.of(1).value() == 1 && optional.none().orValue(5) == 5",
    "optional.none().value() == 1",
    # arithmetic
    "self.count / 2 == 3 && -7 / 2 == -3 && -7 % 2 == -1",
    "9223372036854775807 + self.count > 0",
    "-9223372036854775808 - self.count < 0",
    "-(-9223372036854775807 - self.size + 4) > 0",
    "self.count * 9223372036854775807 > 0",
    "self.count / (self.size - 5) == 1",
    "self.count % (self.size - 5) == 1",
    "self.ratio == 2.0 && self.ratio / 0.0 > 1e308",
    "0.1 + 0.2 == 0.3",
    "self.count == 7.0",
    "self.count > 6.5 && self.ratio >= 2",
    "dyn(self.count) == dyn(7.0) && 1u == uint(1)",
    "uint(self.count - 8) > 1u",
    "self.count + self.ratio == 9.0",
    # conversions and types
    "int('42') == 42 && string(42) == '42' && double('1.5') == 1.5 && bool('true')",
    "int('forty') == 42",
    "int(1e30) > 0",
    "int(self.ratio) == 2 && int(2.9) == 2 && string(1.0) == '1'",
    "type(self.count) == int && type(self.ratio) == double && type(self.text) == string",
    "self.port == 80",
    "self.port == 'http'",
    "self.port + 1 == 81",
    "type(self.port) == int ? self.port < 100 : self.port.startsWith('h')",
    "self.port.startsWith('h')",
    "'a' == 1",
    "dyn('a') == 1",
    "self.flag == 'true'",
    "self.flag && 1",
    # logic: an error is absorbed if the other side decides
    "self.flag || self.words[9] == 'x'",
    "self.words[9] == 'x' || self.flag",
    "!self.flag && self.words[9] == 'x'",
    "self.words[9] == 'x' && self.flag",
    "self.flag ? true : self.words[9] == 'x'",
    # times
    "timestamp('2026-02-28T23:30:00Z') + duration('1h') == timestamp('2026-03-01T00:30:00Z')",
    "timestamp('2026-01-01T00:00:00+02:00') == timestamp('2025-12-31T22:00:00Z')",
    "timestamp('2026-03-29T00:30:00Z').getHours('Europe/Berlin') == 1 && timestamp('2026-03-29T01:30:00Z').getHours('Europe/Berlin') == 3",
    "timestamp('2026-12-01T00:00:00Z').getDayOfWeek() == 2 && timestamp('2026-12-01T00:00:00Z').getMonth() == 11",
    "timestamp('2026-01-02T00:00:00Z') - timestamp('2026-01-01T00:00:00Z') == duration('24h')",
    "duration('1h30m').getMinutes() == 90 && duration('1500ms').getSeconds() == 1",
    "duration('1 day') > duration('0s')",
    "duration(self.text) > duration('0s')",
    "timestamp(self.text) > timestamp('2026-01-01T00:00:00Z')",
    "timestamp('9999-12-31T23:59:59Z') + duration('1h') > timestamp('2026-01-01T00:00:00Z')",
    "string(duration('90m')) == '5400s' && string(timestamp('2026-01-01T00:00:00.500Z')) == '2026-01-01T00:00:00.5Z'",
    "duration('-1h') < duration('0s') && duration('1.5h') == duration('90m')",
    # expressions that cannot be compiled
    "self.none == 1",
    "unknown == 1",
    "self.text.reverse(",
    "self.text.nothing() == 1",
    "self.count",
    "1 +",
    "'unclosed",
)


def recorded() -> dict[str, list[str]]:
    """The answers of a real API server: [`true`, `false`, `error` or `invalid`, message] by expression."""
    return dict(json.loads(_RECORDED.read_text(encoding="utf-8")))


def write(answers: dict[str, list[str]]) -> None:
    """Record answers."""
    _RECORDED.write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
