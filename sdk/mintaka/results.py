"""Results that outlive their run: written once, checked whenever they are read.

A record is one object: a line with the checksum of all that follows, a line of metadata, the value's bytes. So it cannot
come apart, and a reader needs nothing but the object and its key:

    mintaka-result 1 <sha-256>
    {"key": …, "serializer": "pickle", "created": …, "expiration": null, "size": 42, "version": "0.1.0"}
    <42 bytes>
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka.exceptions import CorruptResult, MissingResult, SerializationError, message_of
from mintaka.persisting.result_storage import ResultStorage, storage_of
from mintaka.serializers import serializer_of

if TYPE_CHECKING:
    from os import PathLike

    from mintaka.locking import LockManager
    from mintaka.serializers import Serializer

_MAGIC = b"mintaka-result 1 "
_DIGEST = 64
#: In place of a value that is not in memory.
_ELSEWHERE = object()


@dataclass(frozen=True, slots=True)
class ResultRecordMetadata:
    """What is known of a result without its value; `sha256` is that of the metadata and the value together."""

    storage_key: str
    serializer: str
    created: datetime
    expiration: datetime | None
    size: int
    sha256: str
    version: str

    def to_line(self) -> bytes:
        """The metadata as they stand in a record, the checksum apart."""
        return json.dumps(
            {
                "key": self.storage_key,
                "serializer": self.serializer,
                "created": self.created.isoformat(),
                "expiration": self.expiration.isoformat() if self.expiration else None,
                "size": self.size,
                "version": self.version,
            }
        ).encode()


class ResultRecord:
    """The reference to a persisted result that a state holds as its data; `result` is the value, read when first asked for."""

    __slots__ = ("_value", "metadata", "storage")

    def __init__(self, metadata: ResultRecordMetadata, storage: ResultStorage, value: Any = _ELSEWHERE) -> None:
        self.metadata = metadata
        self.storage = storage
        self._value = value

    @property
    def result(self) -> Any:
        """The value, out of memory where it is held, else out of the storage.

        Raises:
            MissingResult, StorageError, CorruptResult, SerializationError: why it cannot be had.
        """
        if self._value is _ELSEWHERE:
            return ResultStore(self.storage).read(self.metadata.storage_key).result
        return self._value

    @property
    def expired(self) -> bool:
        """True where it is past its expiration."""
        return self.metadata.expiration is not None and self.metadata.expiration <= datetime.now(UTC)

    def forget(self) -> None:
        """Hold the value no longer; it is read from the storage when it is asked for."""
        self._value = _ELSEWHERE

    def __repr__(self) -> str:
        return f"<ResultRecord {self.metadata.storage_key} in {self.storage.url}>"


class Sealed(NamedTuple):
    """A result made ready to be written: nothing can go wrong with it any more but the writing."""

    metadata: ResultRecordMetadata
    blob: bytes

    @property
    def payload(self) -> bytes:
        """The value's own bytes."""
        return self.blob[-self.metadata.size :] if self.metadata.size else b""


