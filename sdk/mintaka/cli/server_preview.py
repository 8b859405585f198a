"""The result of applying documents to a local server: a dry run of all, and again without those that are refused."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mintaka.histories import FlowRunNotFound
from mintaka.recording.remote_history import ApiRefusal
from mintaka_core.planning import Candidate, PlannedRun
from mintaka_core.states import StateType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mintaka.histories import Document
    from mintaka.recording.remote_history import RemoteHistory

_UNFINISHED = [str(kind) for kind in StateType if not kind.is_terminal]
_PAGE, _RUNS = 200, 1000


class ServerPreview:
    """Dry runs at the server of `history`; `errors_of` gives the messages of a refusal by the position of the document."""

    def __init__(self, history: RemoteHistory, errors_of: Callable[[ApiRefusal], Mapping[int, Sequence[str]]]) -> None:
        self._history = history
        self._errors_of = errors_of

    def candidates(self, documents: Sequence[Document]) -> list[Candidate]:
        """The result for each of these documents. Raises HistoryError."""
        generated = [index for index, document in enumerate(documents) if not document["metadata"].get("name")]
        pending = [index for index in range(len(documents)) if index not in generated]
        planned: dict[int, Document] = {}
        refusals: dict[int, str] = {}
        while pending:
            try:
                answer = self._history.request("PUT", "/documents", {"documents": [documents[index] for index in pending], "dry_run": True})
            except ApiRefusal as refusal:
                wrong = {pending[place]: texts for place, texts in self._errors_of(refusal).items() if 0 <= place < len(pending)}
                if not wrong:
                    raise
                refusals |= {index: "; ".join(texts) for index, texts in wrong.items()}
                pending = [index for index in pending if index not in wrong]
            else:
                planned |= dict(zip(pending, answer["items"], strict=True))
                break
        for index in generated:
            try:
                created = self._history.request("POST", "/documents", documents[index], dryRun="All")
                planned[index] = {"document": created, "result": "created"}
            except ApiRefusal as refusal:
                refusals[index] = "; ".join(text for texts in self._errors_of(refusal).values() for text in texts) or str(refusal)
        return [self._candidate(document, planned.get(index), refusals.get(index, "")) for index, document in enumerate(documents)]

    def _candidate(self, document: Document, item: Document | None, refusal: str) -> Candidate:
        kind, metadata = document.get("kind", ""), document["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata.get("name") or metadata.get("generateName", "")
        if item is None:
            return Candidate(kind, namespace, name, None, None, refusal)
        if item["result"] == "created":
            return Candidate(kind, namespace, name, None, item["document"])
        live = self._live(kind, namespace, name)
        changed = item["result"] != "unchanged"
        runs = self._unfinished(namespace, name) if kind == "FlowDeployment" and changed else ()
        return Candidate(kind, namespace, name, live, item["document"] if changed else live, changed=changed, runs=runs)

    def _live(self, kind: str, namespace: str, name: str) -> Document | None:
        try:
            return self._history.request("GET", f"/documents/{kind}/{quote(namespace, safe='')}/{quote(name, safe='')}")
        except FlowRunNotFound:  # deleted meanwhile
            return None

    def _unfinished(self, namespace: str, deployment: str) -> list[PlannedRun]:
        query: dict[str, Any] = {"namespace": namespace, "deployment": deployment, "state": _UNFINISHED}
        return [
            PlannedRun(run["name"], run["state"]["type"], run["attempt"], run.get("revision") or "", run["state"]["reason"])
            for run in islice(self._history.pages("/flow-runs", query, _PAGE), _RUNS)
        ]
