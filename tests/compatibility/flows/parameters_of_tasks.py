"""Arguments of tasks are passed as they are, defaults included"""

import json

from prefect import flow, task


@task
def typed(n: int, *rest, word: str = "a", **more):
    return [n, type(n).__name__, list(rest), word, more]


@flow
def main():
    return [typed("5"), typed(1, 2, word=3, x=4), typed.submit("5", "6").result()]


if __name__ == "__main__":
    print(json.dumps({"results": main()}))