class ResultStore:
    """Reads and writes results in one storage, new ones with one serializer.

    Where none is named they are those of the code around; `lock_manager` is for transactions.
    """

    def __init__(
        self,
        result_storage: ResultStorage | str | PathLike[str] | None = None,
        serializer: Serializer | str | None = None,
        lock_manager: LockManager | None = None,
    ) -> None:
        if result_storage is None:
            around: ResultStore = get_result_store()
            result_storage, serializer = around.storage, serializer or around.serializer
        self.storage: ResultStorage = storage_of(result_storage)
        self.serializer: Serializer = serializer_of(serializer or "pickle")
        self.lock_manager = lock_manager

    def seal(self, key: str, obj: Any, expiration: datetime | None = None) -> Sealed:
        """The record of `obj`, not yet written.

        Raises:
            SerializationError: the value cannot be made bytes.
        """
        from hashlib import sha256  # noqa: PLC0415 - start-up time

        from mintaka import __version__  # noqa: PLC0415 - would be a cycle

        try:
            payload = self.serializer.dumps(obj)
        except (Exception, SystemExit) as error:
            message = (
                f"a {type(obj).__name__} cannot be serialized with {self.serializer.name}: {type(error).__name__}: {message_of(error)}"
            )
            raise SerializationError(message) from error
        bare = ResultRecordMetadata(key, self.serializer.name, datetime.now(UTC), expiration, len(payload), "", __version__)
        body = b"%s\n%s" % (bare.to_line(), payload)
        digest = sha256(body).hexdigest()
        metadata = ResultRecordMetadata(key, bare.serializer, bare.created, expiration, bare.size, digest, bare.version)
        return Sealed(metadata, b"%s%s\n%s" % (_MAGIC, digest.encode(), body))

    def put(self, sealed: Sealed) -> None:
        """Write a sealed record.

        Raises:
            StorageError: it is not there; what was under its key still is.
        """
        self.storage.write(sealed.metadata.storage_key, sealed.blob)

    def write(self, obj: Any, key: str, expiration: datetime | None = None) -> ResultRecord:
        """Persist `obj` under `key`.

        Raises:
            SerializationError, StorageError: why it is not.
        """
        sealed = self.seal(key, obj, expiration)
        self.put(sealed)
        return ResultRecord(sealed.metadata, self.storage, obj)

    def read(self, key: str) -> ResultRecord:
        """The record under `key`, checked, with its value.

        Raises:
            MissingResult: there is none.
            StorageError: it cannot be read.
            CorruptResult: it is cut short or changed.
            SerializationError: its bytes are right, but mean nothing here.
        """
        metadata, payload = unsealed(key, self.storage.read(key))
        serializer = self.serializer if self.serializer.name == metadata.serializer else serializer_of(metadata.serializer)
        try:
            value = serializer.loads(payload)
        except (Exception, SystemExit) as error:
            message = f"result {key} cannot be read back with {metadata.serializer}: {type(error).__name__}: {message_of(error)}"
            raise SerializationError(message) from error
        return ResultRecord(metadata, self.storage, value)

    def exists(self, key: str) -> bool:
        """True where a whole record lies under `key`, expired or not.

        Raises:
            StorageError: that cannot be told.
        """
        try:
            unsealed(key, self.storage.read(key))
        except (MissingResult, CorruptResult):
            return False
        return True

    def delete(self, key: str) -> None:
        """Take the record away.

        Raises:
            StorageError: it is still there.
        """
        self.storage.delete(key)

    def __repr__(self) -> str:
        return f"ResultStore({self.storage.url!r}, {self.serializer.name!r})"


def get_result_store() -> ResultStore:
    """Where the results of the code around go: of the flow run, or of a script as its environment says."""
    from mintaka.context import CURRENT  # noqa: PLC0415 - would be a cycle
    from mintaka.persisting.result_settings import surroundings_of  # noqa: PLC0415 - would be a cycle

    around = CURRENT.get()
    return (around.flow.results if around is not None and around.flow is not None else surroundings_of(None)).store()


def unsealed(key: str, blob: bytes) -> tuple[ResultRecordMetadata, bytes]:
    """Metadata and payload of a record.

    Raises:
        CorruptResult: it is not what was written.
    """
    from hashlib import sha256  # noqa: PLC0415 - start-up time

    start = len(_MAGIC) + _DIGEST + 1
    digest = blob[len(_MAGIC) : start - 1].decode("ascii", "replace")
    if not blob.startswith(_MAGIC) or len(blob) <= start:
        message = f"result {key} is corrupt: it does not begin as a record does ({len(blob)} bytes)"
        raise CorruptResult(message)
    body = memoryview(blob)[start:]
    if sha256(body).hexdigest() != digest:
        message = f"result {key} is corrupt: its {len(blob)} bytes do not have the checksum they were written with"
        raise CorruptResult(message)
    line, _, payload = bytes(body).partition(b"\n")
    told = json.loads(line)
    expiration = datetime.fromisoformat(told["expiration"]) if told["expiration"] else None
    created = datetime.fromisoformat(told["created"])
    metadata = ResultRecordMetadata(key, told["serializer"], created, expiration, told["size"], digest, told["version"])
    return metadata, payload


__all__ = ["ResultRecord", "ResultRecordMetadata", "ResultStorage", "ResultStore", "Sealed", "get_result_store"]
