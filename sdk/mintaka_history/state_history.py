"""The history of a task run as a compact text: usual values are omitted.

On the wire an entry is `[state type, state name, µs since created, state type proposed, [[rule, verdict, reason], …]]`. It
is stored as `[code, µs]`, followed only if they are unusual by the state's name, the proposed state's code (0: the same)
and the trail: 7 bytes instead of 35. Facts are the first element of a trail, `["", "facts", {…}]`, since the release before reads all
elements of a trail and no others of an entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mintaka_history.enum_codes import CODE_OF_WORD, DEFAULT_NAME_OF_CODE, shown_name, shown_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mintaka_history.enum_codes import StateWord, Trail

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[list[Any]]).decode
#: The beginning of a stored entry, for usual values.
_USUAL: dict[tuple[str, str, str, Trail], str] = {
    (word, name, proposed, ()): f"[{code},"
    for word, code in CODE_OF_WORD.items()
    for name in ("", DEFAULT_NAME_OF_CODE[code])
    for proposed in ("", word)
}

#: The verdict of the element of a trail that contains the facts.
_FACTS = "facts"
#: The length of a stored entry with usual values.
_UNUSUAL = 2

type Entry = tuple[StateWord, str, int, str, Trail]


def compact_history(entries: Iterable[Entry], facts: Mapping[int, Mapping[str, Any]] | None = None) -> str:
    """The stored text of a history; `facts` are those of its entries, by position."""
    parts = []
    for position, (word, name, offset, proposed, trail) in enumerate(entries):
        usual = _USUAL.get((word, name, proposed, trail))
        known = facts.get(position) if facts else None
        if usual is not None and not known:
            parts.append(f"{usual}{offset}]")
        else:
            code = CODE_OF_WORD[word]
            stored = "" if name == DEFAULT_NAME_OF_CODE[code] else name
            other = 0 if proposed in ("", word) else CODE_OF_WORD[proposed]
            said: Sequence[Any] = [["", _FACTS, known], *trail] if known else trail
            parts.append(_encode([code, offset, stored, other, said]).decode())
    return f"[{','.join(parts)}]"


def expand_history(text: str) -> list[tuple[str, str, int, str, list[tuple[str, str, str]]]]:
    """The history in a stored text, in wire format, always with the proposed state."""
    entries: list[tuple[str, str, int, str, list[tuple[str, str, str]]]] = []
    for code, offset, *rest in _decode(text):
        name, proposed, said = rest or ("", 0, [])
        if isinstance(proposed, str):  # a row from before trails were stored: only the deciding rule and its reason
            proposed, said = 0, [(proposed, "Redirect", said)] if proposed else []
        trail = [(rule, verdict, reason) for rule, verdict, reason in said if rule or verdict != _FACTS]
        entries.append((shown_state(code), shown_name(code, name), offset, shown_state(proposed or code), trail))
    return entries


def facts_of_history(text: str) -> dict[str, dict[str, Any]]:
    """The facts in a stored text, by the position of their entry."""
    trails = ((position, entry[-1]) for position, entry in enumerate(_decode(text)) if len(entry) > _UNUSUAL)
    return {str(position): trail[0][2] for position, trail in trails if isinstance(trail, list) and trail and trail[0][:2] == ["", _FACTS]}


class PreviousHistory(NamedTuple):
    """A history without its last entry, and the state that it ends with: its code, and its name if that is unusual."""

    history: str
    state: int
    name: str | None


def without_last(text: str) -> PreviousHistory:
    """A stored text without its last entry."""
    entries = _decode(text)[:-1]
    code, _, *rest = entries[-1]
    return PreviousHistory(_encode(entries).decode(), code, rest[0] or None if rest else None)
