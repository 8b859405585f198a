"""Results as JSON come back as they were, or are refused."""

from __future__ import annotations

import asyncio
import enum
import ipaddress
import json
import re
import subprocess
import sys
import uuid
from collections import Counter, deque
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, RootModel, SecretStr, field_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from mintaka import flow, task
from mintaka.exceptions import SerializationError
from mintaka.results import ResultStore
from mintaka.serializers import CompressedSerializer, JSONSerializer


class Inner(BaseModel):
    day: date = date(2024, 5, 6)
    names: set[str] = {"a"}


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")
    number: int = 1
    inner: Inner | None = None
    anything: Any = None
    by_day: dict[date, int] = {}
    pair: tuple[int, str] = (1, "a")


class Aliased(BaseModel):
    number: int = Field(alias="theNumber")
    hidden: int = Field(2, exclude=True)


class Box[T](BaseModel):
    value: T


class Root(RootModel[list[date]]): ...


class Private(BaseModel):
    shown: int = 1
    _kept: int = PrivateAttr(default=0)


class Doubling(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def double(cls, number: int) -> int:
        return 2 * number


class Holding(BaseModel):
    secret: SecretStr


@dataclass
class Point:
    x: int
    day: date = date(2024, 5, 6)
    pair: tuple[int, int] = (1, 2)
    inner: Inner | None = None
    total: int = field(init=False, default=0)


@dataclass(frozen=True, slots=True)
class Fixed:
    x: int


@pydantic_dataclass
class Checked:
    x: int
    when: timedelta = timedelta(seconds=1)


@dataclass
class Opened:
    x: int
    start: InitVar[int] = 0

    def __post_init__(self, start: int) -> None:
        self.x += start


@dataclass
class Counting:
    x: int

    def __post_init__(self) -> None:
        self.x += 1


@dataclass
class Odd:
    where: "Nowhere"  # type: ignore[name-defined]  # noqa: F821 - only type checkers know it
    x: Any = None


class Plain:
    pass


class Colour(enum.Enum):
    RED = (255, 0)


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    A = "a"


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Pair(NamedTuple):
    left: int
    right: date


class TwoArguments(Exception):
    def __init__(self, code: int, table: str) -> None:
        super().__init__(f"{code} in {table}")
        self.code = code


class Outer:
    class Nested(BaseModel):  # noqa: D106
        x: int = 1


def counted() -> Point:
    point = Point(1)
    point.total = 5
    return point


SAME = {
    "nothing": None,
    "plain values": {"a": [1, -2.5, "ü ☃", True, None]},
    "not a number": {"a": [nan, inf, -inf]},
    "a large number": 10**30,
    "half a character": "\ud800",
    "a date": date(2024, 5, 6),
    "a time": datetime(2024, 5, 6, 1, 2, 3, 4),  # noqa: DTZ001 - one without a zone
    "a time in UTC": datetime(2024, 5, 6, tzinfo=UTC),
    "a time with an offset": datetime(2024, 5, 6, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    "a time in a zone": datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    "a time of day": time(1, 2, 3, 4),
    "a span": timedelta(days=1, microseconds=5),
    "a negative span": timedelta(seconds=-90),
    "a UUID": uuid.UUID(int=5),
    "bytes": b"abc",
    "bytes that are no text": b"\xff\x00",
    "a bytearray": bytearray(b"\xff"),
    "a set": {1, 2},
    "a set of dates and tuples": {date(2024, 5, 6), (1, (2, 3))},
    "a frozenset in a set": {frozenset({1})},
    "a deque": deque([date(2024, 5, 6)]),
    "a decimal": Decimal("1.10"),
    "a decimal that is no number": [Decimal("Infinity")],
    "a fraction": Fraction(1, 3),
    "a complex number": 1 + 2j,
    "a pattern": re.compile("a+", re.IGNORECASE),
    "a path": Path("a/b"),
    "pure paths": [PurePosixPath("a/b"), PureWindowsPath("a\\b")],
    "addresses": [ipaddress.ip_address("1.2.3.4"), ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_interface("::1/64")],
    "an enum": Colour.RED,
    "flags": Mode.READ | Mode.WRITE,
    "a model": Model(number=2),
    "a model with all kinds": Model(
        inner=Inner(day=date(2025, 1, 1)), anything=uuid.UUID(int=1), by_day={date(2024, 5, 6): 1}, pair=(2, "b"), more=Decimal(1)
    ),
    "a model that is not a number": Model(anything=[nan]),
    "a model with aliases": Aliased(theNumber=5, hidden=7),
    "a generic model": Box[date](value=date(2024, 5, 6)),
    "a generic model of a model": Box[Inner](value=Inner()),
    "a generic model of a list": Box[list[int]](value=[1]),
    "a root model": Root([date(2024, 5, 6)]),
    "a nested class": Outer.Nested(x=2),
    "a dataclass": Point(1, inner=Inner()),
    "a dataclass made of what it does not keep": Opened(1, 5),
    "keys of all kinds": {date(2024, 5, 6): {uuid.UUID(int=1): 1}, (1, (2, "a")): 2, Colour.RED: 3, Fixed(1): 4, 5: 6, None: 7},
    "a dataclass with what is no argument": counted(),
    "a frozen dataclass": {Fixed(1)},
    "a dataclass of pydantic's": Checked(1, timedelta(seconds=5)),
    "a dataclass whose annotations only type checkers know": Odd("here", 1),
    "dicts with the words that are used here": {"__class__": "os:system", "data": "true", "more": [{"__class__": date(2024, 5, 6)}]},
    "nested": {"a": [{"b": [date(2024, 5, 6)]}, {"c": [Colour.RED, {"d": Point(1)}]}]},
}
LIBRARIES = {"json": JSONSerializer(), "orjson": JSONSerializer(jsonlib="orjson"), "compressed": CompressedSerializer("json")}
each_library = pytest.mark.parametrize("serializer", LIBRARIES.values(), ids=LIBRARIES)


@pytest.mark.parametrize("value", SAME.values(), ids=SAME)
@each_library
def test_a_value_comes_back_as_it_was(serializer: Any, value: Any) -> None:
    back = serializer.loads(serializer.dumps(value))
    assert repr(back) == repr(value) or back == value
    assert type(back) is type(value) or "list[int]" in type(value).__name__


@pytest.mark.parametrize(
    ("value", "back"),
    [
        ((1, (2,)), [1, [2]]),
        ({1: "a", None: "b", False: "c"}, {"1": "a", "null": "b", "false": "c"}),
        ({2: "a", 2.5: "b"}, {"2": "a", "2.5": "b"}),
        ([Level.LOW, Word.A], [1, "a"]),
        (Pair(1, date(2024, 5, 6)), [1, date(2024, 5, 6)]),
        (Counter("aab"), {"a": 2, "b": 1}),
    ],
    ids=["tuples are lists", "keys are texts", "numbers as keys", "enums of numbers and texts", "named tuples are lists", "kinds of dicts"],
)
@each_library
def test_what_json_has_a_form_of_its_own_for_comes_back_in_that(serializer: Any, value: Any, back: Any) -> None:
    found = serializer.loads(serializer.dumps(value))
    assert found == back
    assert json.dumps(found, default=repr) == json.dumps(back, default=repr)


ERRORS = {
    "without arguments": ValueError(),
    "with arguments": ValueError("a", date(2024, 5, 6)),
    "a key": KeyError("k"),
    "of the operating system": FileNotFoundError(2, "no such file", "a.csv"),
    "of the user's, with other arguments": TwoArguments(5, "sales"),
    "a group": ExceptionGroup("both", [ValueError("a"), TwoArguments(1, "b")]),
    "of an encoding": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    "no Exception": SystemExit(3),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
@each_library
def test_an_exception_comes_back_with_its_arguments_and_attributes(serializer: Any, error: BaseException) -> None:
    back = serializer.loads(serializer.dumps(error))
    assert (type(back), str(back), repr(back), vars(back)) == (type(error), str(error), repr(error), vars(error)) or isinstance(
        error, ExceptionGroup
    )
    if isinstance(error, ExceptionGroup):
        assert repr(back.exceptions) == repr(error.exceptions)
        assert str(back) == str(error)


def private() -> Private:
    value = Private()
    value._kept = 5
    return value


def local() -> Any:
    class Local(BaseModel): ...

    return Local()


REFUSED = {
    "a class of its own": (
        Plain(),
        "a Plain has no form in JSON: return plain values, dates, dataclasses or pydantic models, or use pickle",
    ),
    "a function": (len, "a builtin_function_or_method has no form in JSON"),
    "a secret": (SecretStr("hidden"), "a SecretStr has no form in JSON"),
    "a secret in a model": (Holding(secret=SecretStr("hidden")), "a SecretStr has no form in JSON"),
    "a private attribute": (private(), "an? int comes back from JSON as another int"),
    "a validator that changes the value": (Doubling(number=1), "an? int comes back from JSON as another int"),
    "a dataclass that counts on": (Counting(1), "an? int comes back from JSON as another int"),
    "a class in a function": (
        local(),
        r"the class local\.<locals>\.Local cannot be found by its name .* again: define it at the top of a module",
    ),
    "a class of its own as key": ({Plain(): 1}, "a Plain has no form in JSON"),
}


@pytest.mark.parametrize(("value", "said"), REFUSED.values(), ids=REFUSED)
@each_library
def test_what_would_not_come_back_is_refused(serializer: Any, value: Any, said: str) -> None:
    with pytest.raises(Exception, match=said) as raised:
        serializer.dumps(value)
    assert "hidden" not in str(raised.value)


NOT_MADE = {
    "a function": ("os:system", "true", "which is no pydantic model, dataclass, enum or exception"),
    "a class that runs programs": ("subprocess:Popen", ["true"], "which is no pydantic model"),
    "a module's attribute of an attribute": ("json:JSONDecoder.decode", [], "which is no pydantic model"),
    "a class that is not here": ("datetime:Week", 1, "which is not here"),
    "a module that is not here": ("no_such_module:Model", {}, "which is not here: No module named 'no_such_module'"),
    "no module": (":Model", {}, "which is not here"),
    "no class": ("datetime", {}, "which is not here"),
    "an argument of a generic model": (f"{__name__}:Box", {"value": 1}, "which is no pydantic model"),
}


@pytest.mark.parametrize(("name", "data", "said"), NOT_MADE.values(), ids=NOT_MADE)
def test_a_stored_result_makes_nothing_but_models_and_the_like(tmp_path: Path, name: str, data: Any, said: str) -> None:
    of = {"of": ["os:system"]} if "Box" in name else {}
    blob = json.dumps({"__class__": name, "data": data, **of}).encode()
    with pytest.raises(ValueError, match=f"it holds a .*{said}"):
        JSONSerializer().loads(blob)
    store = ResultStore(tmp_path, "json")
    store.serializer.dumps = lambda _: blob  # type: ignore[method-assign]
    store.write(None, "k")
    with pytest.raises(SerializationError, match=f"result k cannot be read back with json: ValueError: it holds a .*{said}"):
        ResultStore(tmp_path).read("k")


def test_without_orjson_the_standard_library_writes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    written = JSONSerializer(jsonlib="orjson").dumps({"a": [Point(1), nan]})
    assert b'{"a":[{"__class__"' in written
    monkeypatch.setitem(sys.modules, "orjson", None)
    serializer = JSONSerializer(jsonlib="orjson")
    assert repr(serializer.loads(written)) == repr({"a": [Point(1), nan]})
    assert repr(serializer.loads(serializer.dumps({"a": [Point(1), nan]}))) == repr({"a": [Point(1), nan]})


def test_each_library_reads_what_another_one_wrote() -> None:
    value = {"a": [nan, 10**30, date(2024, 5, 6)]}
    for writer in (JSONSerializer(), JSONSerializer(jsonlib="orjson")):
        for reader in (JSONSerializer(), JSONSerializer(jsonlib="orjson")):
            assert repr(reader.loads(writer.dumps(value))) == repr(value)


class Compact:
    """A module of the user's: without `default` and `object_hook`."""

    @staticmethod
    def dumps(value: Any, separator: str = ",") -> str:
        return json.dumps(value, separators=(separator, ":"))

    @staticmethod
    def loads(blob: bytes) -> Any:
        return json.loads(blob)


def test_a_library_of_the_users_needs_only_dumps_and_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "compact_json", Compact)  # type: ignore[arg-type]
    serializer = JSONSerializer(jsonlib="compact_json", dumps_kwargs={"separator": " ,"})
    blob = serializer.dumps([date(2024, 5, 6), {"a": {1}}])
    assert blob.startswith(b'[{"__class__":"datetime:date" ,"data"')
    assert serializer.loads(blob) == [date(2024, 5, 6), {"a": {1}}]


def encode(value: Any) -> Any:
    return {"plain": True} if isinstance(value, Plain) else repr(value)


def decode(found: dict[str, Any]) -> Any:
    return "a Plain" if found.get("plain") else found


@pytest.mark.parametrize("given", [(encode, decode), (f"{__name__}.encode", f"{__name__}.decode")], ids=["functions", "import paths"])
@pytest.mark.parametrize("library", ["json", "orjson"])
def test_objects_are_encoded_and_decoded_by_functions_of_the_users(library: str, given: Any) -> None:
    serializer = JSONSerializer(jsonlib=library, object_encoder=given[0], object_decoder=given[1])
    assert serializer.loads(serializer.dumps([Plain(), {"a": Plain()}])) == ["a Plain", {"a": "a Plain"}]
    assert json.loads(serializer.dumps({1})) == "{1}"


@pytest.mark.parametrize("library", ["json", "orjson"])
def test_without_encoder_and_decoder_it_is_plain_json(library: str) -> None:
    serializer = JSONSerializer(jsonlib=library, object_encoder=None, object_decoder=None)
    assert serializer.loads(serializer.dumps({"__class__": "datetime:date", "data": "x"})) == {"__class__": "datetime:date", "data": "x"}
    with pytest.raises(TypeError, match="a date cannot be written as JSON without an object_encoder"):
        serializer.dumps(date(2024, 5, 6))


def test_arguments_are_handed_on_to_the_library() -> None:
    serializer = JSONSerializer(dumps_kwargs={"indent": 2, "sort_keys": True}, loads_kwargs={"parse_float": Decimal})
    assert serializer.dumps({"b": Inner(names=set()), "a": 1}).startswith(b'{\n  "a": 1,\n  "b": {\n    "__class__"')
    assert serializer.loads(b"1.50") == Decimal("1.50")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"jsonlib": "no_such_module"}, "jsonlib 'no_such_module' cannot be imported"),
        ({"jsonlib": "os"}, "jsonlib is the name of a module with dumps and loads, such as json or orjson, not 'os'"),
        ({"dumps_kwargs": {"default": str}}, r"'default' is what object_encoder says: JSONSerializer\(object_encoder=…\)"),
        ({"loads_kwargs": {"object_hook": dict}}, "'object_hook' is what object_decoder says"),
        ({"object_encoder": "no.such.function"}, "there is no function 'no.such.function'"),
        ({"object_decoder": "loads"}, "there is no function 'loads'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        JSONSerializer(**settings)


def test_a_task_whose_json_result_is_taken_gives_the_same(tmp_path: Path) -> None:
    calls: list[int] = []

    @task(persist_result=True, result_serializer=JSONSerializer(jsonlib="orjson"), result_storage_key="kept", result_storage=tmp_path)
    def load() -> Any:
        calls.append(1)
        return {"point": Point(1), "days": {date(2024, 5, 6)}, "ratio": nan}

    @flow
    def main() -> Any:
        return load()

    @flow
    async def reads() -> Any:
        return await load(return_state=True).result()

    assert repr(main()) == repr(main()) == repr(asyncio.run(reads()))
    assert calls == [1]


def test_a_result_that_is_refused_is_not_persisted_and_says_why(tmp_path: Path) -> None:
    @task(persist_result=True, result_serializer="json", result_storage=tmp_path)
    def load() -> Any:
        return Holding(secret=SecretStr("hidden"))

    @flow
    def main() -> Any:
        state = load(return_state=True)
        return state.name, "a SecretStr has no form in JSON" in state.message, state.result().secret.get_secret_value()

    assert main() == ("NotPersisted", True, "hidden")


SCRIPT = """
import sys
from dataclasses import dataclass
from mintaka.results import ResultStore

@dataclass
class Point:
    x: int

if __name__ == "__main__":
    if sys.argv[1] == "write":
        ResultStore(sys.argv[2], "json").write(Point(5), "k")
    else:
        print(ResultStore(sys.argv[2]).read("k").result)
"""


def test_a_class_of_a_script_is_found_by_the_script_run_again_and_by_those_that_import_it(tmp_path: Path) -> None:
    (tmp_path / "points.py").write_text(SCRIPT)
    run = [sys.executable, "points.py"]
    subprocess.run([*run, "write", "kept"], cwd=tmp_path, check=True)
    again = subprocess.run([*run, "read", "kept"], cwd=tmp_path, check=True, capture_output=True, text=True)
    imported = "import points; from mintaka.results import ResultStore; assert ResultStore('kept').read('k').result == points.Point(5)"
    subprocess.run([sys.executable, "-c", imported], cwd=tmp_path, check=True)
    assert again.stdout == "Point(x=5)\n"
