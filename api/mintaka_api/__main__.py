"""`python -m mintaka_api`: serve the API."""

from __future__ import annotations

import os
import sys

import uvicorn

from mintaka_api import json_logging
from mintaka_api.app import create_app
from mintaka_api.settings import from_command_line
from mintaka_core.errors import MintakaError


def main() -> int:
    """Serve until told to stop; returns the exit code."""
    try:
        settings = from_command_line(sys.argv[1:], os.environ)
        json_logging.configure(settings.log_level)
        app = create_app(settings)
    except MintakaError as error:
        sys.stderr.write(f"mintaka_api: {error}\n")
        return 2
    uvicorn.run(
        app, host=settings.host, port=settings.port, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=10
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
