"""Orchestration rules of the server in memory; a watch reports each version, and the newest is read then."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from mintaka_controller.ports import Conflict, Missing, Snapshot
from simulated.events import Event

if TYPE_CHECKING:
    from mintaka_controller.ports import Document, Name
    from mintaka_core.resources import OrchestrationRule, OrchestrationRuleStatus
    from simulated.server import Server

#: What users write in stories; `message` of an end is "exit" or the pod's.
RULES: dict[str, dict[str, Any]] = {
    "freeze": {"then": {"wait": {"seconds": 20}}, "when": "now.getSeconds() < 40", "message": "frozen"},
    "until": {"then": {"wait": {"until": "2030-01-01T00:00:00Z"}}, "message": "until then"},
    "one at a time": {"then": {"wait": {"seconds": 60}}, "when": "'d' in live && 'RUNNING' in live.d", "message": "another one runs"},
    "refused": {"then": {"abort": {}}, "message": "never"},
    "two attempts": {
        "then": {"redirect": {"type": "FAILED", "reason": "AttemptsUsed"}},
        "to": ["FAILED", "CRASHED"],
        "when": "attempt >= 2",
    },
    "delayed": {"then": {"delay": {"seconds": 2}}, "message": "later"},
    "again for ever": {"then": {"delay": {"seconds": 1}}, "from": ["RUNNING", "PENDING"], "message": "again"},
    "always completed": {"then": {"redirect": {"type": "COMPLETED"}}, "from": ["RUNNING"], "to": ["FAILED", "CRASHED"]},
    "never completed": {"then": {"redirect": {"type": "FAILED"}}, "to": ["COMPLETED"]},
    "cancelled": {"then": {"redirect": {"type": "CANCELLED", "reason": "ByRule"}}, "to": ["FAILED"]},
    "broken": {"then": {"abort": {}}, "when": "parameters.missing > 1"},
    "invalid": {"then": {"abort": {}}, "when": "attempt >"},
    "too costly": {
        "then": {"abort": {}},
        "when": "'abcdefgh'.split('').all(a, 'abcdefgh'.split('').all(b, 'abcdefgh'.split('').all(c, a < b + c)))",
    },
}


class StoredRules:
    """Rules by uid."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.by_uid: dict[str, Document] = {}

    def apply(self, key: Name, spec: dict[str, Any]) -> str:
        """Create or replace a rule; return its uid."""
        known = next((rule for rule in self.by_uid.values() if _key(rule) == key), None)
        version = str(self._server.next_version())
        metadata = {
            "namespace": key[0],
            "name": key[1],
            "uid": known["metadata"]["uid"] if known else f"rule-{version}",
            "generation": known["metadata"]["generation"] + 1 if known else 1,
        }
        return self._put({"kind": "OrchestrationRule", "spec": spec, "status": {}, "metadata": {**metadata, "resourceVersion": version}})

    def remove_all(self) -> None:
        """Delete every rule."""
        for uid, rule in list(self.by_uid.items()):
            del self.by_uid[uid]
            self._server.report(Event("rule", _key(rule), uid))

    def snapshots(self) -> list[Snapshot]:
        """Copies of all rules."""
        return [Snapshot(copy.deepcopy(rule)) for rule in self.by_uid.values()]

    def snapshot(self, uid: str) -> Snapshot | None:
        """A copy of the newest version; None if it is gone."""
        return Snapshot(copy.deepcopy(self.by_uid[uid])) if uid in self.by_uid else None

    def write_status(self, rule: OrchestrationRule, status: OrchestrationRuleStatus) -> Document:
        """Replace the status of a rule that still has that version."""
        stored = self.by_uid.get(rule.metadata.uid)
        if stored is None:
            raise Missing(rule.metadata.name)
        if stored["metadata"]["resourceVersion"] != rule.metadata.resource_version:
            raise Conflict(rule.metadata.name)
        metadata = {**stored["metadata"], "resourceVersion": str(self._server.next_version())}
        self._put({**stored, "metadata": metadata, "status": status.to_wire()})
        return copy.deepcopy(self.by_uid[rule.metadata.uid])

    def _put(self, rule: Document) -> str:
        uid = str(rule["metadata"]["uid"])
        self.by_uid[uid] = rule
        self._server.report(Event("rule", _key(rule), uid))
        return uid


def _key(rule: Document) -> Name:
    return rule["metadata"]["namespace"], rule["metadata"]["name"]
