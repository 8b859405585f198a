"""`prefect.states`: constructors, types and names"""

import json

from prefect import states
from prefect.states import State

NAMES = [
    "Scheduled", "Pending", "Running", "Completed", "Failed", "Crashed", "Cancelling", "Cancelled", "Paused",
    "Suspended", "AwaitingRetry", "Retrying", "Late", "AwaitingConcurrencySlot",
]  # fmt: skip

if __name__ == "__main__":
    made = {}
    for name in NAMES:
        constructor = getattr(states, name, None)
        if constructor is None:
            made[name] = None
            continue
        state = constructor()
        made[name] = [isinstance(state, State), state.type.value, state.name, state.is_final()]
    given = states.Completed(message="told", name="Named", data=3)
    print(json.dumps({"made": made, "given": [given.message, given.name]}))
