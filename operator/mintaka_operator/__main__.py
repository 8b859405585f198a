"""`python -m mintaka_operator`: one replica of the operator, configured by `MINTAKA_*` variables."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import uvloop

from mintaka_operator.logs import configure
from mintaka_operator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def _without_clients() -> Iterator[None]:
    """Hide the Kubernetes clients from kopf, which imports them to get credentials: it gets ours, and they would take 35 MiB.

    Outside of a pod the official one is imported later, to read a kubeconfig.
    """
    modules = cast("dict[str, Any]", sys.modules)
    hidden = [client for client in ("kubernetes", "kubernetes_asyncio", "pykube") if modules.setdefault(client, None) is None]
    yield
    for client in hidden:
        del modules[client]


def main() -> int:
    """Run until stopped; return the exit code."""
    with _without_clients():
        from mintaka_operator.replica import run  # noqa: PLC0415 - imports kopf

    try:
        settings = Settings.from_environment()
    except ValueError as error:
        print(f"mintaka_operator: {error}", file=sys.stderr)  # noqa: T201 - before logging is configured
        return 2
    configure(settings.log_level, settings.log_format)
    # Modules and models live until the process ends: the collector need not traverse them again and again.
    gc.collect()
    gc.freeze()
    return uvloop.run(run(settings))


if __name__ == "__main__":
    sys.exit(main())
