"""Records of results: what is written is what is read, or it is told why not."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry as registry

from mintaka.exceptions import CorruptResult, MissingResult, SerializationError, StorageError
from mintaka.persisting.result_storage import path_of
from mintaka.results import ResultStore
from mintaka.serializers import CompressedSerializer, JSONSerializer, Serializer
from object_store import ObjectStore

VALUE = {"a": [1, 2.5, None], "ü": "x" * 1000}


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> type[ObjectStore]:
    """An empty storage of objects behind `s3://`."""
    monkeypatch.setitem(registry, "s3", ObjectStore)
    monkeypatch.setattr(ObjectStore, "objects", {})
    return ObjectStore


@pytest.fixture(params=["folder", "memory", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path, objects: type[ObjectStore]) -> ResultStore:
    """A store in a folder, where a file is renamed into place, and those whose puts are whole, one of them without renaming."""
    assert objects
    places = {"folder": tmp_path / "results", "memory": f"memory://{tmp_path.name}", "objects": "s3://bucket/results"}
    return ResultStore(places[request.param])


@pytest.mark.parametrize("serializer", ["pickle", "json", "compressed/pickle", "compressed/json", CompressedSerializer("json", "lzma")])
def test_what_is_written_is_what_is_read_with_each_serializer(store: ResultStore, serializer: Any) -> None:
    """Also by somebody who is set to another serializer: the record knows its own."""
    writer = ResultStore(store.storage, serializer)
    written = writer.write(VALUE, "a/b")
    assert store.read("a/b").result == VALUE
    assert store.read("a/b").metadata == written.metadata


def test_a_record_tells_what_it_is(store: ResultStore) -> None:
    """Key, serializer, times, size, checksum, version."""
    expires = datetime.now(UTC) + timedelta(hours=1)
    store.write([1], "k", expires)
    record = store.read("k")
    assert record.metadata.storage_key == "k"
    assert record.metadata.serializer == "pickle"
    assert record.metadata.expiration == expires
    assert record.metadata.size > 0
    assert len(record.metadata.sha256) == 64
    assert record.metadata.version
    assert not record.expired
    assert record.metadata.created <= datetime.now(UTC)


def test_a_record_that_forgot_its_value_reads_it_again(store: ResultStore) -> None:
    """The reference alone is enough to have the value."""
    record = store.write(VALUE, "k")
    assert record.result is VALUE
    record.forget()
    assert record.result == VALUE
    assert record.result is not VALUE


def test_a_second_write_replaces_the_first(store: ResultStore) -> None:
    """One key, one record: the last."""
    store.write(1, "k")
    store.write(2, "k")
    assert store.read("k").result == 2


def test_what_is_not_there_is_missing_and_deleting_it_is_fine(store: ResultStore) -> None:
    """Missing is told apart from unreadable."""
    assert not store.exists("k")
    with pytest.raises(MissingResult, match="no result k"):
        store.read("k")
    store.write(1, "k")
    assert store.exists("k")
    store.delete("k")
    store.delete("k")
    assert not store.exists("k")


def records_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("length", [0, 1, 20, 82, 100, -1])
def test_a_truncated_record_is_corrupt_wherever_it_ends(tmp_path: Path, length: int) -> None:
    """A file that lost its end is never read as a result."""
    store = ResultStore(tmp_path)
    store.write(VALUE, "k")
    (path,) = records_below(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CorruptResult, match="result k is corrupt"):
        store.read("k")
    assert not store.exists("k")


def test_one_changed_byte_anywhere_is_found(tmp_path: Path) -> None:
    """The checksum speaks for the metadata too; nothing is unpickled before it fits."""
    store = ResultStore(tmp_path)
    store.write(VALUE, "k")
    (path,) = records_below(tmp_path)
    whole = path.read_bytes()
    for index in range(0, len(whole), 7):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        with pytest.raises(CorruptResult):
            store.read("k")


def test_a_value_that_cannot_be_serialized_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    """The message names the type, the serializer and the cause."""
    with pytest.raises(SerializationError, match=r"a lock cannot be serialized with pickle: TypeError"):
        ResultStore(tmp_path).write(threading.Lock(), "k")
    with pytest.raises(SerializationError, match=r"a dict cannot be serialized with json: TypeError: a lock has no form in JSON"):
        ResultStore(tmp_path, "json").write({1: threading.Lock()}, "k")
    assert records_below(tmp_path) == []


def test_bytes_that_are_right_but_cannot_be_read_back_are_told_apart(tmp_path: Path) -> None:
    """A pickle of a class that is gone is no corruption."""

    class Broken(JSONSerializer):
        def loads(self, blob: bytes) -> Any:
            raise ImportError(f"no module for {len(blob)} bytes")

    ResultStore(tmp_path, "json").write(1, "k")
    with pytest.raises(SerializationError, match=r"cannot be read back with json: ImportError: no module for 1 bytes"):
        ResultStore(tmp_path, Broken()).read("k")


def test_a_write_that_fails_halfway_leaves_the_old_record_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full in the middle of the file."""
    store = ResultStore(tmp_path)
    store.write("old", "k")

    def half(_: Any, path: str, value: bytes, **__: Any) -> None:
        Path(path).write_bytes(value[: len(value) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalFileSystem, "pipe_file", half)
    with pytest.raises(StorageError, match=r"result k cannot be written .* No space left on device"):
        store.write("new", "k")
    assert store.read("k").result == "old"
    assert len(records_below(tmp_path)) == 1


def test_a_put_that_breaks_off_leaves_the_old_object(objects: type[ObjectStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is renamed, and nothing else is left."""
    store = ResultStore("s3://bucket/results")
    store.write("old", "k")
    monkeypatch.setattr(objects, "fault", lambda what, _key: 10 if what == "put" else None)
    with pytest.raises(StorageError, match=r"cannot be written in s3://bucket/results: ConnectionResetError: connection reset after 10"):
        store.write("new", "k")
    assert store.read("k").result == "old"
    assert list(objects.objects) == ["bucket/results/k"]


def test_the_names_in_a_folder_are_those_of_now(store: ResultStore) -> None:
    """Whatever the file system remembers of its listings."""
    assert store.storage.names("runs") == []
    for key in ("runs/b", "runs/a", "runs/c/deep", "other"):
        store.write(1, key)
    assert store.storage.names("runs") == ["a", "b", "c"]
    store.delete("runs/a")
    assert store.storage.names("runs") == ["b", "c"]


def test_a_process_killed_between_writing_and_renaming_leaves_nothing_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file under its temporary name is no result."""

    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    store = ResultStore(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(LocalFileSystem, "mv", killed)
        patched.setattr(LocalFileSystem, "rm_file", killed)
        with pytest.raises(Killed):
            store.write(1, "k")
    assert [path.suffix for path in records_below(tmp_path)] == [".part"]
    assert not store.exists("k")
    store.write(2, "k")
    assert store.read("k").result == 2


def test_a_storage_that_cannot_be_read_is_not_taken_for_an_empty_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No permission, no network: an error, not a miss."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("access denied")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", refuse)
    store = ResultStore(f"memory://{tmp_path.name}")
    with pytest.raises(StorageError, match=r"result k cannot be read in memory://.*PermissionError: access denied"):
        store.read("k")
    with pytest.raises(StorageError):
        store.exists("k")


def test_an_unknown_protocol_says_what_is_missing() -> None:
    """A URL whose file system is not installed."""
    with pytest.raises(StorageError, match="nosuch://bucket"):
        ResultStore("nosuch://bucket").write(1, "k")


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a//b", "a/../../b", "a/.", "a/"])
def test_no_key_leads_out_of_the_storage(key: str) -> None:
    """Keys come from templates over parameters."""
    with pytest.raises(StorageError, match="is no key of a result"):
        path_of(key)


def test_two_keys_never_share_a_path() -> None:
    """However odd they are; a hidden name stays visible."""
    keys = ["a", "a b", "a%20b", "A:b", "a\\b", ".a", "%2Ea", "ü", "x" * 300, "x" * 299 + "y", "a/b", "a%2Fb"]
    paths = [path_of(key) for key in keys]
    assert len(set(paths)) == len(keys)
    assert all(len(path) <= 255 for path in paths)
    assert not any(path.startswith(".") for path in paths)


def test_a_serializer_of_ones_own_is_found_by_its_name(tmp_path: Path) -> None:
    """Defining the class is enough; its results are read by whoever knows it."""

    class Shout(Serializer):
        type = "shout"

        def dumps(self, obj: Any) -> bytes:
            return str(obj).upper().encode()

        def loads(self, blob: bytes) -> Any:
            return blob.decode().lower()

    ResultStore(tmp_path, "shout").write("hello", "k")
    assert b"HELLO" in records_below(tmp_path)[0].read_bytes()
    assert ResultStore(tmp_path).read("k").result == "hello"
    assert ResultStore(tmp_path, "compressed/shout").seal("k", 1).metadata.serializer == "compressed/shout"


def test_a_serializer_nobody_knows_names_those_that_are() -> None:
    """The message is the list to choose from."""
    with pytest.raises(SerializationError, match=r"no serializer 'yaml'.*json.*pickle"):
        ResultStore("memory://x", "yaml")
