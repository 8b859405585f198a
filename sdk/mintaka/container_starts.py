"""One attempt is one start of the flow's container.

A kubelet that lost its record of a container (a reset of the node, a reinstalled runtime) starts it again in the same pod, with the same
variables: the work of the attempt would be done twice, and no one would know. So the first start leaves a file in a volume of the pod
(an emptyDir, which outlives its containers), and a later start that finds it does nothing but say so; the attempt has crashed, and the
next one takes finished tasks from their persisted results.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_logger = logging.getLogger("mintaka.runner")


def claim_start(folder: Path | None, attempt: int) -> bool:
    """True for the first start of `attempt` in the pod whose volume is at `folder` (None: there is none, so no one knows)."""
    if folder is None:
        return True
    try:
        os.close(os.open(folder / f"attempt-{attempt}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    except OSError as error:
        # A podTemplate may have put another volume in its place; that is no reason not to run.
        _logger.warning("a second start of this container would not be noticed: %s", error)
    return True
