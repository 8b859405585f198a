"""The words of every command as data, so that a shell's TAB need not import the commands: `python -m mintaka.cli.words` writes it.

It is generated from the commands and committed (`words.json`); a test holds both equal. `what` of an option or argument says
what may stand there: the choices, or the kind of thing (`mintaka.cli.completing` knows which there are); None: no value.
"""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("words.json")

#: What the parameters of commands are, by name; all others are words that only the user knows.
_KINDS = {
    "run": "run",
    "first": "run",
    "second": "run",
    "entrypoint": "flow",
    "target": "flow_or_deployment",
    "what": "manifest",
    "wanted": "object",
    "objects": "object",
    "context": "context",
    "deployment": "deployment",
    "state": "state",
    "level": "level",
    "task_run": "task_run",
    "name": "",
}


def generated() -> str:
    """The words as JSON, each on a line of its own, so that changes of two people meet as rarely as they can."""
    import typer  # noqa: PLC0415 - only for generating

    from mintaka.cli import COMMANDS, app_of  # noqa: PLC0415 - would be a cycle

    words = {name: _command(typer.main.get_command(app_of(name))) for name in COMMANDS}
    return json.dumps(words, indent=1) + "\n"


def _command(command: Any) -> dict[str, Any]:
    if hasattr(command, "commands"):
        return {"commands": {name: {"summary": each.get_short_help_str(100), **_command(each)} for name, each in command.commands.items()}}
    options: dict[str, Any] = {}
    arguments = []
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            arguments.append(_what(parameter))
            continue
        what = None if getattr(parameter, "is_flag", False) else _what(parameter)
        for word in (*parameter.opts, *parameter.secondary_opts):
            options[word] = {"help": parameter.help or "", "what": what}
    return {"options": options, "arguments": arguments}


def _what(parameter: Any) -> str | list[str]:
    kind = parameter.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(choice.value) for choice in kind]
    return _KINDS.get(parameter.name, "")


if __name__ == "__main__":
    PATH.write_text(generated(), encoding="utf-8")
