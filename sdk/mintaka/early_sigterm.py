"""SIGTERM before the runner is ready for it; `mintaka` imports this before anything that takes time.

The first process of a PID namespace, which a container's is, does not get signals that it has no handler for
(pid_namespaces(7)): a pod that is asked to stop while its flow's process still imports would live on for its whole grace period.
Nothing of the flow has begun then, so the process just ends, with the exit code for SIGTERM (docs/exit-codes.md), until the
runner has a handler that knows more. Where this is not `python -m mintaka.runner`, nothing happens here.
"""

import os
import signal
import sys
from time import monotonic

#: About when this process began (`time.monotonic()`).
STARTED = monotonic()
#: `mintaka_core.reports.ExitCode.TERMINATED`, which is not imported yet.
_TERMINATED = 143


def _end(_number: int, _frame: object) -> None:
    os._exit(_TERMINATED)


if sys.argv[:1] == ["-m"] and "mintaka.runner" in sys.orig_argv:  # argv[0] is so while the module to be run is looked for
    signal.signal(signal.SIGTERM, _end)
