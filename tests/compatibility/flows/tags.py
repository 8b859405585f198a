"""Tags: of tasks, from `with tags(...)`, nested, as the run sees them"""

import json

from prefect import flow, tags, task
from prefect.runtime import flow_run, task_run


@task(tags=["own"])
def seen():
    return sorted(task_run.tags)


@flow
def main():
    plain = seen()
    with tags("a", "b"):
        with tags("c"):
            inner = seen()
        outer = seen.submit().result()
    return [plain, inner, outer, sorted(flow_run.tags)]


if __name__ == "__main__":
    with tags("around"):
        print(json.dumps({"tags": main()}))
