"""Variables: set, get, default, overwrite, unset"""

import json
import uuid

from prefect import flow
from prefect.variables import Variable

name = f"v_{uuid.uuid4().hex[:8]}"


@flow
def main():
    found = [Variable.get(name), Variable.get(name, default="default")]
    Variable.set(name, {"a": [1, 2]})
    found.append(Variable.get(name))
    try:
        Variable.set(name, 1)
    except ValueError as error:
        found.append(type(error).__name__)
    Variable.set(name, "other", overwrite=True)
    found.append(Variable.get(name))
    found.append([Variable.unset(name), Variable.unset(name), Variable.get(name)])
    return found


if __name__ == "__main__":
    print(json.dumps({"found": main()}))
