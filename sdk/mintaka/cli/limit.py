"""`mintaka limit`: make, show and delete concurrency limits, of this machine or of an API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintaka.cli.columns import columns, print_lines
from mintaka.cli.parsing import BadArgument, JsonOption
from mintaka.cli.places import EverywhereOption, SharingNamespaceOption, sharing_place, sharing_places
from mintaka.cli.showing import console, print_json

if TYPE_CHECKING:
    from rich.text import Text

    from mintaka.sharing.protocol import Shared, StoredLimit

group = typer.Typer()
Name = Annotated[str, typer.Argument(help="The limit's name.", metavar="NAME")]


@group.command(name="create")
def create_limit(
    name: Name,
    slots: Annotated[int, typer.Option(min=0, help="How many slots there are; 0: nobody gets one.")],
    decay_per_second: Annotated[
        float, typer.Option(min=0, help="A rate: so many slots come back each second by themselves. 0: when they are let go.")
    ] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Change it where it exists; who holds slots keeps them.")] = False,
    namespace: SharingNamespaceOption = None,
    json: JsonOption = False,
) -> None:
    """Make a limit, or change one."""
    place = sharing_place(namespace)
    if not place.put_limit(name, slots, decay_per_second, overwrite=overwrite):
        message = f"limit {name!r} exists already: --overwrite changes it"
        raise BadArgument(message)
    if json:
        print_json(_document(_there(place, name)))


@group.command(name="show")
def show_limit(name: Name, namespace: SharingNamespaceOption = None, json: JsonOption = False) -> None:
    """Show a limit, who holds its slots, and who waits for them."""
    found = _there(sharing_place(namespace), name)
    if json:
        print_json(_document(found))
        return
    print_lines(console(), _table([found]))
    if found.leases:
        rows = [(str(each.slots), f"{each.granted:%H:%M:%S}Z" if each.granted else "waits", each.who) for each in found.leases]
        print_lines(console(), columns(("SLOTS", "SINCE", "WHO"), rows))


@group.command(name="list")
def list_limits(
    prefix: Annotated[str, typer.Argument(help="Only names that begin so.", metavar="PREFIX")] = "",
    namespace: SharingNamespaceOption = None,
    everywhere: EverywhereOption = False,
    json: JsonOption = False,
) -> None:
    """Show limits, by name."""
    found = sharing_places(namespace, everywhere=everywhere).limits(prefix, everywhere=everywhere)
    if json:
        print_json([_document(each) for each in found])
    else:
        print_lines(console(), _table(found, with_namespace=everywhere))


@group.command(name="delete")
def delete_limit(name: Name, namespace: SharingNamespaceOption = None, json: JsonOption = False) -> None:
    """Delete a limit: it holds nobody up any more."""
    place = sharing_place(namespace)
    if not place.remove_limit(name):
        raise BadArgument(_absence(place, name))
    if json:
        print_json({"namespace": place.namespace, "name": name})


def _there(place: Shared, name: str) -> StoredLimit:
    found = place.limit(name)
    if found is None:
        raise BadArgument(_absence(place, name))
    return found


def _absence(place: Shared, name: str) -> str:
    return f"there is no limit {name!r} in {place.place}"


def _table(limits: list[StoredLimit], *, with_namespace: bool = False) -> list[Text]:
    rows = [
        (
            each.namespace,
            each.name,
            str(each.slots),
            f"{each.held:.3g}",
            str(each.waiting),
            f"{each.decay_per_second:g}" if each.decay_per_second else "",
        )
        for each in limits
    ]
    first = 0 if with_namespace else 1
    return columns(("NAMESPACE", "NAME", "SLOTS", "HELD", "WAITING", "PER SECOND")[first:], [row[first:] for row in rows])


def _document(limit: StoredLimit) -> dict[str, Any]:
    leases = [
        {
            "id": each.id,
            "slots": each.slots,
            "who": each.who,
            "asked": each.asked.isoformat(),
            "granted": each.granted.isoformat() if each.granted else None,
            "expires": each.expires.isoformat(),
        }
        for each in limit.leases
    ]
    return {**limit._asdict(), "leases": leases}
