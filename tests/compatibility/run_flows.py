"""Run flow files one after the other in this process: `python run_flows.py prefect|mintaka OUTPUT.json FLOW.py…`.

Works under Prefect's interpreter and under ours, so it imports neither of them but where it must. Each flow prints one
line of JSON last; what came of it, or the exception that ended it, goes to OUTPUT as {file name: {"document" | "error", "seconds"}}.
"""

from __future__ import annotations

import io
import json
import os
import runpy
import signal
import sys
import time
import traceback
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

FLOW_SECONDS = 45


class TooLong(BaseException):
    """A flow did not come to an end."""


def ring(*_: object) -> None:
    """End the flow that runs."""
    raise TooLong


def ran(path: Path) -> dict[str, Any]:
    """What the flow file printed last, or how it failed."""
    printed = io.StringIO()
    began = time.monotonic()
    signal.signal(signal.SIGALRM, ring)
    signal.alarm(FLOW_SECONDS)
    result: dict[str, Any]
    try:
        with redirect_stdout(printed):
            runpy.run_path(str(path), run_name="__main__")
        result = {"document": json.loads(printed.getvalue().strip().splitlines()[-1])}
    except TooLong:
        result = {"error": f"it did not end within {FLOW_SECONDS} s"}
    except BaseException as error:  # noqa: BLE001 - whatever a flow raises is its result
        result = {"error": f"{type(error).__name__}: {error}"[:500], "traceback": traceback.format_exc(limit=-4)[-2000:]}
    finally:
        signal.alarm(0)
    return {**result, "seconds": round(time.monotonic() - began, 2)}


def surroundings(stack: ExitStack, library: str) -> None:
    """Prefect wants a server: one of its own for all flows, on loopback, with an empty database."""
    if library != "prefect":
        return
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings  # noqa: PLC0415 - only there
    from prefect.testing.utilities import prefect_test_harness  # noqa: PLC0415 - only there

    # Its heartbeat thread makes every sync flow a second longer and changes nothing that a flow could see.
    stack.enter_context(temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))
    stack.enter_context(prefect_test_harness(server_startup_timeout=120))


def main(library: str, output: str, *paths: str) -> None:
    """Run all, writing what is known after each."""
    results: dict[str, Any] = {}
    with ExitStack() as stack:
        surroundings(stack, library)
        for path in map(Path, paths):
            results[path.name] = ran(path)
            Path(output).write_text(json.dumps(results), encoding="utf-8")
            sys.stderr.write(f"{path.name} {results[path.name]['seconds']} s\n")
    sys.stderr.flush()
    os._exit(0)  # nothing that a flow left behind, thread or atexit hook, is waited for


if __name__ == "__main__":
    main(*sys.argv[1:])
