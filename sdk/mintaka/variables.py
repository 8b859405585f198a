"""Variables: named JSON values that are shared by all runs, kept where history is.

    from mintaka.variables import Variable

    Variable.set("regions", ["north", "south"])
    for region in Variable.get("regions", default=[]):
        ...

A script keeps them in its SQLite file, a pod at the API. They are no place for secrets (`mintaka.blocks.system.Secret`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from mintaka.sharing import shared

if TYPE_CHECKING:
    from collections.abc import Sequence


class Variable:
    """A variable as it was set: its `name`, its `value` (anything that JSON can say, at most 64 KiB), and its `tags`.

    The methods with `a` in front are the same for `await`. Each of them raises `InvalidNameError` where a variable cannot be
    called so (letters, digits, `_`, `-`, `.`; at most 255), `SharingAway` where the API or database does not answer, and
    `SharingError` where there is none.
    """

    __slots__ = ("name", "tags", "value")

    def __init__(self, name: str, value: Any, tags: Sequence[str] = ()) -> None:
        self.name = name
        self.value = value
        self.tags = list(tags)

    def __repr__(self) -> str:
        return f"Variable(name={self.name!r}, value={self.value!r}, tags={self.tags!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Variable) and (self.name, self.value, self.tags) == (other.name, other.value, other.tags)

    def __hash__(self) -> int:
        return hash(self.name)

    @classmethod
    def get(cls, name: str, default: Any = None) -> Any:
        """The variable's value; `default` where there is none."""
        found = shared().variable(name)
        return default if found is None else found.value

    @classmethod
    async def aget(cls, name: str, default: Any = None) -> Any:
        """`get` for `await`."""
        return await _in_thread(cls.get, name, default)

    @classmethod
    def set(cls, name: str, value: Any, tags: Sequence[str] | None = None, overwrite: bool = False) -> Self:
        """Make a variable, or with `overwrite` give it another value and other tags.

        Raises:
            ValueError: it exists, and `overwrite` is False; or its value is none that JSON can say, or too large.
        """
        if not shared().put_variable(name, value, tags or (), overwrite=overwrite):
            message = f"variable {name!r} exists already: pass overwrite=True to change it"
            raise ValueError(message)
        return cls(name, value, tags or ())

    @classmethod
    async def aset(cls, name: str, value: Any, tags: Sequence[str] | None = None, overwrite: bool = False) -> Self:
        """`set` for `await`."""
        variable: Self = await _in_thread(cls.set, name, value, tags, overwrite)
        return variable

    @classmethod
    def unset(cls, name: str) -> bool:
        """Delete a variable; False where there was none."""
        return shared().remove_variable(name)

    @classmethod
    async def aunset(cls, name: str) -> bool:
        """`unset` for `await`."""
        return bool(await _in_thread(cls.unset, name))


async def _in_thread(call: Any, *args: Any) -> Any:
    import asyncio  # noqa: PLC0415 - start-up time

    return await asyncio.to_thread(call, *args)
