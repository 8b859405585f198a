"""Which results went into a task run, as its row keeps them: `{"parameter": [numbers of task runs]}`."""

from __future__ import annotations

import msgspec

_decode = msgspec.json.Decoder(dict[str, list[int]] | list[int]).decode

type Inputs = dict[str, list[int]]


def inputs_of(text: str | None) -> Inputs:
    """The numbers by parameter; under "" those of a row that was written before parameters were kept."""
    found = _decode(text) if text else {}
    return found if isinstance(found, dict) else {"": found}


def upstream_of(inputs: Inputs) -> list[int]:
    """All numbers, each once."""
    return list(dict.fromkeys(n for numbers in inputs.values() for n in numbers))
