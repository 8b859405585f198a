"""What exists on the local server, without contents: the controller's port `Inventory`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mintaka_controller.ports import Listed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mintaka_api.local.document_store import DocumentStore
    from mintaka_controller.ports import Name

_KINDS = {"run": "FlowRun", "deployment": "FlowDeployment"}
_PAGE = 1000


class ListsWorkloads(Protocol):
    """The workloads, as far as they are needed here."""

    def list_versions(self) -> Sequence[Listed]:
        """Every workload with its version."""


class LocalInventory:
    """Lists documents of the store, and the workloads of this machine."""

    def __init__(self, store: DocumentStore, workloads: ListsWorkloads) -> None:
        self._store = store
        self._workloads = workloads

    async def list_versions(self, kind: str) -> AsyncIterator[list[Listed]]:
        """Every object of a kind with its version, page by page."""
        if kind == "workload":
            yield list(self._workloads.list_versions())
            return
        after: Name | None = None
        while page := await self._store.list_versions(_KINDS[kind], after=after, limit=_PAGE):
            yield [Listed((namespace, name), version) for namespace, name, version in page]
            after = page[-1][:2]

    async def list_strays(self) -> AsyncIterator[list[Listed]]:
        """None: a process has no label that another tool could remove."""
        nothing: list[Listed] = []
        yield nothing
