"""Results as JSON: dates, UUIDs, bytes, sets, models, dataclasses, enums and exceptions come back; `JSONSerializer(jsonlib=…)`"""

import asyncio
import json
import tempfile
import uuid
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path

from prefect import flow, task
from prefect.filesystems import LocalFileSystem
from prefect.serializers import CompressedSerializer, JSONSerializer
from pydantic import BaseModel

storage = LocalFileSystem(basepath=tempfile.mkdtemp())
storage.save(f"compatibility-{uuid.uuid4().hex[:8]}")


class Settings(BaseModel):
    rows: int = 1
    day: date = date(2024, 5, 6)


@dataclass
class Pair:
    left: int
    settings: Settings


class Colour(Enum):
    RED = "red"


VALUES = {
    "plain": {"a": [1, 2.5, "ü", True, None]},
    "not a number": [float("nan"), float("inf")],
    "tuples": (1, (2,)),
    "dates": [date(2024, 5, 6), datetime(2024, 5, 6, 1, 2), time(1, 2), timedelta(seconds=90)],
    "UUID": uuid.UUID(int=5),
    "bytes": b"abc",
    "sets": [{1}, frozenset({2})],
    "decimal": Decimal("1.10"),
    "path": Path("a/b"),
    "enum": Colour.RED,
    "nested": {"a": [{"b": date(2024, 5, 6)}]},
    "keys": {1: "a"},
    "model": Settings(rows=2),
    "dataclass": Pair(1, Settings()),
    "models in a list": [Settings(rows=3), {"a": Settings()}],
    "exception": ValueError("no"),
    "aware time": datetime(2024, 5, 6, tzinfo=timezone.utc),
}
DIFFERENT = {
    "binary": b"\xff",
    "dates in a set": {date(2024, 5, 6)},
    "keys that are dates": {date(2024, 5, 6): 1},
    "a dict with the serializer's word": {"__class__": "builtins.int", "data": "3"},
    "arguments of an exception": KeyError("k"),
}


def back(serializer, value):
    try:
        found = serializer.loads(serializer.dumps(value))
    except Exception:
        return "an error"
    return found.isoformat() if isinstance(found, datetime) and found.tzinfo else repr(found)


ran = []


@task(persist_result=True, result_serializer="json", result_storage_key="kept-{parameters[name]}")
def kept(name):
    ran.append(name)
    return VALUES[name]


@flow(result_storage=storage)
def stores():
    return [[repr(kept(name)), repr(kept(name))] for name in ("dates", "nested", "model", "dataclass")]


@flow(result_storage=storage)
async def reads_them():
    return [repr(await kept(name, return_state=True).result()) for name in ("dates", "nested", "model", "dataclass")]


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "json": {name: back(JSONSerializer(), value) for name, value in VALUES.items()},
                "compressed": back(CompressedSerializer(serializer="json"), VALUES["dates"]),
                "with arguments": JSONSerializer(dumps_kwargs={"indent": 1}, loads_kwargs={}).dumps({"a": 1}).decode(),
                "without encoder": back(JSONSerializer(object_encoder=None), date(2024, 5, 6)),
                "kept": [stores(), asyncio.run(reads_them()), ran],
                "orjson": back(JSONSerializer(jsonlib="orjson"), {"a": [date(2024, 5, 6)]}),
                **{name: back(JSONSerializer(), value) for name, value in DIFFERENT.items()},
            }
        )
    )
