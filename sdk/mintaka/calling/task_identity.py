"""What a task is called beyond one process: named after its file where its module's name is not always the same."""

from __future__ import annotations

import sys
from pathlib import Path


def lasting_key(key: str) -> str:
    """The key of a task or flow as it is when its module is imported, also where that module runs as a script, or was
    loaded from a file under a name made up for it.
    """
    module, dot, rest = key.partition(".")
    if module != "__main__" and not module.startswith("flow_"):
        return key
    file = getattr(sys.modules.get(module), "__file__", None)
    return f"{Path(file).stem}{dot}{rest}" if file else key
