"""The exceptions' names, and which is raised when"""

import json

from prefect import exceptions, flow, task
from prefect.states import Cancelled, Crashed, Failed, Running

NAMES = [
    "PrefectException", "CrashedRun", "FailedRun", "CancelledRun", "PausedRun", "UnfinishedRun", "MissingContextError",
    "MissingResult", "ParameterTypeError", "ParameterBindError", "MappingLengthMismatch", "MappingMissingIterable",
    "FlowPauseTimeout", "TerminationSignal", "Pause", "Abort", "ReservedArgumentError", "InvalidNameError",
]  # fmt: skip


def raised(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return None


@task
def good():
    return 1


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "missing": [name for name in NAMES if not hasattr(exceptions, name)],
                "failed": raised(lambda: Failed(message="x").result()),
                "crashed": raised(lambda: Crashed(message="x").result()),
                "cancelled": raised(lambda: Cancelled(message="x").result()),
                "running": raised(lambda: Running().result()),
                "submit outside": raised(lambda: good.submit()),
                "not a function": raised(lambda: flow("x")),
            }
        )
    )
