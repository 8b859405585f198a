"""What a check of a JSON Schema costs the process that asks for it: `python benchmarks/schema_validation.py`.

Latency and processor time of ordinary checks, the longest time for which the event loop was held up, and the same while
hostile schemas of other namespaces are checked. The loop's hold-ups are processor time of its thread, so that other work on the
machine does not count.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import uvloop

from mintaka_controller.schema_validation import SchemaValidator
from mintaka_core.errors import MintakaError

CALLS = 3000
MEMBERS = 20
SCHEMA = {
    "type": "object",
    "properties": {f"member{n}": {"type": "string", "pattern": "^[a-z]{1,40}$", "maxLength": 40} for n in range(MEMBERS)},
    "required": ["member0"],
}
SMALL = {f"member{n}": "abcdefghij" for n in range(MEMBERS)}
LARGE = {"rows": [{"name": "x" * 40, "number": n, "tags": ["a", "b"]} for n in range(200)]}


def doubling(levels: int, keyword: str = "allOf") -> dict[str, Any]:
    """A schema whose check takes 2**levels steps."""
    steps = {f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": steps | {f"d{levels}": {"type": "integer"}}, "$ref": "#/$defs/d0"}


ATTACKS: dict[str, tuple[Any, Any]] = {
    "reference to a URL": ({"$ref": "http://127.0.0.1:9/latest/meta-data"}, 1),
    "reference to a file": ({"$ref": "file:///etc/passwd"}, 1),
    "reference to itself": ({"$ref": "#"}, 1),
    "reference to nowhere": ({"$ref": "#/nowhere"}, 1),
    "pattern ^(a+)+$, 40 letters": ({"pattern": "^(a+)+$"}, "a" * 40 + "!"),
    "references that double, time": (doubling(40), 1),
    "references that double, memory": (doubling(20), "x"),
}


class LoopWatch:
    """Notes the processor time that each iteration of the event loop takes."""

    def __init__(self) -> None:
        self.longest_ms = 0.0

    async def run(self) -> None:
        """Watch until cancelled."""
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest_ms = max(self.longest_ms, (now - last) * 1e3)
            last = now


async def ordinary(validator: SchemaValidator, called: str, schema: Any, value: Any) -> None:
    """Print what ordinary checks take."""
    await validator.violations(schema, value, "parameters", namespace="honest")
    waits = []
    began = time.process_time()
    for _ in range(CALLS):
        start = time.perf_counter()
        await validator.violations(schema, value, "parameters", namespace="honest")
        waits.append((time.perf_counter() - start) * 1e3)
    cpu = (time.process_time() - began) * 1e3 / CALLS
    waits.sort()
    print(f"{called}: p50 {statistics.median(waits):.3f} ms, p99 {waits[-CALLS // 100]:.3f} ms, {cpu:.3f} ms of CPU here")


async def attacked(validator: SchemaValidator) -> None:
    """Print how each attack ends, and what honest checks take meanwhile."""
    for called, (schema, value) in ATTACKS.items():
        watch = LoopWatch()
        watching = asyncio.create_task(watch.run())
        start = time.perf_counter()
        attack = asyncio.create_task(validator.violations(schema, value, "parameters", namespace=called))
        waits = []
        while not attack.done():
            before = time.perf_counter()
            await validator.violations(SCHEMA, SMALL, "parameters", namespace="honest")
            waits.append((time.perf_counter() - before) * 1e3)
            await asyncio.sleep(0.005)
        seconds = time.perf_counter() - start
        watching.cancel()
        try:
            outcome = str(attack.result()[0]["message"] if attack.result() else "valid")
        except MintakaError as error:
            outcome = str(error)
        print(
            f"{called}: {seconds:.2f} s, honest checks at most {max(waits):.0f} ms, loop held up {watch.longest_ms:.1f} ms: {outcome[:90]}"
        )


async def main() -> None:
    """Run all parts."""
    start = time.perf_counter()
    async with SchemaValidator() as validator:
        await validator.violations({}, {}, "parameters", namespace="honest")
        print(f"first check, with the start of the process: {(time.perf_counter() - start) * 1e3:.0f} ms")
        await ordinary(validator, f"{MEMBERS} members", SCHEMA, SMALL)
        await ordinary(validator, "14 kB of parameters", {"type": "object"}, LARGE)
        start = time.perf_counter()
        await asyncio.gather(*(validator.violations(SCHEMA, SMALL, "parameters", namespace=f"n{n % 10}") for n in range(1000)))
        print(f"1,000 at once: {(time.perf_counter() - start) * 1e3:.0f} ms")
        await attacked(validator)


if __name__ == "__main__":
    uvloop.run(main())
