"""Some mapped runs fail: `.result()` raises, states tell which"""

import json

from prefect import flow, task


@task
def odd_only(n):
    if n % 2 == 0:
        raise ValueError(f"{n} is even")
    return n


@flow
def maps():
    futures = odd_only.map([1, 2, 3, 4])
    futures.wait()
    states = [future.state.name for future in futures]
    kept = futures.result(raise_on_failure=False)
    try:
        futures.result()
    except ValueError as error:
        first = "is even" in str(error)
    as_states = odd_only.map([1, 2], return_state=True)
    return [states, [str(value) for value in kept], first, [state.name for state in as_states]]


if __name__ == "__main__":
    print(json.dumps({"results": maps(return_state=True).result()}))
