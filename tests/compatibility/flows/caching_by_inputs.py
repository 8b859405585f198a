"""`cache_policy=INPUTS`: the same inputs run once, also in another run; other inputs run again"""

import json
import uuid

from prefect import flow, task
from prefect.cache_policies import INPUTS

calls = []
salt = str(uuid.uuid4())


@task(cache_policy=INPUTS)
def costly(a, b, salt):
    calls.append([a, b])
    return a + b


@flow
def main():
    first = costly(1, 2, salt, return_state=True)
    second = costly(1, b=2, salt=salt, return_state=True)
    third = costly.submit(1, 3, salt)
    return [first.name, second.name, second.type.value, second.result(), third.result()]


@flow
def again():
    state = costly(1, 2, salt, return_state=True)
    return [state.name, state.result()]


if __name__ == "__main__":
    print(json.dumps({"first": main(), "again": again(), "calls": calls}))
