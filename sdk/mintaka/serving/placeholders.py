"""`{{ … }}` in a prefect.yaml: environment variables and outputs of steps, as far as they are known when it is converted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}")
#: Replaces the parts of a document that are left out.
_LEFT_OUT = object()


class Placeholders:
    """Fills in placeholders; `notes` has a sentence for each that was filled in or left out."""

    def __init__(self, variables: Mapping[str, str], outputs: Mapping[str, str]) -> None:
        """`variables` are those of the environment, `outputs` the known ones of steps, as `STEP.NAME`."""
        self._variables = variables
        self._outputs = outputs
        self.notes: list[str] = []

    def filled(self, value: Any, path: str) -> Any:
        """`value` with known placeholders filled in; parts with unknown ones are left out; None if nothing remains."""
        found = self._filled(value, path)
        return None if found is _LEFT_OUT else found

    def _filled(self, value: Any, path: str) -> Any:
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, dict):
            parts = {key: self._filled(part, f"{path}.{key}") for key, part in value.items()}
            return {key: part for key, part in parts.items() if part is not _LEFT_OUT}
        if isinstance(value, list):
            items = [self._filled(part, f"{path}[{index}]") for index, part in enumerate(value)]
            return [part for part in items if part is not _LEFT_OUT]
        return value

    def _text(self, text: str, path: str) -> Any:
        names = _PLACEHOLDER.findall(text)
        if not names:
            return text
        known = {name: value for name in names if (value := self._value(name)) is not None}
        for name in names:
            if name not in known:
                self.notes.append(f"{path}: {text!r} is left out, because {_meaning(name)}")
                return _LEFT_OUT
        filled = _PLACEHOLDER.sub(lambda match: known[match[1]], text)
        if read := [name[1:] for name in names if name.startswith("$")]:
            # The value may be a secret, which the manifest then shows: the note does not repeat it.
            self.notes.append(f"{path}: {text!r} is filled in with the environment variable {', '.join(read)} as it is now")
        return filled

    def _value(self, name: str) -> str | None:
        return self._variables.get(name[1:]) if name.startswith("$") else self._outputs.get(name)


def _meaning(name: str) -> str:
    """Why a placeholder has no value here, and what to do."""
    if name.startswith("$"):
        return f"the environment variable {name[1:]} is not set: set it, or write the value"
    if name.startswith("prefect.blocks."):
        return "there are no blocks: take it from a Secret, by secretParameters or the env of podTemplate's container"
    if name.startswith("prefect.variables."):
        return f"variables are read by the flow when it runs: Variable.get({name.removeprefix('prefect.variables.').split('.')[0]!r})"
    if name.startswith("ctx."):
        return "it is filled in when a run starts; runtime.flow_run has it in the flow"
    return "it is the output of a step, which is known only after it has run: write the value"
