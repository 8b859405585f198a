"""`cache_key_fn`, `cache_expiration`, `refresh_cache`"""

import json
import time
import uuid
from datetime import timedelta

from prefect import flow, task
from prefect.tasks import task_input_hash

calls = {}
salt = str(uuid.uuid4())


def count(name):
    calls[name] = calls.get(name, 0) + 1
    return calls[name]


def by_word(context, parameters):
    return f"{salt}-{parameters['word']}"


@task(cache_key_fn=by_word)
def keyed(word, other):
    return count("keyed")


@task(cache_key_fn=task_input_hash)
def hashed(word, salt):
    return count("hashed")


@task(cache_key_fn=lambda context, parameters: f"{salt}-expires", cache_expiration=timedelta(seconds=1))
def expires():
    return count("expires")


@task(cache_key_fn=lambda context, parameters: f"{salt}-refresh", refresh_cache=True)
def refreshed():
    return count("refreshed")


@task(cache_key_fn=lambda context, parameters: None)
def no_key():
    return count("no key")


@flow
def main():
    found = {
        "key function": [keyed("a", 1), keyed("a", 2), keyed("b", 1)],
        "input hash": [hashed("a", salt), hashed("a", salt), hashed("b", salt)],
        "refreshed": [refreshed(), refreshed()],
        "no key": [no_key(), no_key()],
        "expiring": [expires(), expires()],
    }
    time.sleep(1.1)
    found["expired"] = expires()
    return found


if __name__ == "__main__":
    print(json.dumps(main()))
