"""What a pod shows for the entry of its attempt: the revision that it runs, and the end of its output if it left no report."""

from __future__ import annotations

from typing import Any

import pytest

from mintaka_core.reports import Report
from mintaka_core.states import FAILED, State
from mintaka_operator.diagnosis import diagnose

CREATED = "2026-03-04T05:00:00Z"
REPORT = Report(1, State(FAILED, reason="ValueError", message="no such file")).encode()


def pod(message: str | None = None, *, ended: bool = True, reports: bool = False, exit_code: int = 1, **annotations: Any) -> dict[str, Any]:
    """A pod of the first attempt of a run."""
    terminated = {"exitCode": exit_code, "startedAt": CREATED, "finishedAt": CREATED, **({"message": message} if message else {})}
    state = {"terminated": terminated} if ended else {"running": {"startedAt": CREATED}}
    labels = {"mintaka.dev/flow-run": "r", **({"mintaka.dev/reports": "true"} if reports else {})}
    metadata = {"name": "r-1", "uid": "p", "creationTimestamp": CREATED, "labels": labels, "annotations": annotations}
    status = {"phase": "Failed" if ended else "Running", "containerStatuses": [{"name": "flow", "state": state, "restartCount": 0}]}
    return {"metadata": metadata, "spec": {"nodeName": "node-1", "containers": [{"name": "flow"}]}, "status": status}


@pytest.mark.parametrize(
    ("shown", "tail"),
    [
        pytest.param(pod("Traceback\nValueError: x\n"), "Traceback\nValueError: x", id="a plain container's output"),
        pytest.param(pod("Killed\n", reports=True), "Killed", id="output of the SDK's process, which left no report"),
        pytest.param(pod(REPORT, reports=True), "", id="a report"),
        pytest.param(pod(REPORT), "", id="a report of a container that was not expected to leave one"),
        pytest.param(pod("\x1b[31mred\x1b[0m\x00\n"), "red", id="colours and control characters"),
        pytest.param(pod("x" * 5000 + "end"), "x" * 1021 + "end", id="more than fits"),
        pytest.param(pod(), "", id="nothing"),
        pytest.param(pod("done", exit_code=0), "done", id="a message of a container that ended well"),
        pytest.param(pod(ended=False), "", id="it still runs"),
    ],
)
def test_the_end_of_the_output_is_kept_if_there_is_no_report(shown: dict[str, Any], tail: str) -> None:
    assert diagnose(shown).log_tail == tail


@pytest.mark.parametrize(
    ("annotation", "revision"),
    [("etl-0123456789", "etl-0123456789"), (None, ""), (3, ""), ("x" * 300, "x" * 253)],
    ids=["its name", "none", "nonsense", "too long"],
)
def test_a_pod_says_which_revision_it_runs(annotation: Any, revision: str) -> None:
    assert diagnose(pod(**({} if annotation is None else {"mintaka.dev/revision": annotation}))).revision == revision
