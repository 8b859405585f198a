"""The syntax tree of a compiled expression, read from what the runtime serializes: `cel.expr.CheckedExpr` as protobuf.

Only the few messages that a tree consists of are read (cel-spec, `proto/cel/expr/syntax.proto`), so that the protobuf library is
not needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mintaka_validation.cel_costs import Call, Constant, Macro, Members, Name

if TYPE_CHECKING:
    from mintaka_validation.cel_costs import Part

type _Fields = dict[int, list[Any]]

_CONTINUES, _PAYLOAD = 0x80, 0x7F
_VARINT, _FIXED_64, _DELIMITED, _FIXED_32 = 0, 1, 2, 5
_VALUE_OF_ANY, _TREE_OF_CHECKED = 2, 4
_FIRST_KIND = 3  # of the kinds of an expression; its number comes first
_TEXT_OF_CONSTANT, _BYTES_OF_CONSTANT = 6, 7
_WIDTHS: Final = {_FIXED_64: 8, _FIXED_32: 4}


def read_tree(serialized: bytes) -> Part:
    """The tree of a serialized expression."""
    checked = _fields(_fields(serialized)[_VALUE_OF_ANY][0])
    return _part(checked[_TREE_OF_CHECKED][0])


def _part(message: bytes) -> Part:
    (kind, (content, *_)), *_ = ((number, values) for number, values in _fields(message).items() if number >= _FIRST_KIND)
    fields = _fields(content)
    match kind:
        case 3:  # a constant
            texts = fields.get(_TEXT_OF_CONSTANT, []) + fields.get(_BYTES_OF_CONSTANT, [])
            return Constant(1 + sum(map(len, texts)))
        case 4:  # a name
            return Name(fields[1][0].decode())
        case 5:  # a selected field
            return Call("_[_]", (_part(fields[1][0]),))
        case 6:  # a call
            return Call(fields[2][0].decode(), tuple(map(_part, fields.get(1, []) + fields.get(3, []))))
        case 7:  # a list
            return Members(tuple(map(_part, fields.get(1, []))))
        case 8:  # a map
            entries = map(_fields, fields.get(2, []))
            return Members(tuple(_part(part) for entry in entries for part in entry.get(3, []) + entry.get(4, [])))
        case _:  # a macro
            names = tuple(name.decode() for name in fields.get(1, []) + fields.get(8, []))
            step = Members((_part(fields[5][0]), _part(fields[6][0])))
            return Macro(names, fields[3][0].decode(), _part(fields[2][0]), _part(fields[4][0]), step, _part(fields[7][0]))


def _fields(message: bytes) -> _Fields:
    """The fields of a protobuf message by number (protobuf, "Encoding")."""
    fields: _Fields = {}
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        value: int | bytes
        if kind == _VARINT:
            value, place = _varint(message, place)
        else:
            length, place = _varint(message, place) if kind == _DELIMITED else (_WIDTHS[kind], place)
            value, place = message[place : place + length], place + length
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[place]
        number |= (byte & _PAYLOAD) << shift
        place, shift = place + 1, shift + 7
        if byte < _CONTINUES:
            return number, place
