"""What a replica loads."""

from __future__ import annotations

import subprocess
import sys

_LOADED = """
import sys
from mintaka_operator import __main__
with __main__._without_clients():
    import mintaka_operator.replica
loaded = {name for name in ("kubernetes", "kubernetes_asyncio", "pykube") if name in sys.modules}
assert not loaded, loaded
import kubernetes.config
print("can be loaded later")
"""


def test_kopf_loads_no_kubernetes_client_and_a_kubeconfig_still_can() -> None:
    """35 MiB that a pod does not need."""
    done = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True)
    assert done.stdout == "can be loaded later\n"
