"""`concurrency(None)`, `rate_limit([])`: no limit, nothing to wait for"""

import asyncio
import json

from prefect import flow
from prefect.concurrency.asyncio import concurrency as aconcurrency
from prefect.concurrency.asyncio import rate_limit as arate_limit
from prefect.concurrency.sync import concurrency, rate_limit


@flow
def main():
    for names in (None, []):
        with concurrency(names):
            rate_limit(names)
    return "went on"


@flow
async def main_async():
    for names in (None, []):
        async with aconcurrency(names):
            await arate_limit(names)
    return "went on"


if __name__ == "__main__":
    print(json.dumps({"found": [main(), asyncio.run(main_async())]}))
