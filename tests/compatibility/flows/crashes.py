"""What is no `Exception` ends a task: SystemExit in it"""

import json

from prefect import flow, task


@task
def leaves():
    raise SystemExit(3)


@flow
def main():
    leaves()


if __name__ == "__main__":
    seen = []
    main.on_crashed(lambda flow, run, state: seen.append([state.type.value, state.name]))
    try:
        main()
        raised = None
    except SystemExit as error:
        raised = error.code
    print(json.dumps({"raised": raised, "hook": seen}))
