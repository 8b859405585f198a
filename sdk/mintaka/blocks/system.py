"""Secrets: passwords and tokens that flows use and nobody is shown.

    from mintaka.blocks.system import Secret

    password = Secret.load("warehouse-password").get()

Looked for in the environment (`MINTAKA_SECRET_WAREHOUSE_PASSWORD`), then as a file of that name in `MINTAKA_SECRETS_DIR` (default
`/run/secrets/mintaka`: mount a Secret of Kubernetes there), then, outside of pods, in the file that `save` wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self, overload

from mintaka.calling.dual_functions import dual
from mintaka.exceptions import SharingError
from mintaka.secret_files import in_pod, read_secret, write_secret
from mintaka.waiting.drivers import apart

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

_MASKED = "**********"


class Secret:
    """A secret text. It shows itself as stars; only `get` gives it away.

    In async code `load` and `save` are awaited (`mintaka.calling.dual_functions`).
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            message = f"a secret is a text, not {type(value).__name__}: make one of it first (json.dumps)"
            raise TypeError(message)
        self._value = value

    def get(self) -> str:
        """The secret itself."""
        return self._value

    @classmethod
    async def aload(cls, name: str) -> Self:
        """`load` for `await`."""
        return await apart(lambda: cls.load(name, _sync=True))

    @overload
    @classmethod
    def load(cls, name: str, *, _sync: Literal[False]) -> Coroutine[Any, Any, Self]: ...
    @overload
    @classmethod
    def load(cls, name: str, *, _sync: Literal[True] | None = None) -> Self: ...
    @classmethod
    @dual(aload)
    def load(cls, name: str) -> Self:
        """The secret of that name.

        Raises:
            SecretNotFound: there is none; the message says where it was looked for.
            InvalidNameError: a secret cannot be called so.
        """
        return cls(read_secret(name))

    async def asave(self, name: str, overwrite: bool = False) -> str:
        """`save` for `await`."""
        return await apart(lambda: self.save(name, overwrite, _sync=True))

    @overload
    def save(self, name: str, overwrite: bool = False, *, _sync: Literal[False]) -> Coroutine[Any, Any, str]: ...
    @overload
    def save(self, name: str, overwrite: bool = False, *, _sync: Literal[True] | None = None) -> str: ...
    @dual(asave)
    def save(self, name: str, overwrite: bool = False) -> str:
        """Keep it on this machine, in a file that only this user can read; returns its name.

        Raises:
            ValueError: there is one of that name, and `overwrite` is False.
            InvalidNameError: a secret cannot be called so.
            SharingError: in a pod, whose files go with it.
        """
        if in_pod():
            message = (
                f"secret {name!r} cannot be saved in a pod: make a Kubernetes Secret (kubectl create secret generic …), "
                "and mount it with the deployment's podTemplate at /run/secrets/mintaka"
            )
            raise SharingError(message)
        if not write_secret(name, self._value, overwrite=overwrite):
            message = f"secret {name!r} exists already: pass overwrite=True to replace it"
            raise ValueError(message)
        return name

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> Any:
        """As the parameter of a flow it may be given as text, from a Secret of Kubernetes or a document."""
        from pydantic_core import core_schema  # noqa: PLC0415 - start-up time

        text = core_schema.no_info_after_validator_function(cls, core_schema.str_schema(strict=True))
        return core_schema.json_or_python_schema(
            json_schema=text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), text]),
            serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The schema marks it as secret, so that nobody shows it."""
        return {"type": "string", "format": "password", "writeOnly": True}

    def __repr__(self) -> str:
        return f"Secret({_MASKED!r})"

    def __str__(self) -> str:
        return _MASKED

    def __eq__(self, other: object) -> bool:
        from hmac import compare_digest  # noqa: PLC0415 - start-up time

        return isinstance(other, Secret) and compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))
