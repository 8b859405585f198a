"""What a TAB offers: commands, options, their choices, runs, flow deployments, flows of files.

Called by the shells' functions (`mintaka completion`) as `mintaka __complete SHELL LINE` with the line up to the cursor. Answers
in lines of `word<TAB>description`. It must be quick and never fail: what cannot be looked up is not offered.
"""

from __future__ import annotations

import ast
import json
import shlex
import sys
from contextlib import suppress
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
    kubernetes = Path(words[0]).name.startswith("kubectl-mintaka") or "--cluster" in before
    name, equals, value = current.partition("=")
    if equals and name.startswith("--") and name in options:
        yield from (Offer(f"{name}={offer.word}", offer.told) for offer in _values(options[name]["what"], value, kubernetes=kubernetes))
    elif rest and options.get(rest[-1], {}).get("what") is not None:
        yield from _values(options[rest[-1]]["what"], current, kubernetes=kubernetes)
    elif current.startswith("-"):
        yield from (Offer(word, option["help"]) for word, option in options.items())
        yield Offer("--help", "Show its help.")
    else:
        arguments: list[Any] = command.get("arguments", [])
        if arguments:
            yield from _values(arguments[min(_position(rest, options), len(arguments) - 1)], current, kubernetes=kubernetes)


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


def _values(what: str | list[str] | None, current: str, *, kubernetes: bool) -> Iterable[Offer]:
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
    if what in ("run", "deployment"):
        return _objects(what, current, kubernetes=kubernetes)
    return ()


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


def _objects(what: str, current: str, *, kubernetes: bool) -> Iterator[Offer]:
    try:
        yield from _known(what, current, kubernetes=kubernetes)
    except (MintakaError, OSError, ValueError, KeyError):
        return


def _known(what: str, current: str, *, kubernetes: bool) -> Iterator[Offer]:
    """Runs or flow deployments whose name begins so, from where the commands would look."""
    from mintaka.recording.homes import home  # noqa: PLC0415 - start-up time

    where = home()
    if kubernetes:
        from mintaka.cli.kubectl import kubectl  # noqa: PLC0415 - start-up time

        resource = {"run": "flowruns.mintaka.dev", "deployment": "flowdeployments.mintaka.dev"}[what]
        names = kubectl("get", resource, "--output", "name", "--request-timeout=1s", seconds=2.0).split()
        yield from (Offer(name.rpartition("/")[2]) for name in names)
    elif where.api_url:
        yield from _of_api(where.api_url, what, current)
    elif where.database is not None and what == "run":
        from mintaka_history.readonly_sqlite import newest_names  # noqa: PLC0415 - start-up time

        for name, uid in newest_names(where.database, current, _MOST):
            yield Offer(name, uid) if name.startswith(current) else Offer(uid, name)


def _of_api(url: str, what: str, current: str) -> Iterator[Offer]:
    from urllib.parse import quote  # noqa: PLC0415 - start-up time
    from urllib.request import urlopen  # noqa: PLC0415 - start-up time: lighter than httpx

    kind = {"run": "flow-runs", "deployment": "flow-deployments"}[what]
    asked = f"{url.rstrip('/')}/api/v1/{kind}?limit={_MOST}" + (f"&name={quote(current)}" if current else "")
    if not asked.startswith(("http://", "https://")):
        return
    with urlopen(asked, timeout=_API_SECONDS) as answered:  # noqa: S310 - http, checked above
        for item in json.load(answered)["items"]:
            yield Offer(item["name"], item.get("uid", ""))
