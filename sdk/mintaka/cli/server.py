"""`mintaka server`: start, stop and check the local server, which runs flows on this machine as processes."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from time import monotonic, sleep
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mintaka.cli.parsing import BadArgument, JsonOption
from mintaka.cli.server_requests import Unanswered, cancel_active, count_active, login_url, readiness
from mintaka.cli.showing import print_json
from mintaka.recording.homes import home
from mintaka.server_address import running_server
from mintaka_core.errors import MintakaError
from mintaka_history.server_locks import describe_server, locking_server

if TYPE_CHECKING:
    from mintaka.server_address import ServerAddress

group = typer.Typer(
    epilog="Exit codes: 0 done; 1 it runs but is not ready; 2 called wrongly, or it cannot start or stop; 3 see the command"
)

#: Packages that the server needs in addition to those that `mintaka` itself installs.
_EXTRA = ("fastapi", "uvicorn", "prometheus_client", "orjson")
_NOT_READY, _FAILED, _OTHER = 1, 2, 3
_LOOK_SECONDS = 0.02
_OWNER_ONLY = 0o600


class ServerProblem(MintakaError):
    """The server cannot be started or stopped."""


@group.command(
    name="start", epilog="Exit codes: 0 stopped, or ready (--detach); 1 not ready in time; 2 it cannot start; 3 one runs already"
)
def start_server(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 chooses a free one.")] = 4200,
    host: Annotated[str, typer.Option(help="Loopback address to listen on.")] = "127.0.0.1",
    database_url: Annotated[
        str,
        typer.Option(
            metavar="URL", help="sqlite:///FILE or postgresql://USER@HOST/NAME. Default: MINTAKA_DATABASE_URL, else the home's file."
        ),
    ] = "",
    max_processes: Annotated[int, typer.Option(min=0, help="Flow runs with a process at once; 0: one for each core.")] = 0,
    detach: Annotated[bool, typer.Option("--detach", help="Start it in the background and return when it is ready.")] = False,
    log_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --detach: the log file. Default: server.log in the home.")
    ] = None,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
    timeout: Annotated[float, typer.Option(min=0, help="With --detach: how many seconds to wait for it.")] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="With --detach: print where it runs as JSON.")] = False,
) -> int:
    """Start the server: in the foreground until Ctrl-C, or in the background."""
    folder = _home()
    _require_extra()
    if (record := locking_server(folder / "server.lock")) is not None:
        sys.stderr.write(f"mintaka server: {describe_server(record)} has this MINTAKA_HOME already ({folder})\n")
        return _OTHER
    if (log_file is not None or json) and not detach:
        message = "--log-file and --json require --detach: in the foreground the server logs to the terminal"
        raise BadArgument(message)
    command = [sys.executable, "-P", "-m", "mintaka_api.local", "--home", str(folder), "--host", host, "--port", str(port)]
    command += ["--log-level", log_level.upper(), *(["--max-processes", str(max_processes)] if max_processes else [])]
    # Not as an argument: a URL may contain a password, and other users can read arguments.
    environment = os.environ | ({"MINTAKA_DATABASE_URL": database_url} if database_url else {})
    if detach:
        return _start_in_background(command, environment, folder, log_file or folder / "server.log", timeout, json=json)
    return _become(command, environment)


@group.command(name="stop", epilog="Exit codes: 0 stopped, or none runs; 2 it does not stop")
def stop_server(
    cancel: Annotated[
        bool, typer.Option("--cancel", help="First cancel the flow runs that have a process, and wait until they end.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0, help="How many seconds to wait.")] = 60.0,
    json: JsonOption = False,
) -> None:
    """Stop the server. Processes of flow runs continue; the next server takes over them, and the data of those that ended."""
    folder = _home()
    deadline = monotonic() + timeout
    record = locking_server(folder / "server.lock")
    if record is None:
        _tell({"stopped": False, "home": str(folder)}, f"no server runs on {folder}", json=json)
        return
    address = running_server(folder)
    if cancel and address is not None:
        cancel_active(address, deadline)
    left = _count(address)
    pid = _stopped(folder, record, deadline)
    more = f"; {left} flow runs continue in processes of their own, and the next server takes them over" if left else ""
    _tell({"stopped": True, "home": str(folder), "pid": pid, "active": left}, f"stopped the server (pid {pid}){more}", json=json)


@group.command(name="status", epilog="Exit codes: 0 it runs and is ready; 1 it runs but is not ready; 3 none runs")
def show_status(json: JsonOption = False) -> int:
    """Show whether the server runs and where, with a link that opens it in a browser, once and within a minute."""
    folder = _home()
    record = locking_server(folder / "server.lock")
    address = running_server(folder)
    if record is None:
        document: dict[str, object] = {"running": False, "home": str(folder)}
        text = f"no server runs on {folder}: mintaka server start"
        code = _OTHER
    elif address is None:
        document = {
            "running": True,
            "ready": False,
            "home": str(folder),
            "pid": record.get("pid"),
            "problems": {"server": "it is starting"},
        }
        text, code = f"{describe_server(record)} has {folder}", _NOT_READY
    else:
        problems = _problems(address)
        ready = not problems
        browser = login_url(address) if ready else None
        document = {"running": True, "ready": ready, "home": str(folder), "url": address.url, "pid": address.pid}
        document |= {"started": record.get("started"), "problems": problems, "browser": browser}
        text = f"the server runs at {address.url} (pid {address.pid}, since {record.get('started')}, home {folder})"
        text += "".join(f"\n{part}: {problem}" for part, problem in problems.items())
        text += f"\nin a browser, once and within a minute: {browser}" if browser else ""
        code = 0 if ready else _NOT_READY
    _tell(document, text, json=json)
    return code


def _tell(document: dict[str, object], text: str, *, json: bool) -> None:
    if json:
        print_json(document)
    else:
        sys.stdout.write(f"{text}\n")


def _home() -> Path:
    """The home folder; the history file may be elsewhere."""
    return home(
        {name: value for name, value in os.environ.items() if name in {"MINTAKA_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"}}
    ).folder.absolute()


def _require_extra() -> None:
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        message = f"the server needs more than is installed ({', '.join(missing)}): pip install 'mintaka[server]'"
        raise ServerProblem(message)


def _become(command: list[str], environment: dict[str, str]) -> NoReturn:
    """Replace this process by the server, which then receives the signals and sets the exit code."""
    os.execve(sys.executable, command, environment)  # noqa: S606 - ourselves


def _start_in_background(command: list[str], environment: dict[str, str], folder: Path, log: Path, timeout: float, *, json: bool) -> int:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _OWNER_ONLY)
    except OSError as error:
        message = f"{log} cannot be written: {error.strerror}; --log-file names another file"
        raise ServerProblem(message) from error
    begin = os.fstat(descriptor).st_size
    with os.fdopen(descriptor, "ab") as file:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    deadline, problem = monotonic() + timeout, "it does not answer"
    while monotonic() < deadline:
        if (code := process.poll()) is not None:
            sys.stderr.write(_end_of(log, begin) or f"mintaka server: it ended with {code}; see {log}\n")
            return code if code in (_FAILED, _OTHER) else _FAILED
        address = running_server(folder)
        if address is not None and address.pid == process.pid:
            problems = _problems(address)
            if not problems:
                document = {"running": True, "ready": True, "home": str(folder), "url": address.url, "pid": address.pid, "log": str(log)}
                _tell(document, f"the server runs at {address.url} (pid {address.pid}) and logs to {log}", json=json)
                return 0
            problem = "; ".join(f"{part}: {text}" for part, text in problems.items())
        sleep(_LOOK_SECONDS)
    sys.stderr.write(f"mintaka server: it runs (pid {process.pid}) and is not ready after {timeout:g} s: {problem}; it logs to {log}\n")
    return _NOT_READY


def _end_of(log: Path, begin: int) -> str:
    """The last line that the server logged since `begin`; "" if there is none."""
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").splitlines()
    return f"{lines[-1]}\n" if lines else ""


def _problems(address: ServerAddress) -> dict[str, str]:
    try:
        return readiness(address)
    except Unanswered as error:
        return {"server": str(error)}


def _count(address: ServerAddress | None) -> int:
    """How many flow runs have a process; 0 if the server does not answer."""
    with suppress(Unanswered):
        return count_active(address) if address is not None else 0
    return 0


def _stopped(folder: Path, record: dict[str, object], deadline: float) -> int:
    """Signal the process that holds the lock, and wait until the lock is free; returns its pid.

    Raises:
        ServerProblem: it does not stop in time, or may not be signalled.
    """
    from signal import SIGTERM  # noqa: PLC0415 - rarely needed

    pid = record.get("pid")
    if not isinstance(pid, int):
        message = f"{describe_server(record)} has {folder}: try again"
        raise ServerProblem(message)
    try:
        os.kill(pid, SIGTERM)
    except ProcessLookupError:
        return pid
    except PermissionError as error:
        message = f"process {pid} belongs to another user"
        raise ServerProblem(message) from error
    while (found := locking_server(folder / "server.lock")) is not None and found.get("pid") == pid:
        if monotonic() >= deadline:
            message = f"process {pid} has not stopped yet; kill -9 {pid} loses nothing: the next server continues where it was"
            raise ServerProblem(message)
        sleep(_LOOK_SECONDS)
    return pid
