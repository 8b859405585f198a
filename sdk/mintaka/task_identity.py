"""What a task is called beyond one process: a script's tasks are named after its file, not after `__main__`."""

from __future__ import annotations

import sys
from pathlib import Path


def lasting_key(key: str) -> str:
    """The key of a task or flow as it is when its module is imported, also where that module runs as a script."""
    module, dot, rest = key.partition(".")
    if module != "__main__":
        return key
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return f"{Path(file).stem}{dot}{rest}" if file else key
