"""`mintaka rules`: the rules that decide which state a run enters, in the order in which they are evaluated."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintaka.cli.columns import columns, print_lines
from mintaka.cli.parsing import BadArgument, JsonOption
from mintaka.cli.showing import console, print_json
from mintaka_core.policies import POLICIES, TITLES
from mintaka_core.rule_tables import edge_pairs, edges_text

if TYPE_CHECKING:
    from rich.text import Text

    from mintaka_core.transitions import Policy

group = typer.Typer()


class Output(StrEnum):
    """What to print of each rule."""

    NARROW = "narrow"
    WIDE = "wide"


@group.command(name="list")
def list_rules(
    policy: Annotated[str, typer.Option(help=f"Only this policy: {' or '.join(POLICIES)}.", metavar="POLICY")] = "",
    output: Annotated[Output, typer.Option("--output", "-o", help="wide: also the edges on which each rule may speak.")] = Output.NARROW,
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
