"""What is wrong with a document, in the words of the Kubernetes API server (apimachinery, `field.Error` and `StatusError`).

MintakaError
└── InvalidDocument       a document that validation refuses (HTTP 422)
    └── MalformedDocument     a document that cannot be read as its kind (HTTP 400)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from mintaka_core.errors import MintakaError
from mintaka_core.names import GROUP, VERSION
from mintaka_validation.go_text import quote, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

type Reason = Literal[
    "FieldValueRequired",
    "FieldValueInvalid",
    "FieldValueTypeInvalid",
    "FieldValueNotSupported",
    "FieldValueForbidden",
    "FieldValueDuplicate",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "InternalError",
    "UnknownField",
    "Malformed",
    "TooLarge",
]

#: With an error of these, rules are not evaluated: they could not rely on the types (customresource/strategy.go).
BLOCKING: Final = frozenset(
    {"FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"}
)
#: Messages of these name the place themselves.
_WITHOUT_PATH: Final = frozenset({"UnknownField", "Malformed", "TooLarge"})
_NO_FIELD: Final = "<nil>"
_NOT_CHECKED: Final = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"
)


class FieldError(NamedTuple):
    """One fault: `path` such as `spec.tags[0]`, `message` as a sentence, `reason` for programs (the type of a StatusCause).

    The path is `<nil>` for what concerns the whole document.
    """

    path: str
    message: str
    reason: Reason

    def __str__(self) -> str:
        return self.message if self.reason in _WITHOUT_PATH else f"{self.path}: {self.message}"


class InvalidDocument(MintakaError):
    """A document that is not valid. Its text is the message with which the Kubernetes API server refuses the document."""

    status: int = 422

    def __init__(self, kind: str, name: str, errors: Sequence[FieldError]) -> None:
        """`errors` in the order of the document; there is at least one."""
        self.kind, self.name, self.errors = kind, name, tuple(errors)
        super().__init__(self._text())

    def _text(self) -> str:
        return f"{self.kind}.{GROUP} {quote(self.name)} is invalid: {self._all()}"

    def _all(self) -> str:
        texts = list(dict.fromkeys(map(str, self.errors)))
        return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, self.name, self.errors)


class MalformedDocument(InvalidDocument):
    """A document with fields that its kind does not have, or with metadata of a wrong type."""

    status = 400

    def _text(self) -> str:
        texts = ", ".join(map(str, self.errors))
        strict = "strict decoding error: " if self.errors[0].reason == "UnknownField" else ""
        return f"{self.kind} in version {quote(VERSION)} cannot be handled as a {self.kind}: {strict}{texts}"


def required(path: str, detail: str = "") -> FieldError:
    """A value that is missing."""
    return _error(path, "Required value", detail, "FieldValueRequired")


def forbidden(path: str, detail: str) -> FieldError:
    """A value that is valid, but not allowed here or now."""
    return _error(path, "Forbidden", detail, "FieldValueForbidden")


def invalid(path: str, value: Any, detail: str) -> FieldError:
    """A value that is not valid."""
    return _error(path, f"Invalid value: {text_of(value)}", detail, "FieldValueInvalid")


def type_invalid(path: str, value: Any, detail: str) -> FieldError:
    """A value of another type than the schema's."""
    return _error(path, f"Invalid value: {text_of(value)}", detail, "FieldValueTypeInvalid")


def not_supported(path: str, value: Any, supported: Sequence[str]) -> FieldError:
    """A value that is not one of an enumeration."""
    detail = f"supported values: {', '.join(map(quote, supported))}"
    return _error(path, f"Unsupported value: {text_of(value)}", detail, "FieldValueNotSupported")


def duplicate(path: str, value: Any) -> FieldError:
    """A value that may occur only once."""
    return _error(path, f"Duplicate value: {text_of(value)}", "", "FieldValueDuplicate")


def too_long(path: str, limit: int) -> FieldError:
    """A text of more than `limit` characters; Kubernetes calls them bytes."""
    return _error(path, "Too long", f"may not be more than {limit} byte{'' if limit == 1 else 's'}", "FieldValueTooLong")


def too_many(path: str, count: int, limit: int) -> FieldError:
    """A list or map with more than `limit` members."""
    return _error(path, f"Too many: {count}", f"must have at most {limit} item{'' if limit == 1 else 's'}", "FieldValueTooMany")


def rules_not_checked() -> FieldError:
    """What follows errors that prevent the rules from being evaluated."""
    return invalid(_NO_FIELD, None, _NOT_CHECKED)


def whole(path: str) -> str:
    """`path`, or the notation for the whole document if it is empty."""
    return path or _NO_FIELD


def _error(path: str, body: str, detail: str, reason: Reason) -> FieldError:
    return FieldError(path, f"{body}: {detail}" if detail else body, reason)
