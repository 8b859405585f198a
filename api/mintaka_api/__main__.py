"""`python -m mintaka_api`: serve the API."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any, cast

from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mintaka_api.settings import Settings


def main() -> int:
    """Serve until stopped; return the exit code."""
    gc.disable()
    # FastAPI checks each annotation for pydantic 1 models and would import all of pydantic 1 to do so.
    cast("dict[str, Any]", sys.modules).setdefault("pydantic.v1", None)
    import uvicorn  # noqa: PLC0415 - after the two lines above, which make starting faster

    from mintaka_api import json_logging  # noqa: PLC0415
    from mintaka_api.app import create_app  # noqa: PLC0415
    from mintaka_api.settings import from_command_line  # noqa: PLC0415

    try:
        settings = from_command_line(sys.argv[1:], os.environ)
        json_logging.configure(settings.log_level)
        app = _cluster_app(settings) if settings.mirror else create_app(settings)
    except MintakaError as error:
        sys.stderr.write(f"mintaka_api: {error}\n")
        return 2
    gc.collect()
    gc.freeze()
    gc.enable()
    uvicorn.run(
        app, host=settings.host, port=settings.port, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=10
    )
    return 0


def _cluster_app(settings: Settings) -> FastAPI:
    from mintaka_api.kubernetes_services import create_cluster_app  # noqa: PLC0415 - start-up time: not without a cluster

    return create_cluster_app(settings)


if __name__ == "__main__":
    sys.exit(main())
