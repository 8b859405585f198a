"""What commands share in reading their arguments."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from mintaka_core.errors import MintakaError

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


ProgressOption = Annotated[bool, typer.Option("--progress/--no-progress", help="Show how it goes on.")]


class Output(StrEnum):
    """Formats of what commands show."""

    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


class BadArgument(MintakaError):
    """An argument of a command that makes no sense."""


def parameters_of(pairs: list[str]) -> dict[str, Any]:
    """`name=value` pairs as parameters; a value is JSON where it can be read so, else text.

    Raises:
        BadArgument: there is no name or no equals sign.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            message = f"--parameter takes name=value, not {pair!r}"
            raise BadArgument(message)
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values
