"""Show a flow run as the API returns it: `query.py API_URL UID`; waits until its end is recorded. MINTAKA_API_TOKEN is sent if set."""

from __future__ import annotations

import os
import sys
import time

import httpx


def main(api: str, uid: str) -> None:
    """Print the run, its transitions and its task runs."""
    token = os.environ.get("MINTAKA_API_TOKEN")
    with httpx.Client(base_url=api, timeout=10, headers={"Authorization": f"Bearer {token}"} if token else None) as client:
        deadline = time.monotonic() + 30
        while True:
            answer = client.get(f"/flow-runs/{uid}")
            run = answer.json() if answer.is_success else {}
            if run.get("ended") or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        answer.raise_for_status()
        print(f"$ curl {api}/flow-runs/{uid}")
        print(f"  {run['name']}: {run['state']['type']}, attempt {run['attempt']}, {run['started']} to {run['ended']}")
        print(f"$ curl {api}/flow-runs/{uid}/transitions")
        for row in client.get(f"/flow-runs/{uid}/transitions").raise_for_status().json()["items"]:
            print(f"  {row['sequence']}  {row['time']}  {row.get('from') or 'new'} -> {row['name']}")
        print(f"$ curl {api}/flow-runs/{uid}/task-runs")
        for row in client.get(f"/flow-runs/{uid}/task-runs", params={"limit": 200}).raise_for_status().json()["items"]:
            print(f"  {row['n']:>3}  {row['name'] or row['task']:<28} {row['state']:<10} upstream {row['upstream']}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
