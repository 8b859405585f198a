"""When a check of a JSON Schema is given up."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mintaka_controller.schema_process import RequestTooCostly, Usage, WorkerLost, verdict
from mintaka_controller.schema_protocol import encode, encode_request

if TYPE_CHECKING:
    from mintaka_core.errors import MintakaError

CASES: dict[str, tuple[Usage, type[MintakaError] | None]] = {
    "it computes within its time": (Usage(1.9, 2.5), None),
    "it has used up its processor time": (Usage(2.0, 2.1), RequestTooCostly),
    "it waits for the processor on a busy machine": (Usage(0.1, 25.0), None),
    "it got no processor for half a minute": (Usage(0.1, 30.0), WorkerLost),
    "it sleeps, but not for long": (Usage(0.0, 0.3, sleeping=True), None),
    "it sleeps since an allocation failed": (Usage(0.1, 2.0, sleeping=True), RequestTooCostly),
}


@pytest.mark.parametrize(("usage", "outcome"), CASES.values(), ids=CASES)
def test_a_check_is_given_up_for_what_it_uses_not_for_what_others_use(usage: Usage, outcome: type[MintakaError] | None) -> None:
    """Processor time counts; time on the clock only if nothing happens."""
    fault = verdict(usage, 2.0)
    assert type(fault) is (outcome or type(None))


def test_a_worker_whose_parent_is_gone_does_not_compute_forever() -> None:
    """There is no process left to cancel the request: the kernel ends the worker."""
    endless = {"$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)} | {"d60": {}}, "$ref": "#/$defs/d0"}
    program = "import sys, mintaka_controller.schema_worker as worker; worker._REQUEST_CPU_SECONDS = 1; sys.exit(worker.main())"
    ours, theirs = socket.socketpair()
    with ours, subprocess.Popen([sys.executable, "-c", program, "0"], stdin=theirs.fileno(), stdout=subprocess.DEVNULL) as worker:
        theirs.close()
        try:
            assert ours.recv(4)
            ours.sendall(encode_request(encode(endless), encode(1), "value"))
            assert worker.wait(60) == -signal.SIGXCPU
        finally:
            worker.kill()
