"""`rate_limit` of a limit nobody made"""

import json
import uuid

from prefect import flow
from prefect.concurrency.sync import rate_limit


@flow
def main():
    rate_limit(f"limit-{uuid.uuid4().hex[:8]}", occupy=1)
    return "passed"


if __name__ == "__main__":
    print(json.dumps({"result": main()}))
