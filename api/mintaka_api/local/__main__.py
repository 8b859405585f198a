"""`python -m mintaka_api.local`: the local server, until SIGTERM or Ctrl-C. `mintaka server start` is its command.

Exit codes: 0 it was stopped; 2 it cannot start; 3 another server runs on the home folder or the database.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, cast

from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from mintaka_api.local.server import LocalServer

#: Settings of the server that its flows must not inherit.
_SECRETS = ("MINTAKA_DATABASE_URL", "MINTAKA_DATABASE_PASSWORD")


def main() -> int:
    """Serve until stopped; return the exit code."""
    gc.disable()
    # FastAPI checks each annotation for pydantic 1 models and would import all of pydantic 1 to do so.
    cast("dict[str, Any]", sys.modules).setdefault("pydantic.v1", None)
    from mintaka_api.local import console_logging  # noqa: PLC0415 - after the two lines above, which make starting faster
    from mintaka_api.local.server import LocalServer  # noqa: PLC0415 - likewise
    from mintaka_api.local.settings import from_command_line  # noqa: PLC0415 - likewise

    try:
        settings = from_command_line(sys.argv[1:], os.environ)
        console_logging.configure(settings.log_level)
        server = LocalServer(settings)
    except MintakaError as error:
        return _fail(error)
    for name in _SECRETS:
        os.environ.pop(name, None)
    gc.collect()
    gc.freeze()
    gc.enable()
    try:
        _runner()(_serve(server))
    except MintakaError as error:
        return _fail(error)
    finally:
        server.release()
    return 0


async def _serve(server: LocalServer) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def ready() -> None:
        logging.getLogger("mintaka.server").info("Mintaka serves %s (pid %d); Ctrl-C stops it", server.url, os.getpid())
        logging.getLogger("mintaka.server").info("in a browser, once and within a minute: %s", server.create().url)

    await server.serve(stop, ready)
    logging.getLogger("mintaka.server").info("stopped")


def _runner() -> Any:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run
    return uvloop.run


def _fail(error: MintakaError) -> int:
    sys.stderr.write(f"mintaka server: {error}\n")
    return getattr(error, "exit_code", 2)


if __name__ == "__main__":
    sys.exit(main())
