"""What a word of a script may become: strings in which some parts are unknown before the script runs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

#: Stands in the source of a string for what is unknown there.
UNKNOWN_NAME = "_unknown_"
#: More alternatives than this are not told apart.
_MOST_ALTERNATIVES = 24


@dataclass(frozen=True)
class Unknown:
    """A part of a word that only a run of the script can tell.

    `origin` says where it comes from: "parameter" (the caller decides), "environment" (a variable that no script sets),
    "output" and "output of" (a command, which is `name`), "found" and "own" (the file of program `name`, as `find_program` and
    `users_own` print it).
    """

    origin: str
    name: str = ""


type Part = str | Unknown
type Value = tuple[Part, ...]
type Values = tuple[Value, ...]

EMPTY: Values = ((),)


def text(string: str) -> Values:
    """Return what is known and one string."""
    return ((string,),) if string else EMPTY


def unknown(origin: str, name: str = "") -> Values:
    """Return one value of which nothing is known but its origin."""
    return ((Unknown(origin, name),),)


def joined(parts: list[Values]) -> Values:
    """Return every combination of the alternatives, as a word puts them together."""
    combinations = 1
    for part in parts:
        combinations *= len(part)
    if combinations > _MOST_ALTERNATIVES:
        return unknown("output")
    return united([tuple(_merged([piece for value in values for piece in value]) for values in product(*parts))])


def united(alternatives: list[Values]) -> Values:
    """Return the alternatives of all, each once."""
    return tuple(dict.fromkeys(value for values in alternatives for value in values))


def known(value: Value) -> str | None:
    """Return the string that `value` is, or None if a part of it is unknown."""
    if all(isinstance(part, str) for part in value):
        return "".join(part for part in value if isinstance(part, str))
    return None


def source_text(value: Value) -> str:
    """Return `value` as shell source again, for strings that a shell is given to run; what is unknown stands as a parameter."""
    return "".join(
        part if isinstance(part, str) else "${%s}" % (part.name if part.origin == "environment" else UNKNOWN_NAME) for part in value
    )


def last_name(value: Value) -> str:
    """Return what comes after the last slash, as far as it is known."""
    return value[-1].rpartition("/")[2] if value and isinstance(value[-1], str) else ""


def _merged(parts: list[Part]) -> Value:
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(merged)
