"""`mintaka variable`: get, set, unset and list variables, of this machine or of an API."""

from __future__ import annotations

import json as standard_json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintaka.cli.columns import columns, print_lines
from mintaka.cli.parsing import BadArgument, JsonOption
from mintaka.cli.places import EverywhereOption, SharingNamespaceOption, sharing_place, sharing_places
from mintaka.cli.showing import console, print_json, shortly

if TYPE_CHECKING:
    from mintaka.sharing.protocol import StoredVariable

group = typer.Typer()
Name = Annotated[str, typer.Argument(help="The variable's name.", metavar="NAME")]


@group.command(name="get")
def get_variable(name: Name, namespace: SharingNamespaceOption = None, json: JsonOption = False) -> None:
    """Print a variable's value: texts as they are, all else as JSON."""
    place = sharing_place(namespace)
    found = place.variable(name)
    if found is None:
        message = f"there is no variable {name!r} in {place.place}"
        raise BadArgument(message)
    if json:
        print_json(_document(found))
    else:
        sys.stdout.write(f"{_text(found.value)}\n")


@group.command(name="set")
def set_variable(
    name: Name,
    value: Annotated[str, typer.Argument(help="Its value: JSON where it can be read so, else text.", metavar="VALUE")],
    tag: Annotated[list[str] | None, typer.Option(help="A tag; repeatable.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Change it where it exists.")] = False,
    namespace: SharingNamespaceOption = None,
    json: JsonOption = False,
) -> None:
    """Make a variable, or change one."""
    try:
        parsed: Any = standard_json.loads(value)
    except ValueError:
        parsed = value
    if not sharing_place(namespace).put_variable(name, parsed, tag or (), overwrite=overwrite):
        message = f"variable {name!r} exists already: --overwrite changes it"
        raise BadArgument(message)
    if json:
        get_variable(name, namespace, json=True)


@group.command(name="unset")
def unset_variable(name: Name, namespace: SharingNamespaceOption = None, json: JsonOption = False) -> None:
    """Delete a variable."""
    place = sharing_place(namespace)
    if not place.remove_variable(name):
        message = f"there is no variable {name!r} in {place.place}"
        raise BadArgument(message)
    if json:
        print_json({"namespace": place.namespace, "name": name})


@group.command(name="list")
def list_variables(
    prefix: Annotated[str, typer.Argument(help="Only names that begin so.", metavar="PREFIX")] = "",
    namespace: SharingNamespaceOption = None,
    everywhere: EverywhereOption = False,
    json: JsonOption = False,
) -> None:
    """Show variables, by name."""
    found = sharing_places(namespace, everywhere=everywhere).variables(prefix, everywhere=everywhere)
    if json:
        print_json([_document(each) for each in found])
        return
    rows = [
        (each.namespace, each.name, shortly(_text(each.value)), ",".join(each.tags), f"{each.updated:%Y-%m-%d %H:%M:%S}Z") for each in found
    ]
    first = 0 if everywhere else 1
    print_lines(console(), columns(("NAMESPACE", "NAME", "VALUE", "TAGS", "UPDATED")[first:], [row[first:] for row in rows]))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else standard_json.dumps(value, ensure_ascii=False)


def _document(variable: StoredVariable) -> dict[str, Any]:
    instants = {"created": variable.created.isoformat(), "updated": variable.updated.isoformat()}
    return {"namespace": variable.namespace, "name": variable.name, "value": variable.value, "tags": variable.tags, **instants}
