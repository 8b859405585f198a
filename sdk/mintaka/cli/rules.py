"""`mintaka rules`: the rules that decide which state a run enters, in their order; explained, and tried on recorded decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintaka.cli.columns import columns, print_lines
from mintaka.cli.manifest_files import Manifests
from mintaka.cli.parsing import BadArgument, JsonOption
from mintaka.cli.places import ClusterOption, NamespaceOption, place
from mintaka.cli.rule_dry_runs import dry_run_of, rule_documents
from mintaka.cli.showing import console, print_json
from mintaka_core.policies import POLICIES, TITLES
from mintaka_core.rule_tables import edge_pairs, edges_text

if TYPE_CHECKING:
    from rich.text import Text

    from mintaka_core.transitions import Policy, Rule

group = typer.Typer()
_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
_SHOWN = 100


class Output(StrEnum):
    """What to print of each rule."""

    NARROW = "narrow"
    WIDE = "wide"


@group.command(name="list")
def list_rules(
    policy: Annotated[str, typer.Option(help=f"Only this policy: {' or '.join(POLICIES)}.", metavar="POLICY")] = "",
    output: Annotated[Output, typer.Option("--output", "-o", help="wide: also the edges to which each rule may apply.")] = Output.NARROW,
    json: JsonOption = False,
) -> None:
    """Show the rules of both policies in the order of evaluation, each with its sentence."""
    if policy and policy not in POLICIES:
        message = f"there is no policy {policy!r}: use one of {', '.join(POLICIES)}"
        raise BadArgument(message)
    chosen = {name: rules for name, rules in POLICIES.items() if policy in ("", name)}
    if json:
        print_json([_document(name, rules) for name, rules in chosen.items()])
        return
    out = console()
    for number, (name, rules) in enumerate(chosen.items()):
        if number:
            out.print()
        out.print(f"{name}: {TITLES[name]}")
        print_lines(out, _table(rules, wide=output is Output.WIDE))


def _table(policy: Policy, *, wide: bool) -> list[Text]:
    titles = ("#", "RULE", "SENTENCE", *(("EDGES",) if wide else ()))
    rows = [(str(number), rule.name, rule.sentence, *((edges_text(rule.edges),) if wide else ())) for number, rule in enumerate(policy, 1)]
    return columns(titles, rows)


def _document(name: str, policy: Policy) -> dict[str, Any]:
    rules = [
        {"number": number, "name": rule.name, "sentence": rule.sentence, "edges": edge_pairs(rule.edges)}
        for number, rule in enumerate(policy, 1)
    ]
    return {"policy": name, "title": TITLES[name], "rules": rules}


@group.command(name="dry-run")
def dry_run_rules(
    file: Annotated[str, typer.Argument(help="A file or folder with rules.", metavar="FILE")],
    since: Annotated[str, typer.Option(metavar="TIME", help="Flow runs created since then: 12h, 7d, 2w, or a time in RFC 3339.")] = "7d",
    json: JsonOption = False,
    namespace: NamespaceOption = None,
    cluster: ClusterOption = False,
) -> None:
    """Show which recorded decisions would have been different with the rules of a file; nothing is changed."""
    documents = rule_documents(Manifests(file))
    with place(cluster=cluster, namespace=namespace) as there:
        found = dry_run_of(there, documents, _since(since, datetime.now(UTC)), namespace=namespace or "", shown=_SHOWN)
    if json:
        print_json(found)
        return
    print_differences(found)


@group.command(name="explain")
def explain_rule(
    name: Annotated[str, typer.Argument(help="A rule: retry_failed, or of your own as KIND/NAME or NAME.", metavar="NAME")],
    json: JsonOption = False,
    namespace: NamespaceOption = None,
    cluster: ClusterOption = False,
) -> None:
    """Show the sentence of a rule, the transitions to which it may apply, and what it did."""
    known = next((rule for policy in POLICIES.values() for rule in policy if rule.name == name), None)
    if known is not None:
        document = _built_in(known)
    else:
        with place(cluster=cluster, namespace=namespace) as there:
            document = _of_user(there.rule(name))
    if json:
        print_json(document)
        return
    width = max(map(len, document))
    for label, value in document.items():
        console().print(f"{label:<{width}}  {value}", markup=False)


def print_differences(found: dict[str, Any]) -> None:
    """Print the result of a dry run as text."""
    rows = [
        (
            f"{item['namespace']}/{item['name']}",
            str(item["sequence"]),
            item["time"][:19] + "Z",
            _shown(item["recorded"]),
            _shown(item["instead"]),
        )
        for item in found["items"]
    ]
    if rows:
        print_lines(console(), columns(("FLOW RUN", "NO", "TIME", "RECORDED", "INSTEAD"), rows))
    if (more := found["different"] - len(rows)) > 0:
        console().print(f"… and {more} more", markup=False)
    console().print(f"{found['different']} of {found['decisions']} decisions would have been different", markup=False)
    if found["unknown"]:
        console().print(f"{found['unknown']} were not judged: their records lack a fact that the rules read", markup=False)
    for rule, error in found["errors"].items():
        console().print(f"{rule} failed: {error}", markup=False)


def _shown(outcome: dict[str, Any]) -> str:
    rule = f" by {outcome['rule']}" if outcome["rule"] else ""
    return f"{outcome['verdict']} → {outcome['state']}{rule}"


def _since(text: str, now: datetime) -> datetime:
    """The time that `text` denotes: an age, or an instant."""
    if text[-1:] in _UNITS and text[:-1].isdecimal() and len(text) < 7:  # noqa: PLR2004 - years are enough
        return now - timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"--since: {text!r} is not a time: write 12h, 7d, 2w, or 2026-12-01T00:00:00Z"
        raise BadArgument(message) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _built_in(rule: Rule) -> dict[str, Any]:
    return {"rule": rule.name, "says": rule.sentence, "about": edges_text(rule.edges), "by": "Mintaka"}


def _of_user(document: dict[str, Any]) -> dict[str, Any]:
    spec, status, metadata = document["spec"], document.get("status") or {}, document["metadata"]
    action = next(iter(spec["then"]), "")
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    problem = next((conditions[kind] for kind in ("Invalid",) if conditions.get(kind, {}).get("status") == "True"), None)
    failed = conditions.get("Evaluating", {})
    return {
        "rule": f"{document['kind'].lower()}/{metadata['name']}",
        "says": spec.get("message") or "(no message)",
        "about": f"{', '.join(spec.get('from') or ('any',))} → {', '.join(spec.get('to') or ('any',))}",
        "selects": _selection(spec.get("selector") or {}),
        "when": spec.get("when", "true"),
        "then": f"{action} {_details(spec['then'].get(action))}".strip(),
        "accepted": conditions.get("Accepted", {}).get("status", "not yet"),
        **({"invalid": problem["message"]} if problem else {}),
        **({"last error": failed["message"]} if failed.get("status") == "False" else {}),
        "counts": ", ".join(f"{status.get(name, 0)} {name}" for name in ("evaluations", "verdicts", "errors", "holding")),
    }


def _selection(selector: dict[str, Any]) -> str:
    parts = [
        f"deployments {', '.join(selector['deployments'])}" if selector.get("deployments") else "",
        f"labels {_details(selector['matchLabels'])}" if selector.get("matchLabels") else "",
        f"tags {', '.join(selector['tags'])}" if selector.get("tags") else "",
    ]
    return "; ".join(filter(None, parts)) or "every flow run"


def _details(value: Any) -> str:
    return ", ".join(f"{name}={part}" for name, part in value.items()) if isinstance(value, dict) else ""
