"""How a result becomes bytes and comes back.

`pickle` takes nearly everything (cloudpickle), `json` what other programs should read, `compressed/pickle` and
`compressed/json` the same in less space. A serializer of one's own is a subclass of `Serializer` with a `type` of its
own, known by that name from then on. The name is kept with each result, so a result can be read whatever the setting is now.
"""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from mintaka.exceptions import SerializationError

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable

_COMPRESSIONS = ("zlib", "gzip", "bz2", "lzma")


class Serializer(ABC):
    """Turns a value into bytes and back; `type` is the name it is found by."""

    type: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__dict__.get("type"):
            _KNOWN[cls.type] = cls

    @property
    def name(self) -> str:
        """What a result remembers of its serializer."""
        return self.type

    @abstractmethod
    def dumps(self, obj: Any) -> bytes:
        """The value as bytes; raises whatever keeps it from being that."""

    @abstractmethod
    def loads(self, blob: bytes) -> Any:
        """The value that `dumps` was given."""


_KNOWN: dict[str, builtins.type[Serializer]] = {}


class PickleSerializer(Serializer):
    """Pickles, by cloudpickle: functions and classes of a script included. Read pickles only from storage you trust."""

    type = "pickle"

    def dumps(self, obj: Any) -> bytes:
        """The value pickled."""
        import cloudpickle  # noqa: PLC0415 - start-up time

        blob: bytes = cloudpickle.dumps(obj)
        return blob

    def loads(self, blob: bytes) -> Any:
        """The value of a pickle."""
        import pickle  # noqa: PLC0415 - start-up time

        return pickle.loads(blob)  # noqa: S301 - checked against its checksum; storage is trusted like code


