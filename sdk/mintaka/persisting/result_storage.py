"""Where results lie: any place that fsspec can reach (a folder, `s3://`, `gs://`, `abfs://`, `memory://`, …).

Whoever reads a path finds all of a result or nothing. Object stores show an object only when all of it is there; anywhere
else it is written under another name first and renamed. What a process killed in between leaves is a file whose name
begins with a dot and ends with `.part`, which nobody looks at.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mintaka.exceptions import MissingResult, StorageError

if TYPE_CHECKING:
    from os import PathLike

#: Protocols under which one put is all or nothing.
_WHOLE_PUTS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"})

_SEGMENT_LIMIT = 200


class ResultStorage:
    """A folder at `url`; `options` are fsspec's for that protocol (`key=…`, `endpoint_url=…`)."""

    def __init__(self, url: str | PathLike[str], **options: Any) -> None:
        self.url = str(url).rstrip("/") or "/"
        self.options = options
        self._opened: tuple[Any, str] | None = None

    def _place(self) -> tuple[Any, str]:
        """The file system and the root folder's path in it."""
        if self._opened is None:
            from fsspec.core import url_to_fs  # noqa: PLC0415 - start-up time

            self._opened = url_to_fs(self.url, **self.options)
        return self._opened

    def read(self, key: str) -> bytes:
        """All bytes under `key`.

        Raises:
            MissingResult: there is nothing.
            StorageError: it cannot be told or read.
        """
        path = path_of(key)
        try:
            files, root = self._place()
            blob: bytes = files.cat_file(f"{root}/{path}")
        except (FileNotFoundError, NotADirectoryError) as error:
            message = f"there is no result {key} in {self.url}"
            raise MissingResult(message) from error
        except Exception as error:
            raise StorageError(self._told("read", key, error)) from error
        return blob

    def write(self, key: str, blob: bytes) -> None:
        """Put `blob` under `key`, in place of what is there, all of it or nothing.

        Raises:
            StorageError: it could not be written; what was there is still there.
        """
        path = path_of(key)
        try:
            files, root = self._place()
            self._put(files, f"{root}/{path}", blob)
        except Exception as error:
            raise StorageError(self._told("written", key, error)) from error

    def _put(self, files: Any, path: str, blob: bytes) -> None:
        protocols = {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)
        if protocols & _WHOLE_PUTS:
            files.pipe_file(path, blob)
            return
        from uuid import uuid4  # noqa: PLC0415 - start-up time

        folder, _, name = path.rpartition("/")
        part = f"{folder}/.{name[:100]}.{uuid4().hex[:12]}.part"
        try:
            try:
                files.pipe_file(part, blob)
            except FileNotFoundError:
                files.makedirs(folder, exist_ok=True)
                files.pipe_file(part, blob)
            files.mv(part, path)
        except BaseException:
            self._tidied(files, part)
            raise

    @staticmethod
    def _tidied(files: Any, part: str) -> None:
        """Take away what was written of a file that will not be; where even that fails, it is only litter."""
        try:
            files.rm_file(part)
        except Exception:  # noqa: BLE001 - the first error is the one to tell
            return

    def names(self, folder: str) -> list[str]:
        """The names in a folder of keys, sorted; none where there is no such folder. They stand for keys of plain names only.

        Raises:
            StorageError: it cannot be told.
        """
        try:
            files, root = self._place()
            files.invalidate_cache()
            found = files.ls(f"{root}/{path_of(folder)}", detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Exception as error:
            raise StorageError(self._told("listed", folder, error)) from error
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def delete(self, key: str) -> None:
        """Take away what is under `key`; nothing there is fine.

        Raises:
            StorageError: it is still there.
        """
        try:
            files, root = self._place()
            files.rm_file(f"{root}/{path_of(key)}")
        except FileNotFoundError:
            return
        except Exception as error:
            raise StorageError(self._told("deleted", key, error)) from error

    def _told(self, what: str, key: str, error: Exception) -> str:
        return f"result {key} cannot be {what} in {self.url}: {type(error).__name__}: {error}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResultStorage) and (self.url, self.options) == (other.url, other.options)

    def __hash__(self) -> int:
        return hash(self.url)

    def __repr__(self) -> str:
        return f"ResultStorage({self.url!r})"


def path_of(key: str) -> str:
    """The path below the root that `key` stands for; readable where it can be, never outside of the root.

    Raises:
        StorageError: the key is empty, absolute, or goes up.
    """
    segments = key.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        message = f"{key!r} is no key of a result: it is made of names with single slashes between, without . and .."
        raise StorageError(message)
    return "/".join(_segment(segment) for segment in segments)


def _segment(text: str) -> str:
    name = quote(text, safe=" ,=@+()[]")
    if len(name) > _SEGMENT_LIMIT:
        from hashlib import sha256  # noqa: PLC0415 - start-up time

        name = f"{name[: _SEGMENT_LIMIT - 65]}-{sha256(text.encode()).hexdigest()}"
    return "%2E" + name[1:] if name.startswith(".") else name


def storage_of(given: ResultStorage | str | PathLike[str]) -> ResultStorage:
    """The storage itself, or that of a URL or folder.

    Raises:
        StorageError: it is neither.
    """
    if isinstance(given, ResultStorage):
        return given
    if isinstance(given, str) or hasattr(given, "__fspath__"):
        return _at(str(given))
    message = f"result_storage is a URL, a folder or a mintaka.results.ResultStorage, not {type(given).__name__}"
    raise StorageError(message)


@lru_cache(maxsize=64)
def _at(url: str) -> ResultStorage:
    """The storage of a URL: opening one costs as much as writing a small result."""
    return ResultStorage(url)
