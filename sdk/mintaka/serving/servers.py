"""The local server that served deployments are registered with: one that runs already, or one in this process."""

from __future__ import annotations

import os
from contextlib import ExitStack
from importlib import import_module
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Self

from mintaka.context import CURRENT
from mintaka.exceptions import DeploymentError, MissingContextError
from mintaka.recording.homes import home
from mintaka.server_address import running_server
from mintaka.serving.documents import ServerDocuments

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from mintaka.server_address import ServerAddress

#: How long a server that another process starts may take to answer.
_START_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_PORT = 4200


class Servers:
    """Finds or starts the server of MINTAKA_HOME, again each time one ends. Use it as a context manager."""

    def __init__(self, limit: int | None = None) -> None:
        """`limit`: how many processes a server in this process must be able to run.

        Raises:
            MissingContextError: this process runs a flow run.
            DeploymentError: the environment selects an API other than this machine's server.
        """
        if CURRENT.get() is not None or os.environ.get("MINTAKA_FLOW_RUN_UID"):
            message = "a flow run cannot serve deployments: put serve(…) under `if __name__ == '__main__':`"
            raise MissingContextError(message)
        where = home()
        self._folder: Path = where.folder.absolute()
        self.namespace = where.namespace
        self._limit = limit
        self._stack = ExitStack()
        self._address: ServerAddress | None = None
        #: Whether the server is in this process.
        self.own = False
        self._url = ""
        running = running_server(self._folder)
        if where.api_url and (running is None or running.url != where.api_url):
            message = (
                f"serve(…) registers with the server of this machine, but the environment or the current context selects {where.api_url}: "
                "use flow.deploy(…) for that, or mintaka context use local and unset MINTAKA_API_URL"
            )
            raise DeploymentError(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, traceback)

    def open(self) -> ServerDocuments:
        """The documents of the server that runs now, which is started here if none does.

        Raises:
            DeploymentError: no server runs, and none can be started.
        """
        deadline = monotonic() + _START_SECONDS
        while not self.answers():
            self._address = running_server(self._folder)
            if self._address is not None:
                self._url = self._address.url
            elif not self._started() and monotonic() > deadline:
                message = f"another server has {self._folder}, and does not answer: mintaka server status"
                raise DeploymentError(message)
        return ServerDocuments(self._url)

    def answers(self) -> bool:
        """Whether the server that was opened last still runs."""
        if self.own:
            return True
        return self._address is not None and running_server(self._folder) == self._address

    def line(self) -> str:
        """The address of the server, for the terminal."""
        if self.own:
            return f"served at {self._url}, by this process; Ctrl-C ends it"
        pid = self._address.pid if self._address is not None else 0
        return f"served at {self._url}, by process {pid}, whose environment variables the runs get; Ctrl-C ends it"

    def _started(self) -> bool:
        """Start one in this process; False if another process has just done so."""
        try:
            # Not imported above, because the extra `server` installs its dependencies.
            embedded: Any = import_module("mintaka_api.local.embedded")
            server: Any = import_module("mintaka_api.local.server")
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("mintaka_api."):
                raise
            message = f"a local server needs more than is installed ({error.name}): pip install 'mintaka[server]'"
            raise DeploymentError(message) from error
        settings: dict[str, Any] = {"database_url": os.environ.get("MINTAKA_DATABASE_URL", "")}
        if self._limit and self._limit > (os.cpu_count() or 1):
            settings["max_processes"] = self._limit
        try:
            try:
                url = self._stack.enter_context(embedded.embedded_server(self._folder, port=_PORT, **settings))
            except server.AlreadyRuns:
                raise
            except server.CannotStart:  # perhaps because of the port
                url = self._stack.enter_context(embedded.embedded_server(self._folder, port=0, **settings))
        except server.AlreadyRuns:
            sleep(_LOOK_SECONDS)
            return False
        except server.CannotStart as error:
            message = f"the local server cannot start: {error}"
            raise DeploymentError(message) from error
        self._url, self.own = str(url), True
        return True
