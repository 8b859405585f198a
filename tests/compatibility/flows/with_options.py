"""`with_options` of tasks and flows: a copy with other settings, the original as it was"""

import json

from prefect import flow, task

calls = []


@task(name="original", retries=0, tags=["a"])
def fails():
    calls.append(1)
    raise ValueError


@flow(name="original-flow")
def main(n: int = 1):
    return n


more = fails.with_options(name="other", retries=2, tags=["b"])
other = main.with_options(name="other-flow", description="told", retries=1, log_prints=True)


@flow
def tries():
    more(return_state=True)
    return len(calls)


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "tasks": [fails.name, fails.retries, sorted(fails.tags), more.name, more.retries, sorted(more.tags)],
                "flows": [main.name, main.retries, other.name, other.retries, other.description, other.log_prints],
                "calls": tries(),
                "result": other(2),
            }
        )
    )
