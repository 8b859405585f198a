"""The command line: `mintaka` (and `kubectl mintaka`).

Its help and version come from a table, without loading what any command needs: a command's module and typer are imported
when it is called. Errors are one line on stderr and an exit code (docs/exit-codes.md).
"""

from __future__ import annotations

import sys
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    import typer

USAGE = 2
INTERRUPTED = 130

#: Options that were removed, and what to do instead.
REMOVED = {
    "--restart-on-crash": "it was removed: give the flow a deployment with spec.retries.onCrash, then mintaka run deployment/NAME",
}


class Command(NamedTuple):
    """A command's one line of help; its module has a function `command` for typer, or a `group` of commands.

    `placed` commands read from or act on a place, and have the option --context. `error_code` is the exit code of what goes wrong.
    """

    module: str
    summary: str
    placed: bool = True
    error_code: int = USAGE


COMMANDS = {
    "apply": Command("mintaka.cli.apply", "Apply a flow's deployment, its source inline, or manifests."),
    "cancel": Command("mintaka.cli.cancel", "Cancel a flow run."),
    "completion": Command("mintaka.cli.completion", "Print a completion script: source <(mintaka completion bash).", placed=False),
    "context": Command("mintaka.cli.context", "Choose what commands act on: this machine, a server, a cluster.", placed=False),
    "convert": Command("mintaka.cli.convert", "Print the deployments of a prefect.yaml as FlowDeployments.", placed=False),
    "database": Command("mintaka.cli.database", "Back up and restore the history in a SQLite file.", placed=False),
    "delete": Command("mintaka.cli.delete", "Delete flow deployments and flow runs."),
    "deliver": Command("mintaka.cli.deliver", "Take in history that a process could not deliver before it ended."),
    "deploy": Command("mintaka.cli.deploy", "Print the FlowDeployment of a flow, for kubectl apply.", placed=False),
    "diff": Command("mintaka.cli.diff", "Show what differs between two flow runs."),
    "doctor": Command("mintaka.cli.doctor", "Look whether everything is there; exit code 1 where something is wrong."),
    "explain": Command("mintaka.cli.explain", "Tell why a flow run is where it is."),
    "get": Command("mintaka.cli.get", "Show flow runs or flow deployments, or one of them."),
    "limit": Command("mintaka.cli.limit", "Create, show, list and delete concurrency limits."),
    "logs": Command("mintaka.cli.logs", "Print the log of a flow run."),
    "plan": Command("mintaka.cli.plan", "Show what applying manifests would change, and what that means.", error_code=1),
    "replay": Command("mintaka.cli.replay", "Go through an earlier flow run again, with its recorded results."),
    "resume": Command("mintaka.cli.resume", "Go on with a flow run: finished tasks are taken from their results."),
    "retention": Command("mintaka.cli.retention", "Delete old flow runs of this machine; --dry-run shows which, also of an API."),
    "rules": Command("mintaka.cli.rules", "List, explain and try the rules that decide about runs."),
    "run": Command("mintaka.cli.run", "Run a flow here, or a deployment in the current context."),
    "schedule": Command("mintaka.cli.schedule", "Describe when a schedule fires, and list its next times."),
    "server": Command("mintaka.cli.server", "Start and stop the local server, which runs flows on this machine.", placed=False),
    "suspend": Command("mintaka.cli.suspend", "Suspend a flow run: it stops, and waits to be resumed."),
    "uninstall": Command("mintaka.cli.uninstall", "Stop a release in a cluster and take its finalizers off."),
    "variable": Command("mintaka.cli.variable", "Get, set, unset and list variables."),
    "watch": Command("mintaka.cli.watch", "Show a flow run live until it is over; the exit code says how it ended."),
}


