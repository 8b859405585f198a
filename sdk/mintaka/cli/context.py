"""`mintaka context`: names for the places where flows are recorded and commands act."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintaka.cli.columns import columns, print_lines
from mintaka.cli.parsing import BadArgument, JsonOption
from mintaka.cli.showing import console, print_json
from mintaka.environment import InvalidEnvironment
from mintaka.recording.contexts import LOCAL, Context, Contexts, checked_url, contexts, write
from mintaka.recording.data_folder import data_folder
from mintaka.recording.homes import command_home

if TYPE_CHECKING:
    from mintaka.recording.homes import Home

group = typer.Typer()
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

Name = Annotated[str, typer.Argument(help="The context's name.", metavar="NAME")]


@group.command(name="list")
def list_contexts(json: JsonOption = False) -> None:
    """List the contexts; a star marks the one in effect."""
    there, meant = contexts(data_folder()), _meant()
    if json:
        print_json([_document(there.known[name], current=name == meant) for name in there.known])
        return
    rows = [("*" if name == meant else "", name, *_described(context)) for name, context in there.known.items()]
    print_lines(console(), columns(("", "NAME", "KIND", "WHERE"), rows))


@group.command(name="show")
def show_context(
    context: Annotated[str | None, typer.Argument(help="A context. Default: the place in effect, and why.", metavar="NAME")] = None,
    json: JsonOption = False,
) -> None:
    """Show what commands act on, and where flows are recorded."""
    if context is not None:
        found = contexts(data_folder()).named(context, "mintaka context show")
        if json:
            print_json(_document(found, current=found.name == _meant()))
        else:
            console().print(f"{found.name}: {' '.join(_described(found))}{_token_words(found)}".rstrip(), markup=False)
        return
    where, why = command_home(), _reason()
    if json:
        print_json({"name": _meant(), "because": why, "place": _place_words(where)})
    else:
        console().print(f"commands: {_place_words(where)} ({why})", markup=False)
        if where.cluster is not None or (where.api_url and where.database is not None):
            console().print(f"flows called on this machine: {where.database or 'not recorded'}", markup=False)


@group.command(name="use")
def use_context(context: Name, json: JsonOption = False) -> None:
    """Make a context the current one."""
    there = contexts(data_folder())
    there.named(context, "mintaka context use")
    write(replace(there, current=context))
    _tell(there.known[context], f"{context} is the current context: {' '.join(_described(there.known[context]))}".rstrip(), json=json)
    if (meant := _meant()) != context:
        sys.stderr.write(f"but {_reason()} takes precedence, so commands use {meant or 'that'}\n")


@group.command(name="add")
def add_context(
    context: Name,
    server: Annotated[str | None, typer.Option(metavar="URL", help="The context is the API at this URL, of a server or a cluster.")] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file with the server's token, read for each request; - reads it from standard input."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="KUBECTL_CONTEXT", help="The context is the cluster of this context of kubectl.")
    ] = None,
    use: Annotated[bool, typer.Option("--use", help="Make it the current context.")] = False,
    replacing: Annotated[bool, typer.Option("--replace", help="Change a context that exists.")] = False,
    json: JsonOption = False,
) -> None:
    """Add a context: a server by its URL, or a cluster."""
    there = contexts(data_folder())
    if not _NAME.fullmatch(context) or context == LOCAL:
        message = f"a context cannot be called {context!r}: {_name_rule(context)}"
        raise BadArgument(message)
    if context in there.known and not replacing:
        message = f"there is a context {context} already: --replace changes it"
        raise BadArgument(message)
    if (server is None) == (cluster is None):
        message = "a context is --server URL or --cluster KUBECTL_CONTEXT: give one of them"
        raise BadArgument(message)
    if cluster is not None and token_file is not None:
        message = "--token-file requires --server: requests to a cluster use kubectl's credentials"
        raise BadArgument(message)
    added = Context(context, cluster=_known_to_kubectl(cluster)) if cluster is not None else _of_server(context, server or "", token_file)
    write(replace(there, current=context if use else there.current, known={**there.known, context: added}))
    _tell(added, f"{context}: {' '.join(_described(added))}", json=json)
    if not use:
        sys.stderr.write(f"mintaka context use {context} makes it the current context\n")


@group.command(name="remove")
def remove_context(context: Name, json: JsonOption = False) -> None:
    """Remove a context; the server or cluster behind it does not change."""
    there = contexts(data_folder())
    if context == LOCAL:
        message = f"{LOCAL} is this machine: it cannot be removed"
        raise BadArgument(message)
    removed = there.named(context, "mintaka context remove")
    known = {name: each for name, each in there.known.items() if name != context}
    write(Contexts(there.path, "" if there.current == context else there.current, known))
    _tell(removed, f"{context} is removed", json=json)


def _tell(context: Context, words: str, *, json: bool) -> None:
    if json:
        print_json(_document(context, current=context.name == _meant()))
    else:
        console().print(words, markup=False)


def _of_server(name: str, url: str, token_file: Path | None) -> Context:
    try:
        server = checked_url(url, "--server")
    except InvalidEnvironment as error:
        raise BadArgument(str(error)) from error
    if token_file is None:
        return Context(name, server=server)
    if str(token_file) == "-":
        return Context(name, server=server, token=sys.stdin.readline().strip())
    if not token_file.expanduser().is_file():
        message = f"there is no file {token_file}: --token-file takes a file with the server's token, or - for standard input"
        raise BadArgument(message)
    return Context(name, server=server, token_file=str(token_file.expanduser().absolute()))


def _known_to_kubectl(cluster: str) -> str:
    """`cluster`, if kubectl has such a context, or "" for its current one."""
    from mintaka.cli.kubectl import kubectl  # noqa: PLC0415 - start-up time

    names = kubectl("config", "get-contexts", "--output", "name").split()
    if cluster and cluster not in names:
        message = f"kubectl has no context {cluster!r}: use one of {', '.join(names) or 'none'}"
        raise BadArgument(message)
    return cluster


def _meant() -> str:
    """The name of the context in effect; "" if a variable selects another place."""
    found = contexts(data_folder()).chosen(_variables())
    if found is not None:
        return found.name
    return "" if "MINTAKA_API_URL" in _variables() else LOCAL


def _reason() -> str:
    variables = _variables()
    if name := variables.get("MINTAKA_CONTEXT"):
        return f"MINTAKA_CONTEXT={name}"
    if "MINTAKA_API_URL" in variables:
        return "MINTAKA_API_URL"
    current = contexts(data_folder()).current
    return f"the current context, {current}" if current else "no context is chosen"


def _variables() -> dict[str, str]:
    return {name: os.environ[name] for name in ("MINTAKA_CONTEXT", "MINTAKA_API_URL") if os.environ.get(name)}


def _place_words(where: Home) -> str:
    if where.cluster is not None:
        return f"the cluster of kubectl's context {where.cluster}" if where.cluster else "the cluster of kubectl's current context"
    if where.api_url:
        return f"the server of this machine at {where.api_url}" if where.database is not None else f"the API at {where.api_url}"
    return f"the history file {where.database}" if where.database is not None else "nothing (MINTAKA_HISTORY=off)"


def _described(context: Context) -> tuple[str, str]:
    if context.server:
        return "server", context.server
    if context.cluster is not None:
        return "cluster", context.cluster or "(kubectl's current context)"
    return "this machine", ""


def _token_words(context: Context) -> str:
    if context.token_file:
        return f", token in {context.token_file}"
    return ", with a token" if context.token else ""


def _document(context: Context, *, current: bool) -> dict[str, Any]:
    """For programs; without the token."""
    kind = "server" if context.server else "cluster" if context.cluster is not None else "local"
    members = {"server": context.server or None, "cluster": context.cluster, "token_file": context.token_file or None}
    return {"name": context.name, "kind": kind, "current": current, **{name: value for name, value in members.items() if value is not None}}


def _name_rule(name: str) -> str:
    return "that is this machine" if name == LOCAL else "use letters, digits, and . _ - after the first"
