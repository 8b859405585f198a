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
    """JSON. Tuples come back as lists; what JSON cannot say needs `object_encoder` and `object_decoder`.

    `object_encoder` is called with such an object and returns one that JSON can say (`default` of `json.dumps`),
    `object_decoder` with each JSON object (`object_hook` of `json.loads`).
    """

    type = "json"

    def __init__(
        self, object_encoder: Callable[[Any], Any] | None = None, object_decoder: Callable[[dict[str, Any]], Any] | None = None
    ) -> None:
        self.object_encoder = object_encoder
        self.object_decoder = object_decoder

    def dumps(self, obj: Any) -> bytes:
        """The value as JSON."""
        return json.dumps(obj, default=self.object_encoder).encode()

    def loads(self, blob: bytes) -> Any:
        """The value of a JSON text."""
        return json.loads(blob, object_hook=self.object_decoder)


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
