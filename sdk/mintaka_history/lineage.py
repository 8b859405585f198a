"""The results passed to a task run, as stored in its row: `{"parameter": [numbers of task runs]}`."""

from __future__ import annotations

import msgspec

_decode = msgspec.json.Decoder(dict[str, list[int]] | list[int]).decode

type Inputs = dict[str, list[int]]


def inputs_of(text: str | None) -> Inputs:
    """The numbers by parameter; a row written before parameters were stored has them under ""."""
    found = _decode(text) if text else {}
    return found if isinstance(found, dict) else {"": found}


def upstream_of(inputs: Inputs) -> list[int]:
    """All numbers, each once."""
    return list(dict.fromkeys(n for numbers in inputs.values() for n in numbers))
