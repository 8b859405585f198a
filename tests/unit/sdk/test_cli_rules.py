"""`mintaka rules dry-run`, `rules explain` and `replay --rules` against a place that answers as an API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import pytest

from command_calls import call_command
from mintaka.cli import replay, rules

if TYPE_CHECKING:
    from pathlib import Path

RULE = """
apiVersion: mintaka.dev/v1alpha1
kind: OrchestrationRule
metadata: {name: freeze}
spec: {to: [PENDING], then: {wait: {seconds: 60}}, message: frozen}
"""
ACCEPTED = {"verdict": "Accept", "state": "PENDING", "rule": "", "reason": ""}
WAITS = {"verdict": "Wait", "state": "SCHEDULED", "rule": "orchestrationrule/freeze", "reason": "frozen"}
ITEM = {"namespace": "team", "name": "run", "sequence": 2, "time": "2026-12-01T00:00:00Z", "recorded": ACCEPTED, "instead": WAITS}
FOUND = {"decisions": 4, "different": 1, "unknown": 2, "items": [ITEM], "errors": {"orchestrationrule/freeze": "no such key: x"}}
STATUS = {"conditions": [{"type": "Accepted", "status": "True"}], "evaluations": 3, "holding": 1}


class Place:
    """Answers, and stores the bodies of dry runs."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    def dry_run_rules(self, body: dict[str, Any]) -> dict[str, Any]:
        self.bodies.append(body)
        return FOUND

    def flow_run(self, _name: str) -> dict[str, Any]:
        return {"uid": "uid-1", "namespace": "team", "created": "2026-12-01T00:00:00Z"}

    def rule(self, name: str) -> dict[str, Any]:
        spec = {"to": ["PENDING"], "then": {"wait": {"seconds": 60}}, "message": "frozen"}
        return {"kind": "OrchestrationRule", "metadata": {"name": name}, "spec": spec, "status": STATUS}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


SHOWN = "Accept → PENDING  Wait → SCHEDULED by orchestrationrule/freeze"
#: Arguments, exit code, and what the user sees.
CALLS: list[tuple[str, int, str]] = [
    ("rules dry-run FILE --since 7d", 0, SHOWN),
    ("rules dry-run FILE", 0, "1 of 4 decisions would have been different"),
    ("rules dry-run FILE", 0, "2 were not judged: their records lack a fact that the rules read"),
    ("rules dry-run FILE", 0, "orchestrationrule/freeze failed: no such key: x"),
    ("rules dry-run FILE --json", 0, '"different": 1'),
    ("rules dry-run FILE --since yesterday", 2, "'yesterday' is not a time: write 12h, 7d, 2w"),
    ("rules dry-run OTHER", 2, "there is no OrchestrationRule or ClusterOrchestrationRule in"),
    ("rules explain freeze", 0, "0 verdicts, 0 errors, 1 holding"),
    ("rules explain freeze", 0, "wait seconds=60"),
    ("rules explain retry_failed", 0, "Mintaka"),
    ("replay run --rules FILE", 0, SHOWN),
    ("replay run --rules OTHER", 2, "there is no OrchestrationRule or ClusterOrchestrationRule in"),
]


@pytest.mark.parametrize(("call", "code", "shown"), CALLS, ids=[f"{row[0]}: {row[2][:30]}" for row in CALLS])
def test_a_user_sees(
    call: str, code: int, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What differs, what was not judged, and why a file cannot be tried."""
    there = Place()
    for module in (rules, replay):
        monkeypatch.setattr(module, "place", lambda **_: there)
    (tmp_path / "rule.yaml").write_text(RULE)
    (tmp_path / "other.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    monkeypatch.setenv("COLUMNS", "200")
    files = {"FILE": str(tmp_path / "rule.yaml"), "OTHER": str(tmp_path / "other.yaml")}
    ended, out, error = call_command(monkeypatch, capsys, *(files.get(word, word) for word in call.split()))
    assert ended == code
    assert shown in out + error
    if call.startswith("replay") and there.bodies:
        assert (there.bodies[0]["run"], there.bodies[0]["namespace"]) == ("uid-1", "team")
