"""This machine's history file, without a server: runs of scripts, and no deployments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from mintaka.cli.parsing import BadArgument
from mintaka.cli.waiting import answered_here
from mintaka.engine.cancelling import cancel
from mintaka.histories import of_a_script
from mintaka.recording.local_history import LocalHistory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mintaka.cli.manifest_files import Manifests
    from mintaka.cli.places import NewRun
    from mintaka.histories import Document
    from mintaka_core.planning import Candidate


class FilePlace(LocalHistory):
    """The file `path`; see `mintaka.cli.places.Place`."""

    pause_seconds = 0.5

    def __init__(self, path: Path, namespace: str | None = None) -> None:
        """Open the file as `LocalHistory` does."""
        super().__init__(path, namespace)
        self._path = path

    def stop(self, run: Document, action: str) -> None:
        """Signal its process; here only the flow itself can suspend the run."""
        _require_script(run)
        stop_script(self._path, run, action)

    def resume(self, run: Document, value: Any, *, given: bool) -> bool:
        """Send the answer if the run waits for one."""
        _require_script(run)
        return answered_here(self._path, run, value, given=given)

    def deployments(self, *, name: str | None = None, tags: Sequence[str] = (), limit: int = 50) -> list[Document]:
        """Refuse: a file has no deployments."""
        del name, tags, limit
        _need_server("there are no flow deployments")

    def deployment(self, name: str) -> Document:
        """Refuse: a file has no deployments."""
        _need_server(f"there is no flow deployment {name}")

    def apply(self, manifests: Manifests, *, dry_run: bool, as_json: bool) -> str:
        """Refuse: this needs a server."""
        del dry_run, as_json
        _need_server(f"{manifests.shown} is not applied")

    def preview(self, manifests: Manifests) -> list[Candidate]:
        """Refuse: this needs a server."""
        _need_server(f"{manifests.shown} cannot be tried")

    def dry_run_rules(self, body: Document) -> Document:
        """Refuse: rules are about runs of deployments."""
        del body
        _need_server("there are no decisions about runs of deployments")

    def rule(self, name: str) -> Document:
        """Refuse: a file has no rules."""
        _need_server(f"there is no orchestration rule {name}")

    def create_run(self, deployment: str, run: NewRun) -> Document:
        """Refuse: this needs a server."""
        del run
        _need_server(f"no run of {deployment} is created")

    def create_from_template(self, manifest: Document, run: NewRun) -> Document:
        """Refuse: this needs a server."""
        del run
        _need_server(f"no run of {manifest['metadata']['name']} is created")

    def delete_deployment(self, name: str) -> Document:
        """Refuse: a file has no deployments."""
        _need_server(f"there is no flow deployment {name}")

    def delete_run(self, run: Document) -> None:
        """Refuse: runs of scripts are deleted by age only."""
        _require_script(run)
        message = f"{run['name']} belongs to a script: mintaka retention --days N deletes such runs by age"
        raise BadArgument(message)


def stop_script(database: Path, run: Document, action: str) -> None:
    """Signal the process of this machine that runs a script's `run`.

    Raises:
        BadArgument: `action` is not to cancel.
        NotCancellable: the process cannot be signalled.
    """
    if action != "cancel":
        message = (
            f"{run['name']} runs on this machine, in a process of its own: no other process can {action} it; "
            "mintaka cancel ends it, and mintaka resume starts it again if results are persisted"
        )
        raise BadArgument(message)
    cancel(database, run["uid"])


def _require_script(run: Document) -> None:
    if not of_a_script(run):
        message = f"{run['name']} belongs to the server of this machine, which does not run: mintaka server start"
        raise BadArgument(message)


def _need_server(what: str) -> NoReturn:
    message = (
        f"{what}: no server runs on this machine. Start one (mintaka server start), choose another place (mintaka context list), "
        "or use --cluster for that of kubectl's context"
    )
    raise BadArgument(message)
