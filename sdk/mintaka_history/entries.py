"""The history of a task run as a short text: what is usual is left out.

On the wire an entry is `[state type, state name, µs since created, rule, reason]`. Stored it is `[code, µs]`, and only
where they are unusual, the state's name, the rule and the reason follow: 7 bytes instead of 35.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mintaka_history.codes import CODE_OF_WORD, DEFAULT_NAME_OF_CODE, STATE_OF_CODE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mintaka_history.codes import StateWord

_encode = msgspec.json.Encoder().encode
#: The beginning of a stored entry, by what is usual.
_USUAL = {(word, name, "", ""): f"[{code}," for word, code in CODE_OF_WORD.items() for name in ("", DEFAULT_NAME_OF_CODE[code])}
_decode = msgspec.json.Decoder(list[list[int | str]]).decode

type Entry = tuple[StateWord, str, int, str, str]


def compact(entries: Iterable[Entry]) -> str:
    """The stored text of a history."""
    parts = []
    for word, name, offset, rule, reason in entries:
        usual = _USUAL.get((word, name, rule, reason))
        if usual is not None:
            parts.append(f"{usual}{offset}]")
        else:
            code = CODE_OF_WORD[word]
            stored = "" if name == DEFAULT_NAME_OF_CODE[code] else name
            parts.append(_encode([code, offset, stored, rule, reason]).decode())
    return f"[{','.join(parts)}]"


def expanded(text: str) -> list[tuple[str, str, int, str, str]]:
    """The history in a stored text, as it is on the wire."""
    entries = []
    for code, offset, *rest in _decode(text):
        name, rule, reason = rest or ("", "", "")
        entries.append((STATE_OF_CODE[int(code)].value, str(name) or DEFAULT_NAME_OF_CODE[int(code)], int(offset), str(rule), str(reason)))
    return entries
