"""`as_completed`, `wait` and callbacks of futures"""

import json
import threading
import time

from prefect import flow, task
from prefect.futures import as_completed, resolve_futures_to_states, wait

called = []


@task
def sleeps(seconds):
    time.sleep(seconds)
    return seconds


@flow
def main():
    futures = [sleeps.submit(seconds) for seconds in (0.6, 0.1, 0.3)]
    order = [future.result() for future in as_completed(futures)]
    more = [sleeps.submit(0.0), sleeps.submit(30 if False else 1.5)]
    done, not_done = wait(more, timeout=0.7)
    over = threading.Event()
    with_callback = sleeps.submit(0.05)
    with_callback.add_done_callback(lambda future: (called.append(future.state.name), over.set()))
    over.wait(5)
    states = resolve_futures_to_states({"a": [futures[0]]})
    late = sleeps.submit(1.0)
    try:
        late.result(timeout=0.1)
    except TimeoutError as error:
        timed_out = isinstance(error, TimeoutError)
    wait([*more, late])
    return [order, len(done), len(not_done), called, states["a"][0].name, timed_out]


if __name__ == "__main__":
    print(json.dumps({"results": main()}))