class JSONSerializer(Serializer):
    """JSON, for other programs to read. Dates, UUIDs, bytes, sets, pydantic models, dataclasses, enums, exceptions and the like come
    back as they were (`mintaka.persisting.json_values`), tuples as lists, keys of dicts as text.

    Args:
        jsonlib: the name of a module with `dumps` and `loads`. `orjson` writes alone, because it reads large numbers as others; where it
            is not installed the standard library's `json` does the same.
        object_encoder: called with what JSON cannot say, returns what it can (`default` of `json.dumps`); or its import path. None: nothing
            but plain JSON.
        object_decoder: called with each JSON object (`object_hook` of `json.loads`); or its import path. None: they are dicts.
        dumps_kwargs: arguments of the module's `dumps`.
        loads_kwargs: arguments of the module's `loads`.

    Raises:
        ValueError: there is no such module or function, or the arguments name `default` or `object_hook`.
    """

    type = "json"

    def __init__(
        self,
        *,
        jsonlib: str = "json",
        object_encoder: Callable[[Any], Any] | str | None = "mintaka.persisting.json_values.encode_object",
        object_decoder: Callable[[dict[str, Any]], Any] | str | None = "mintaka.persisting.json_values.decode_object",
        dumps_kwargs: dict[str, Any] | None = None,
        loads_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.jsonlib = jsonlib
        self.object_encoder = _imported(object_encoder)
        self.object_decoder = _imported(object_decoder)
        self.dumps_kwargs = dict(dumps_kwargs or {})
        self.loads_kwargs = dict(loads_kwargs or {})
        self._check()

    def _check(self) -> None:
        for given, taken, word in ((self.dumps_kwargs, "default", "object_encoder"), (self.loads_kwargs, "object_hook", "object_decoder")):
            if taken in given:
                message = f"{taken!r} is what {word} says: JSONSerializer({word}=…)"
                raise ValueError(message)
        library = self._library()
        if not (callable(getattr(library, "dumps", None)) and callable(getattr(library, "loads", None))):
            message = f"jsonlib is the name of a module with dumps and loads, such as json or orjson, not {self.jsonlib!r}"
            raise ValueError(message)  # noqa: TRY004 - Prefect's, of a setting

    def _library(self) -> Any:
        try:
            return importlib.import_module(self.jsonlib)
        except ImportError as error:
            if self.jsonlib == "orjson":
                return json
            message = f"jsonlib {self.jsonlib!r} cannot be imported: {error}"
            raise ValueError(message) from error

    def dumps(self, obj: Any) -> bytes:
        """The value as JSON."""
        from mintaka.persisting.json_values import Encoder  # noqa: PLC0415 - start-up time

        library, encoder = self._library(), Encoder(self.object_encoder)
        if library is json:
            text = encoder.text(obj, self.dumps_kwargs)
        else:
            text = library.dumps(encoder.plain(obj, strictly=True), **self.dumps_kwargs)
        blob = text.encode() if isinstance(text, str) else bytes(text)
        if encoder.is_to_be_checked:
            encoder.check(obj, self.loads(blob))
        return blob

    def loads(self, blob: bytes) -> Any:
        """The value of a JSON text."""
        if self.jsonlib in ("json", "orjson"):
            return json.loads(blob, object_hook=self.object_decoder, **self.loads_kwargs)
        from mintaka.persisting.json_values import decoded  # noqa: PLC0415 - start-up time

        return decoded(self._library().loads(blob, **self.loads_kwargs), self.object_decoder)


def _imported(given: Any) -> Any:
    """The function itself, or the one at an import path such as `my_module.encode`."""
    if not isinstance(given, str):
        return given
    module, _, name = given.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        message = f"there is no function {given!r} to encode or decode objects with: {error}"
        raise ValueError(message) from error


class CompressedSerializer(Serializer):
    """What `serializer` makes, compressed by the standard library's `compressionlib` (zlib, gzip, bz2 or lzma)."""

    type = "compressed"

    def __init__(self, serializer: Serializer | str = "pickle", compressionlib: str = "zlib") -> None:
        if compressionlib not in _COMPRESSIONS:
            message = f"compressionlib is one of {', '.join(_COMPRESSIONS)}, not {compressionlib!r}"
            raise ValueError(message)
        self.serializer = serializer_of(serializer)
        self.compressionlib = compressionlib

    @property
    def name(self) -> str:
        """`compressed/pickle`; with another library than zlib `compressed:lzma/pickle`."""
        library = "" if self.compressionlib == "zlib" else f":{self.compressionlib}"
        return f"compressed{library}/{self.serializer.name}"

    def dumps(self, obj: Any) -> bytes:
        """The value serialized, then compressed."""
        blob: bytes = importlib.import_module(self.compressionlib).compress(self.serializer.dumps(obj))
        return blob

    def loads(self, blob: bytes) -> Any:
        """The value of a compressed blob."""
        return self.serializer.loads(importlib.import_module(self.compressionlib).decompress(blob))


class CompressedPickleSerializer(CompressedSerializer):
    """`compressed/pickle`."""

    type = "compressed/pickle"

    def __init__(self, compressionlib: str = "zlib") -> None:
        super().__init__(PickleSerializer(), compressionlib)


class CompressedJSONSerializer(CompressedSerializer):
    """`compressed/json`."""

    type = "compressed/json"

    def __init__(self, compressionlib: str = "zlib") -> None:
        super().__init__(JSONSerializer(), compressionlib)


def serializer_of(given: Serializer | str) -> Serializer:
    """The serializer itself, or the one of that name.

    Raises:
        SerializationError: no serializer has that name here.
    """
    if isinstance(given, Serializer):
        return given
    if isinstance(given, str):
        if given in _KNOWN:
            return _KNOWN[given]()
        kind, _, inner = given.partition("/")
        kind, _, library = kind.partition(":")
        if kind == "compressed" and inner:
            return CompressedSerializer(inner, library or "zlib")
    message = (
        f"there is no serializer {given!r}: give one of {', '.join(sorted(_KNOWN))}, "
        f"compressed/… of these, or a subclass of mintaka.serializers.Serializer"
    )
    raise SerializationError(message)
