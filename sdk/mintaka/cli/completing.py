"""Completions for TAB: commands, options, their choices, contexts, runs, flow deployments, flows of files.

Called by the shells' functions (`mintaka completion`) as `mintaka __complete SHELL LINE` with the line up to the cursor. Answers
in lines of `word<TAB>description`. It must be quick and never fail: what cannot be looked up is not offered.
"""

from __future__ import annotations

import ast
import json
import os
import shlex
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka.cli import COMMANDS
from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WORDS = Path(__file__).with_name("words.json")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_STATES = ("SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "PAUSED", "CANCELLING", "CANCELLED")
_MANIFESTS = (".yaml", ".yml", ".json")
_MOST = 50
_API_SECONDS = 1.0
#: Where bash breaks words: what stands before the last of them is not part of what it completes.
_BASH_BREAKS = ":="


class Asked(NamedTuple):
    """The place that a command line selects: whether it is a cluster, and the value of --context ("": not given)."""

    cluster: bool
    plugin: bool
    context: str


class Offer(NamedTuple):
    """A word, and what it is."""

    word: str
    told: str = ""


def main(arguments: list[str]) -> None:
    """Answer one TAB."""
    shell, line = arguments
    words = _split(line)
    current = words[-1]
    cut = 0
    if shell == "bash":
        cut = max(current.rfind(mark) for mark in _BASH_BREAKS) + 1
    for offer in sorted(set(offers(words))):
        if offer.word.startswith(current):
            sys.stdout.write(f"{offer.word[cut:]}\t{offer.told}\n")


def _split(line: str) -> list[str]:
    """The words of a command line; the last one is what is being typed ("" after a space)."""
    for unsaid in ("", "'", '"', "\\"):  # the quote that is still to be closed
        with suppress(ValueError):
            words = shlex.split(line + unsaid)
            return [*words, ""] if not unsaid and (not line or line[-1].isspace()) else words
    return [*line.split(), ""]


def offers(words: list[str]) -> Iterator[Offer]:
    """What may stand in the place of the last of `words`; the first is the program."""
    before, current = words[1:-1], words[-1]
    if not before:
        yield from (Offer(name, command.summary) for name, command in COMMANDS.items())
        return
    known: dict[str, Any] = json.loads(_WORDS.read_text(encoding="utf-8"))
    command = known.get(before[0], {})
    rest = before[1:]
    if "commands" in command:
        if not rest:
            yield from (Offer(name, each["summary"]) for name, each in command["commands"].items())
            return
        command, rest = command["commands"].get(rest[0], {}), rest[1:]
    options: dict[str, Any] = command.get("options", {})
    place = _place(words)
    name, equals, value = current.partition("=")
    if equals and name.startswith("--") and name in options:
        yield from (Offer(f"{name}={offer.word}", offer.told) for offer in _values(options[name]["what"], value, place=place))
    elif rest and options.get(rest[-1], {}).get("what") is not None:
        yield from _values(options[rest[-1]]["what"], current, place=place)
    elif current.startswith("-"):
        yield from (Offer(word, option["help"]) for word, option in options.items())
        yield Offer("--help", "Show its help.")
    else:
        arguments: list[Any] = command.get("arguments", [])
        if arguments:
            yield from _values(arguments[min(_position(rest, options), len(arguments) - 1)], current, place=place)


def _place(words: list[str]) -> Asked:
    plugin = Path(words[0]).name.startswith("kubectl-mintaka")
    context = ""
    for word, following in pairwise(words[:-1]):
        if word == "--context":
            context = following
        elif following.startswith("--context="):
            context = following.partition("=")[2]
    return Asked(plugin or "--cluster" in words[1:-1], plugin, context)


def _position(rest: list[str], options: dict[str, Any]) -> int:
    """How many arguments stand in `rest`."""
    found, skipped = 0, False
    for word in rest:
        if skipped:
            skipped = False
        elif word.startswith("-") and len(word) > 1:
            skipped = options.get(word, {}).get("what") is not None
        else:
            found += 1
    return found


def _values(what: str | list[str] | None, current: str, *, place: Asked) -> Iterable[Offer]:
    if isinstance(what, list):
        return [Offer(choice) for choice in what]
    if what == "state":
        return [Offer(state.lower() if current[:1].islower() else state) for state in _STATES]
    if what == "level":
        return [Offer(level.lower() if current[:1].islower() else level) for level in _LEVELS]
    if what == "flow":
        return _flows(current)
    if what == "manifest":
        return [*_flows(current), *_paths(current, _MANIFESTS)]
    if what == "context":
        return _contexts(place)
    if what in ("run", "deployment"):
        return _objects(what, current, place=place)
    named = "deployment/"
    if what == "flow_or_deployment":
        return [*_flows(current), *_deployments(current, named, place)]
    if what == "object":
        return [*_objects("run", current, place=place), *_deployments(current, named, place)]
    return ()


def _deployments(current: str, before: str, place: Asked) -> Iterator[Offer]:
    """`deployment/NAME`; only the prefix until the user starts to type the name."""
    if not current.startswith(before):
        yield Offer(before)
        return
    for offer in _objects("deployment", current.removeprefix(before), place=place):
        yield Offer(before + offer.word, offer.told)


def _contexts(place: Asked) -> Iterator[Offer]:
    """The contexts of Mintaka; for the plug-in, those of kubectl."""
    if place.plugin:
        from mintaka.cli.kubectl import kubectl  # noqa: PLC0415 - start-up time

        with suppress(MintakaError, OSError):
            yield from (Offer(name) for name in kubectl("config", "get-contexts", "--output", "name", seconds=2.0).split())
        return
    from mintaka.recording.contexts import contexts  # noqa: PLC0415 - start-up time
    from mintaka.recording.data_folder import data_folder  # noqa: PLC0415

    with suppress(MintakaError):
        for name, context in contexts(data_folder()).known.items():
            yield Offer(name, context.server or (context.cluster if context.cluster is not None else "this machine"))


def _flows(current: str) -> Iterator[Offer]:
    """`file.py:flow` for the flows of the files that match, and folders."""
    place, colon, _ = current.partition(".py:")
    files = [Path(place + ".py")] if colon else [Path(offer.word) for offer in _paths(current, (".py",)) if offer.word.endswith(".py")]
    for file in files[:_MOST]:
        yield from (Offer(f"{_spelled(file, current)}:{name}", told) for name, told in _flows_in(file))
    if not colon:
        yield from (offer for offer in _paths(current, ()) if offer.word.endswith("/"))


def _spelled(file: Path, current: str) -> str:
    return f"./{file}" if current.startswith("./") else str(file)


def _flows_in(file: Path) -> Iterator[tuple[str, str]]:
    """Name and first line of what is under `@flow`, read but not run."""
    try:
        text = file.expanduser().read_text(encoding="utf-8")
        tree = ast.parse(text) if "flow" in text else None
    except (OSError, ValueError, SyntaxError):
        return
    for node in tree.body if tree else ():
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and any(_is_flow(each) for each in node.decorator_list):
            yield node.name, (ast.get_docstring(node) or "").partition("\n")[0]


def _is_flow(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (isinstance(called, ast.Name) and called.id == "flow") or (isinstance(called, ast.Attribute) and called.attr == "flow")


def _paths(current: str, endings: tuple[str, ...]) -> Iterator[Offer]:
    """Files with these endings, and folders, that begin like `current`."""
    folder, slash, start = current.rpartition("/")
    try:
        there = sorted(Path(folder + slash or ".").expanduser().iterdir())
    except OSError:
        return
    for path in there:
        if path.name.startswith(start) and (start or path.name[0] not in "._"):
            if path.is_dir():
                yield Offer(f"{folder}{slash}{path.name}/")
            elif path.name.endswith(endings) and endings:
                yield Offer(f"{folder}{slash}{path.name}")


def _objects(what: str, current: str, *, place: Asked) -> Iterator[Offer]:
    try:
        yield from _known(what, current, place=place)
    except (MintakaError, OSError, ValueError, KeyError):
        return


def _known(what: str, current: str, *, place: Asked) -> Iterator[Offer]:
    """Runs or flow deployments whose name begins so, from where the commands would look."""
    from mintaka.recording.homes import command_home  # noqa: PLC0415 - start-up time

    named = {} if place.plugin or not place.context else {"MINTAKA_CONTEXT": place.context}
    where = command_home({**os.environ, **named})
    if place.cluster or where.cluster is not None:
        from mintaka.cli.kubectl import kubectl  # noqa: PLC0415 - start-up time

        resource = {"run": "flowruns.mintaka.dev", "deployment": "flowdeployments.mintaka.dev"}[what]
        context = place.context if place.plugin else where.cluster
        options = ["--context", context] if context else []
        names = kubectl("get", resource, "--output", "name", "--request-timeout=1s", *options, seconds=2.0).split()
        yield from (Offer(name.rpartition("/")[2]) for name in names)
    elif where.api_url:
        yield from _of_api(where.api_url, what, current)
    elif where.database is not None and what == "run":
        from mintaka_history.readonly_sqlite import newest_names  # noqa: PLC0415 - start-up time

        for name, uid in newest_names(where.database, current, _MOST):
            yield Offer(name, uid) if name.startswith(current) else Offer(uid, name)


def _of_api(url: str, what: str, current: str) -> Iterator[Offer]:
    from urllib.parse import quote  # noqa: PLC0415 - start-up time
    from urllib.request import Request, urlopen  # noqa: PLC0415 - start-up time: lighter than httpx

    from mintaka.recording.api_access import authorization  # noqa: PLC0415 - start-up time

    kind = {"run": "flow-runs", "deployment": "flow-deployments"}[what]
    asked = f"{url.rstrip('/')}/api/v1/{kind}?limit={_MOST}" + (f"&name={quote(current)}" if current else "")
    if not asked.startswith(("http://", "https://")):
        return
    with urlopen(Request(asked, headers=authorization(url)), timeout=_API_SECONDS) as answered:  # noqa: S310 - http, checked above
        for item in json.load(answered)["items"]:
            yield Offer(item["name"], item.get("uid", ""))