def help_text() -> str:
    """What `mintaka --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "Usage: mintaka COMMAND [ARGS]...",
            "",
            "Flows are functions, runs are resources.",
            "",
            "Commands:",
            *lines,
            "",
            "Options:",
            "  --version  Print the version.",
            "  --help     Print this; after a command, its own help.",
            "",
        ]
    )


def main() -> None:
    """Run the command that the process was started with."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["help"] and len(arguments) > 1:
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        sys.stdout.write(help_text())
    elif arguments[0] == "--version":
        from mintaka import __version__  # noqa: PLC0415 - nothing else needs the SDK here

        sys.stdout.write(f"mintaka {__version__}\n")
    elif arguments[0] == "__complete":
        from mintaka.cli.completing import main as complete  # noqa: PLC0415 - start-up time

        complete(arguments[1:])
    elif arguments[0] not in COMMANDS:
        _fail("", "NoSuchCommand", f"there is no command {arguments[0]!r}: {_meant(arguments[0])}", as_json=_wants_json(arguments))
    else:
        _call(arguments[0], arguments[1:])


def _wants_json(arguments: list[str]) -> bool:
    """Whether the answer would be JSON, and so an error is."""
    pairs = pairwise(arguments)
    return bool({"--json", "-ojson", "--output=json"} & {*arguments}) or any(
        pair in (("-o", "json"), ("--output", "json")) for pair in pairs
    )


def _meant(word: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - start-up time

    near = get_close_matches(word, COMMANDS, n=1)
    return f"did you mean {near[0]}?" if near else f"use one of {', '.join(COMMANDS)}"


def _call(name: str, arguments: list[str]) -> None:
    import typer  # noqa: PLC0415 - start-up time

    from mintaka_core.errors import MintakaError  # noqa: PLC0415 - start-up time

    as_json = _wants_json(arguments)
    try:
        code = app_of(name)(arguments, prog_name=f"mintaka {name}", standalone_mode=False)
    except MintakaError as error:
        _fail(name, type(error).__name__, str(error), as_json=as_json)
    except typer.TyperException as error:
        advice = REMOVED.get(getattr(error, "option_name", ""), f"see mintaka {name} --help")
        _fail(name, "UsageError", f"{error.format_message()} ({advice})", as_json=as_json)
    except typer.Abort:
        sys.exit(INTERRUPTED)
    if isinstance(code, int):
        sys.exit(code)


def app_of(name: str) -> typer.Typer:
    """The command `name` as an app of typer's."""
    import typer  # noqa: PLC0415 - start-up time

    module = import_module(COMMANDS[name].module)
    placed = _placed if COMMANDS[name].placed else _unchanged
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, help=COMMANDS[name].summary)
    if hasattr(module, "group"):
        for each in module.group.registered_commands:
            if not hasattr(each.callback, "__wrapped__"):
                each.callback = placed(each.callback)
        app.add_typer(module.group)
        if len(module.group.registered_commands) == 1:  # typer would leave its name out
            app.callback(help=COMMANDS[name].summary)(_no_options)
    else:
        codes = getattr(module, "EXIT_CODES", "0 done; 2 called wrongly, not found, or not reachable")
        epilog = f"\b{getattr(module, 'EPILOG', '').rstrip()}\n\nExit codes: {codes}"
        app.command(help=COMMANDS[name].summary, epilog=epilog)(placed(module.command))
    return app


def _placed(command: Any) -> Any:
    from mintaka.cli.contexts import with_context  # noqa: PLC0415 - start-up time

    return with_context(command)


def _unchanged(command: Any) -> Any:
    return command


def _no_options() -> None:
    """A group takes no options of its own."""


def _fail(name: str, kind: str, message: str, *, as_json: bool) -> NoReturn:
    """One line on standard error, or one JSON document there, and the exit code."""
    exit_code = COMMANDS[name].error_code if name else USAGE
    if as_json:
        import json  # noqa: PLC0415 - start-up time

        sys.stderr.write(json.dumps({"error": {"command": name, "kind": kind, "message": message, "exit_code": exit_code}}) + "\n")
    else:
        sys.stderr.write(f"{f'mintaka {name}'.rstrip()}: {' '.join(message.split())}\n")
    sys.exit(exit_code)
