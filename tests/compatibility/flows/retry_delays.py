"""`retry_delay_seconds`: a number, a list, a callable, `exponential_backoff`, with jitter"""

import json
import time

from prefect import flow, task
from prefect.tasks import exponential_backoff

times = {}


def failing(name):
    def body():
        times.setdefault(name, []).append(time.monotonic())
        raise ValueError(name)

    body.__name__ = name
    return body


number = task(failing("number"), retries=1, retry_delay_seconds=0.3)
several = task(failing("several"), retries=3, retry_delay_seconds=[0.1, 0.3])
callable_ = task(failing("callable"), retries=2, retry_delay_seconds=lambda retries: [0.1 * (i + 1) for i in range(retries)])
backoff = task(failing("backoff"), retries=2, retry_delay_seconds=exponential_backoff(0.1))


@flow
def tries():
    for each in (number, several, callable_, backoff):
        each(return_state=True)
    return "done"


if __name__ == "__main__":
    tries()
    waits = {name: [round(b - a - 0.01, 1) for a, b in zip(at, at[1:])] for name, at in times.items()}
    print(json.dumps(waits))
