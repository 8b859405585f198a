"""What rules of users cost: 50 of them per transition, and a dry run over 100,000 recorded decisions.

    python benchmarks/rules.py [--decisions 100000]

Transitions are starts, to which all 50 rules apply; `alone` is the policy without them. The decisions are those of runs with five
transitions each (one of them a retry) in a SQLite file; of the rules that are tried, one waits in some hours, one ends runs by message.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert

from mintaka_core.policies import FLOW_RUN_POLICY, with_rules_of_users
from mintaka_core.resources.orchestration_rules import OrchestrationRuleSpec
from mintaka_core.states import PENDING, SCHEDULED, State
from mintaka_core.transitions import Transition, decide
from mintaka_core.user_rules import RunFacts, UserRule, bind, compile_rule, select
from mintaka_history.database import Database
from mintaka_history.enum_codes import NameKind, RunKind
from mintaka_history.migrating import migrate
from mintaka_history.queries.names import Names
from mintaka_history.rule_dry_runs import Selection, dry_run
from mintaka_history.tables import flow_run_transitions, flow_runs, names
from mintaka_validation.rule_expressions import RuleExpressions

if TYPE_CHECKING:
    from mintaka_core.transitions import Policy

_RULES, _ROUNDS = 50, 2000
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_SCHEDULED, _PENDING, _RUNNING, _COMPLETED, _FAILED = 1, 2, 3, 4, 5
_CONDITIONS = (
    "now.getHours('Europe/Berlin') > 24",
    "'load' in live && 'RUNNING' in live.load",
    "message.contains('credentials')",
    "tags.exists(tag, tag == 'expensive') && attempt > 3",
    "parameters.region == 'us' && failures + crashes > 2",
)
_EXPRESSIONS = RuleExpressions()


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=100_000)
    arguments = parser.parse_args()
    print(json.dumps({"microseconds": transition_times()}, indent=2))
    print(json.dumps(dry_run_figures(arguments.decisions), indent=2))


def compiled(name: str, **spec: Any) -> UserRule:
    """A rule of the cluster."""
    return compile_rule("ClusterOrchestrationRule", "", name, OrchestrationRuleSpec.model_validate(spec), _EXPRESSIONS)


def transition_times() -> dict[str, float]:
    """Processor time per transition, with the rules bound to the run as in each pass."""
    rules = [compiled(f"r{n}", when=_CONDITIONS[n % len(_CONDITIONS)], then={"abort": {}}) for n in range(_RULES)]
    parameters = {"region": "eu", "days": list(range(20)), "path": "s3://bucket/some/path"}
    run = RunFacts("team", "etl-1", "etl", {}, ("nightly", "eu"), lambda: parameters)
    transition = Transition(State(SCHEDULED, time=_BEGIN), State(PENDING), _BEGIN, live={"load": {"SCHEDULED": 3}, "etl": {"RUNNING": 1}})
    alone = _microseconds(lambda: decide(FLOW_RUN_POLICY, transition))
    with_rules = _microseconds(lambda: decide(_policy(rules, run), transition))
    return {"alone": alone, f"with {_RULES} rules": with_rules, "difference": with_rules - alone}


def _policy(rules: list[UserRule], run: RunFacts) -> Policy:
    return with_rules_of_users(bind(select(rules, run), run, _EXPRESSIONS, {}))


def _microseconds(work: Any) -> float:
    work()
    started = time.process_time()
    for _ in range(_ROUNDS):
        work()
    return round((time.process_time() - started) / _ROUNDS * 1e6, 1)


def dry_run_figures(decisions: int) -> dict[str, Any]:
    """Seconds of a dry run, and what it found."""
    rules = [
        compiled("nights", to=["PENDING"], when="now.getHours('Europe/Berlin') < 6", then={"wait": {"seconds": 600}}),
        compiled("message", to=["FAILED"], when="message.contains('credentials')", then={"redirect": {"type": "FAILED"}}),
    ]
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/mintaka.db")
        migrate(database)
        _fill(database, decisions // 5)
        started, worked = time.perf_counter(), time.process_time()
        found = dry_run(database, Names(), rules, _EXPRESSIONS, Selection(_BEGIN))
        seconds, worked = time.perf_counter() - started, time.process_time() - worked
        database.dispose()
    times = {"seconds": round(seconds, 2), "seconds of processor time": round(worked, 2)}
    return times | {"decisions": found.decisions, "different": found.different, "unknown": found.unknown}


def _fill(database: Database, runs: int) -> None:
    begin = int(_BEGIN.timestamp() * 1e6)
    step = int(timedelta(minutes=1) / timedelta(microseconds=1))
    with database.writing() as connection:
        connection.execute(
            insert(names),
            [
                {"id": 1, "kind": int(NameKind.NAMESPACE), "value": "team", "used": 1},
                {"id": 2, "kind": int(NameKind.DEPLOYMENT), "value": "etl", "used": 1},
            ],
        )
        for first in range(0, runs, 5000):
            numbers = range(first, min(first + 5000, runs))
            connection.execute(insert(flow_runs), [_run(number, begin + number * step) for number in numbers])
            rows = [row for number in numbers for row in _transitions(number, begin + number * step)]
            connection.execute(insert(flow_run_transitions), rows)


def _run(number: int, created: int) -> dict[str, Any]:
    return {
        "no": number + 1,
        "uid": f"00000000-0000-4000-8000-{number:012x}",
        "created": created,
        "ns": 1,
        "deployment": 2,
        "state": _COMPLETED,
        "kind": int(RunKind.DEPLOYED),
        "name": f"etl-{number}",
        "tags": '["nightly"]',
        "parameters": '{"region":"eu"}',
    }


def _transitions(number: int, created: int) -> list[dict[str, Any]]:
    message = "invalid credentials" if number % 10 == 0 else "timeout"
    facts = json.dumps({"proposed": {"reason": "E", "message": message}, "retries": {"onFailure": {"limit": 1}}})
    rows: list[tuple[int, int | None, int, int, str | None, str | None, str | None]] = [
        (1, None, _SCHEDULED, _SCHEDULED, None, None, None),
        (2, _SCHEDULED, _PENDING, _PENDING, None, None, None),
        (3, _PENDING, _RUNNING, _RUNNING, None, None, None),
        (4, _RUNNING, _SCHEDULED, _FAILED, "retry_failed", "Redirect", facts),
        (5, _SCHEDULED, _PENDING, _PENDING, None, None, '{"failures":1}'),
    ]
    return [
        {
            "flow_run": number + 1,
            "at": created + seq * 1_000_000,
            "seq": seq,
            "attempt": 2 if seq == 5 else min(seq - 1, 1),
            "from_state": before,
            "to_state": to,
            "proposed": proposed,
            "rule": rule,
            "verdict": verdict or "Accept",
            "facts": facts_of,
        }
        for seq, before, to, proposed, rule, verdict, facts_of in rows
    ]


if __name__ == "__main__":
    main()
