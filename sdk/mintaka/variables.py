"""Variables: named JSON values that are shared by all runs, kept where history is.

    from mintaka.variables import Variable

    Variable.set("regions", ["north", "south"])
    for region in Variable.get("regions", default=[]):
        ...

A script keeps them in its SQLite file, a pod at the API. They are no place for secrets (`mintaka.blocks.system.Secret`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self, overload

from mintaka.calling.dual_functions import dual
from mintaka.sharing import shared
from mintaka.waiting.drivers import apart

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence


class Variable:
    """A variable as it was set: its `name`, its `value` (anything that JSON can say, at most 64 KiB), and its `tags`.

    In async code `get`, `set` and `unset` are awaited (`mintaka.calling.dual_functions`); the methods with `a` in front are
    coroutine functions. Each of them raises `InvalidNameError` where a variable cannot be
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
    async def aget(cls, name: str, default: Any = None) -> Any:
        """`get` for `await`."""
        return await apart(lambda: cls.get(name, default, _sync=True))

    @overload
    @classmethod
    def get(cls, name: str, default: Any = None, *, _sync: Literal[False]) -> Coroutine[Any, Any, Any]: ...
    @overload
    @classmethod
    def get(cls, name: str, default: Any = None, *, _sync: Literal[True] | None = None) -> Any: ...
    @classmethod
    @dual(aget)
    def get(cls, name: str, default: Any = None) -> Any:
        """The variable's value; `default` where there is none."""
        found = shared().variable(name)
        return default if found is None else found.value

    @classmethod
    async def aset(cls, name: str, value: Any, tags: Sequence[str] | None = None, overwrite: bool = False) -> Self:
        """`set` for `await`."""
        return await apart(lambda: cls.set(name, value, tags, overwrite, _sync=True))

    @overload
    @classmethod
    def set(
        cls, name: str, value: Any, tags: Sequence[str] | None = None, overwrite: bool = False, *, _sync: Literal[False]
    ) -> Coroutine[Any, Any, Self]: ...
    @overload
    @classmethod
    def set(
        cls, name: str, value: Any, tags: Sequence[str] | None = None, overwrite: bool = False, *, _sync: Literal[True] | None = None
    ) -> Self: ...
    @classmethod
    @dual(aset)
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
    async def aunset(cls, name: str) -> bool:
        """`unset` for `await`."""
        return await apart(lambda: cls.unset(name, _sync=True))

    @overload
    @classmethod
    def unset(cls, name: str, *, _sync: Literal[False]) -> Coroutine[Any, Any, bool]: ...
    @overload
    @classmethod
    def unset(cls, name: str, *, _sync: Literal[True] | None = None) -> bool: ...
    @classmethod
    @dual(aunset)
    def unset(cls, name: str) -> bool:
        """Delete a variable; False where there was none."""
        return shared().remove_variable(name)
