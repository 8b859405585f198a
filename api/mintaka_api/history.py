"""The history of a task run as a short text: what is usual is left out.

On the wire an entry is `[state type, state name, µs since created, rule, reason]`. Stored it is `[code, µs]`, and only
where they are unusual, the state's name, the rule and the reason follow: 7 bytes instead of 35.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mintaka_api.codes import DEFAULT_NAME_OF_CODE, STATE_CODES, STATE_OF_CODE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mintaka_core.states import StateType

_encode = msgspec.json.Encoder().encode
_CODES: dict[str, int] = {state.value: code for state, code in STATE_CODES.items()}
_USUAL = {(state.value, DEFAULT_NAME_OF_CODE[code], "", ""): code for state, code in STATE_CODES.items()}
_USUAL |= {(state.value, "", "", ""): code for state, code in STATE_CODES.items()}
_decode = msgspec.json.Decoder(list[list[int | str]]).decode

type Entry = tuple[StateType, str, int, str, str]


def compact(entries: Iterable[Entry]) -> str:
    """The stored text of a history."""
    parts = []
    for state, name, offset, rule, reason in entries:
        code = _USUAL.get((state, name, rule, reason))
        if code is not None:
            parts.append(f"[{code},{offset}]")
        else:
            code = _CODES[state]
            stored = "" if name == DEFAULT_NAME_OF_CODE[code] else name
            parts.append(_encode([code, offset, stored, rule, reason]).decode())
    return "[" + ",".join(parts) + "]"


def expanded(text: str) -> list[tuple[str, str, int, str, str]]:
    """The history in a stored text, as it is on the wire."""
    entries = []
    for code, offset, *rest in _decode(text):
        name, rule, reason = rest or ("", "", "")
        entries.append((STATE_OF_CODE[int(code)].value, str(name) or DEFAULT_NAME_OF_CODE[int(code)], int(offset), str(rule), str(reason)))
    return entries
