"""`serve(…)` of several deployments, until SIGTERM; its warnings, and `aserve` in async code"""

import asyncio
import json
import os
import signal
import threading
import time
import warnings

from prefect import aserve, flow, serve


@flow
def greet(name: str = "world"):
    return f"hello {name}"


@flow
def part(name: str = "world"):
    return f"bye {name}"


def stop_soon(before):
    while signal.getsignal(signal.SIGTERM) == before:
        time.sleep(0.1)
    time.sleep(3)
    os.kill(os.getpid(), signal.SIGTERM)


async def blocking():
    try:
        serve(greet.to_deployment("in async code", _sync=True))
    except RuntimeError as error:
        return "aserve" in str(error)


async def cancelled():
    serving = asyncio.create_task(aserve(await part.to_deployment("async"), print_starting_message=False))
    await asyncio.sleep(2)
    serving.cancel()
    try:
        await serving
    except asyncio.CancelledError:
        return "CancelledError"


if __name__ == "__main__":
    threading.Thread(target=stop_soon, args=(signal.getsignal(signal.SIGTERM),), daemon=True).start()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        served = serve(
            greet.to_deployment("daily", cron="0 0 1 1 *", parameters={"name": "you"}, tags=["compatibility"], work_pool_name="pool"),
            part.to_deployment("daily", paused=True),
            limit=2,
            print_starting_message=False,
        )
    named = [warning for warning in caught if "work_pool_name" in str(warning.message)]
    print(
        json.dumps(
            {
                "returned": served,
                "warnings": [warning.category.__name__ for warning in named],
                "blocking in async code": asyncio.run(blocking()),
                "cancelled": asyncio.run(cancelled()),
            }
        )
    )
