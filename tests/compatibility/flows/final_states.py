"""What a flow's return value makes of its state: futures, states, lists of them, exceptions, values"""

import json

from prefect import flow, task


@task
def good(value=1):
    return value


@task
def bad():
    raise ValueError("no")


@flow
def one_future():
    return good.submit()


@flow
def bad_future():
    return bad.submit()


@flow
def mixed():
    return [good.submit(), bad.submit()]


@flow
def all_good():
    return [good.submit(1), good.submit(2)]


@flow
def states():
    return good(return_state=True), bad(return_state=True)


@flow
def looked_at():
    bad(return_state=True)
    return "fine"


@flow
def handled():
    try:
        bad()
    except ValueError:
        return "handled"


if __name__ == "__main__":
    found = {}
    for each in (one_future, bad_future, mixed, all_good, states, looked_at, handled):
        state = each(return_state=True)
        found[each.fn.__name__] = [state.type.value, state.name]
    found["values"] = [looked_at(), handled()]
    found["value of a future"] = type(one_future()).__name__
    found["values of futures"] = [type(value).__name__ for value in all_good()]
    print(json.dumps(found))
