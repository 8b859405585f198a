"""A storage of objects as S3's are, for fsspec's `s3://`: whole puts, no renaming, no folders, listings that are remembered.

What fails can be said: `ObjectStore.fault` is called with what is about to be done ("get", "put", "list", "delete") and the key,
and raises, or returns how many bytes of a put arrive before the connection breaks (None: all).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from fsspec.spec import AbstractFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable


class ObjectStore(AbstractFileSystem):  # type: ignore[misc]
    """See the module's words; its objects are those of the process."""

    protocol = ("s3", "s3a")
    cachable = False
    objects: ClassVar[dict[str, bytes]] = {}
    fault: ClassVar[Callable[[str, str], int | None]] = staticmethod(lambda _what, _key: None)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Get an object."""
        key = self._key("get", path)
        if key not in self.objects:
            raise FileNotFoundError(path)
        return self.objects[key][start:end]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:  # noqa: ARG002 - fsspec's signature
        """Put an object: a connection that breaks in the middle leaves what was there."""
        key = self._strip_protocol(path)
        arrived = type(self).fault("put", key)
        if arrived is not None:
            message = f"connection reset after {arrived} of {len(value)} bytes"
            raise ConnectionResetError(message)
        self.objects[key] = bytes(value)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """What lies below a prefix; remembered until somebody says that it is no longer true."""
        prefix = self._key("list", path).rstrip("/") + "/"
        if prefix not in self.dircache:
            names = {prefix + key.removeprefix(prefix).partition("/")[0] for key in self.objects if key.startswith(prefix)}
            self.dircache[prefix] = sorted(names)
        if not self.dircache[prefix]:
            raise FileNotFoundError(path)
        return [{"name": name} for name in self.dircache[prefix]] if detail else list(self.dircache[prefix])

    def invalidate_cache(self, path: str | None = None) -> None:  # noqa: ARG002 - fsspec's signature
        """Forget what was listed."""
        self.dircache.clear()

    def rm_file(self, path: str) -> None:
        """Delete an object; one that is not there is deleted already."""
        self.objects.pop(self._key("delete", path), None)

    def mv(self, *_: Any, **__: Any) -> None:
        """There is no such thing."""
        message = "objects cannot be renamed"
        raise NotImplementedError(message)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """There are no folders."""

    def _key(self, what: str, path: str) -> str:
        key: str = self._strip_protocol(path)
        type(self).fault(what, key)
        return key
