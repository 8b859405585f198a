"""`python -m mintaka_operator`: one replica of the operator, configured by `MINTAKA_*` variables."""

from __future__ import annotations

import gc
import sys
from typing import Any, cast

import uvloop

from mintaka_operator.logs import configure
from mintaka_operator.settings import Settings


def main() -> int:
    """Run until told to stop; the exit code."""
    # kopf imports whatever Kubernetes clients there are, to borrow credentials from; it gets ours, and they would take 11 MiB.
    for client in ("kubernetes", "kubernetes_asyncio", "pykube"):
        cast("dict[str, Any]", sys.modules).setdefault(client, None)
    from mintaka_operator.running import run  # noqa: PLC0415 - imports kopf: after the lines above

    try:
        settings = Settings.from_environment()
    except ValueError as error:
        print(f"mintaka_operator: {error}", file=sys.stderr)  # noqa: T201 - before logging is configured
        return 2
    configure(settings.log_level, settings.log_format)
    # Modules and models stay for good: the collector need not walk them again and again.
    gc.collect()
    gc.freeze()
    return uvloop.run(run(settings))


if __name__ == "__main__":
    sys.exit(main())
