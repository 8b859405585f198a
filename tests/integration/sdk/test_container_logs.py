"""What a flow's process prints before it dies is in the run's log when its container's log was copied there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from real_api import RealApi

UID = "0190f5fe-0000-7000-8000-0000000000c1"
SOURCE = """
import ctypes, os, time
from mintaka import flow, task, get_run_logger

print("imported")

@task(log_prints=True)
def load(n):
    print("loaded", n)
    get_run_logger().warning("bad rows\\nin file %d", n)

@flow
def dies(how):
    print("printed, not logged")
    load(1)
    time.sleep(1.5)  # until that was delivered
    print("one more print")
    load(2)
    if how == "segfault":
        ctypes.string_at(0)
    elif how == "killed":
        os.kill(os.getpid(), 9)
    else:
        os.abort()
"""


def run_like_a_kubelet(folder: Path, api: RealApi, **parameters: Any) -> str:
    """Run the flow as a container; its log with time stamps."""
    (folder / "etl.py").write_text(SOURCE)
    environment = os.environ | {
        "MINTAKA_ENTRYPOINT": "etl.py:dies",
        "MINTAKA_SOURCE_DIR": str(folder),
        "MINTAKA_FLOW_RUN": "run-1",
        "MINTAKA_FLOW_RUN_UID": UID,
        "MINTAKA_NAMESPACE": "team",
        "MINTAKA_PARAMETERS": json.dumps(parameters),
        "MINTAKA_API_URL": api.url,
        "MINTAKA_TERMINATION_MESSAGE_PATH": str(folder / "termination"),
    }
    environment.pop("PYTHONUNBUFFERED", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "mintaka.runner"],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    text = "".join(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z {line}" for line in process.stdout)
    process.stdout.close()
    process.wait(10)
    return text


@pytest.mark.parametrize(
    ("how", "last"), [("segfault", "Fatal Python error: Segmentation fault"), ("abort", "Fatal Python error: Aborted"), ("killed", "")]
)
def test_the_log_of_a_process_that_died_is_readable_and_in_order(real_api: RealApi, tmp_path: Path, how: str, last: str) -> None:
    """Prints, what was delivered, what was not, and the error; nothing twice."""
    text = run_like_a_kubelet(tmp_path, real_api, how=how)
    request = urllib.request.Request(  # noqa: S310 - our own URL
        f"{real_api.url}/api/v1/flow-runs/{UID}/attempts/1/container-logs/flow",
        data=json.dumps({"text": text, "pod": "run-1-1"}).encode(),
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        assert answer.status == 204
    shown = Terminal(tmp_path, MINTAKA_API_URL=real_api.url, MINTAKA_HOME=str(tmp_path), MINTAKA_HISTORY="on")(
        "logs", "run-1", "--namespace", "team", "--json"
    )
    assert shown.code == 0, shown.err
    lines = [json.loads(line) for line in shown.out.splitlines()]
    messages = [line["message"] for line in lines]
    before = [
        "imported",
        "flow run run-1: flow dies, attempt 1",
        "printed, not logged",
        "loaded 1",
        "bad rows\nin file 1",
        "one more print",
        "loaded 2",
        "bad rows",
        "in file 2",
    ]
    assert messages[: len(before)] == before
    assert [line["logger"] for line in lines if line["message"] == "bad rows"] == ["container/flow"]
    assert [line["level"] for line in lines if line["message"] == "bad rows"] == [30]
    assert (messages[len(before)] if last else "") == last
    where = [message for message in messages if "etl.py" in message and message.endswith(" in dies")]
    assert len(where) == (last != "")
