"""One library, one case, a process of its own: `python one.py LIBRARY CASE TASKS` runs a flow for each line it reads.

Each answer is a line of JSON with `wall` and `cpu` (seconds of this process from calling the flow to its return) and
`result`. The flow is called as a script calls it; where its history goes is up to the environment. A first, small run
takes start-up out of the figures; the line `{}` says that it is over.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time

from cases import flows


def main(library: str, case: str, n: int) -> None:
    """Answer each line with the figures of one round."""
    body = flows(library)[case]

    def once(n: int) -> float:
        made = body(n)
        result: float = asyncio.run(made) if inspect.isawaitable(made) else made
        return result

    once(10)
    print("{}", flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        result = once(n)
        print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "result": result}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
