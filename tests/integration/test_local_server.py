"""`mintaka server`: start, stop and status with real processes; which requests it accepts, and what remains of a killed server."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from local_server import LocalServer, wait_until
from mintaka.server_address import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from postgres_server import PostgresServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    """A home without a running server; a server that the test starts is stopped at the end."""
    server = LocalServer(tmp_path / "home")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A running server, for tests that only send requests."""
    server = LocalServer(tmp_path_factory.mktemp("running") / "home")
    server.start()
    yield server
    server.stop()


def test_a_server_starts_and_stops(server: LocalServer) -> None:
    """In the background it is ready when the command returns; its files are for its owner alone."""
    address = server.start()
    assert server.request("GET", "/readyz", headers={}).json()["status"] == "ok"
    modes = {
        path.name: path.stat().st_mode & 0o777
        for path in server.home.iterdir()
        if path.name.startswith("server.") or path.name == "history.db"
    }
    assert modes == dict.fromkeys(("server.json", "server.lock", "server.log", "server.token", "history.db"), 0o600)
    assert server.home.stat().st_mode & 0o777 == 0o700
    status = json.loads(server.mintaka("server", "status", "--json").stdout)
    assert (status["running"], status["ready"], status["url"], status["pid"]) == (True, True, address.url, address.pid)
    assert f"stopped the server (pid {address.pid})" in server.stop()
    assert not (server.home / "server.json").exists()
    assert "no server runs on" in server.stop(), "a second stop finds nothing to do"
    assert "no server runs on" in server.mintaka("server", "status", code=3).stdout
    assert server.start().token == address.token, "the token stays, for processes that outlive the server"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_in_the_foreground_it_serves_until_it_gets_a_signal(server: LocalServer, number: signal.Signals) -> None:
    """Its logs are lines with a time; the exit code is 0."""
    process = server.foreground(stderr=subprocess.PIPE)
    wait_until(lambda: running_server(server.home) is not None, "it listens")
    assert process.stderr is not None
    lines = [process.stderr.readline() for _ in range(3)]
    process.send_signal(number)
    lines += process.stderr.read().splitlines(keepends=True)
    process.stderr.close()
    assert process.wait(30) == 0
    assert "Mintaka serves http://127.0.0.1:" in "".join(lines)
    assert all(line[:4].isdigit() and line[19:21] == "  " for line in lines), lines
    assert lines[-1].endswith("stopped\n")


def test_a_second_server_learns_of_the_first(running: LocalServer, tmp_path: Path) -> None:
    """With the same home, or with another home and the same database: exit code 3, and the address of the first server."""
    address = running.address
    again = running.mintaka("server", "start", "--port", "0", code=3)
    assert f"a server that runs at {address.url} (pid {address.pid})" in again.stderr
    other = LocalServer(tmp_path / "other")
    url = f"sqlite:///{running.home / 'history.db'}"
    refused = other.mintaka("server", "start", "--detach", "--port", "0", "--database-url", url, code=3)
    assert f"a server that runs at {address.url} (pid {address.pid}) has the database history.db already" in refused.stderr
    assert running_server(other.home) is None
    assert running.address == address


def test_a_killed_server_does_not_block_the_next_one(server: LocalServer) -> None:
    """Its file and lock still exist, and have no effect."""
    first = server.start()
    server.kill()
    assert (server.home / "server.json").exists()
    assert running_server(server.home) is None
    assert "no server runs on" in server.mintaka("server", "status", code=3).stdout
    assert server.start().pid != first.pid


def test_a_port_in_use_is_reported(server: LocalServer) -> None:
    """This holds for a port that any program uses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = server.mintaka("server", "start", "--detach", "--port", str(port), code=2)
    assert f"another program listens on port {port} of 127.0.0.1" in done.stderr
    assert "--port" in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104 - it is refused
def test_other_machines_are_kept_out(server: LocalServer, host: str) -> None:
    """There is no authentication of users yet."""
    done = server.mintaka("server", "start", "--host", host, code=2)
    assert f"cannot listen on '{host}'" in done.stderr
    assert "Traceback" not in done.stderr


def test_ipv6_is_loopback_too(server: LocalServer) -> None:
    """The URL then has brackets."""
    assert server.start("--host", "::1").url.startswith("http://[::1]:")
    assert server.request("GET", "/api/v1/flow-runs").status_code == 200


def test_the_port_belongs_to_one_user(running: LocalServer) -> None:
    """A request without the token gets 401, one for another Host 421; the health route is open."""
    assert running.request("GET", "/api/v1/flow-runs").status_code == 200
    for path in ("/api/v1/flow-runs", "/", "/metrics", "/openapi.json", "/nothing"):
        refused = running.request("GET", path, headers={})
        assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json"), path
    assert running.request("POST", "/api/v1/login-codes", headers={"Authorization": "Bearer x"}).status_code == 401
    assert running.request("GET", "/healthz", headers={}).status_code == 200
    rebound = {"Host": "evil.example", "Authorization": f"Bearer {running.address.token}"}
    assert running.request("GET", "/api/v1/flow-runs", headers=rebound).status_code == 421


def test_other_users_cannot_read_the_files(running: LocalServer) -> None:
    """This holds for the token and the database."""
    for name in ("server.token", "server.json", "history.db", "server.log"):
        done = subprocess.run(
            ["cat", running.home / name], user=65534, group=65534, extra_groups=[], capture_output=True, text=True, check=False
        )
        assert "Permission denied" in done.stderr, name


def test_a_browser_gets_in_by_a_link_once(server: LocalServer) -> None:
    """The link of `mintaka server status` becomes a cookie; a used link is refused; the cookie outlives a restart."""
    address = server.start("--port", str(_free_port()))
    link = json.loads(server.mintaka("server", "status", "--json").stdout)["browser"].removeprefix(address.url)
    first = server.request("GET", link, headers={})
    assert (first.status_code, first.headers["location"]) == (303, "/")
    cookie = {"Cookie": first.headers["set-cookie"].split(";")[0]}
    assert server.request("GET", "/api/v1/flow-runs", headers=cookie).status_code == 200
    assert server.request("GET", link, headers={}).status_code == 401
    server.stop()
    server.start("--port", address.url.rsplit(":", 1)[1])
    assert server.request("GET", "/api/v1/flow-runs", headers=cookie).status_code == 200
    assert "Max-Age=43200" in first.headers["set-cookie"]
    own_page = {**cookie, "Origin": address.url, "Sec-Fetch-Site": "same-origin"}
    assert server.request("POST", "/api/v1/login-codes", headers=own_page).status_code == 401, "a cookie is for reading"


def test_a_home_that_others_could_read_is_closed(server: LocalServer) -> None:
    """The log reports it."""
    server.home.mkdir(mode=0o755)
    server.home.chmod(0o755)
    server.start()
    assert server.home.stat().st_mode & 0o777 == 0o700
    assert "was open to other users" in server.log


def test_a_server_that_is_stopped_while_it_starts_leaves_nothing_behind(server: LocalServer) -> None:
    """It is stopped before it listens, while it creates the schema, or just before it is ready."""
    for milliseconds in (100, 600, 900, 1200):
        process = server.foreground(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(milliseconds / 1000)
        process.terminate()
        _, output = process.communicate(timeout=30)
        assert process.returncode in {0, -signal.SIGTERM}, output
        assert "Traceback" not in output
        assert running_server(server.home) is None
    server.start()


def test_a_server_on_postgresql(server: LocalServer, postgres: PostgresServer, tmp_path: Path) -> None:
    """No argument contains the password; a second server on the same database is refused, even with another home."""
    url = postgres.create_database("local_server")
    try:
        address = server.start("--database-url", url)
        assert server.get("/flow-runs")["items"] == []
        other = LocalServer(tmp_path / "other")
        refused = other.mintaka("server", "start", "--detach", "--port", "0", "--database-url", url, code=3)
        assert f"mintaka server {address.url} (pid {address.pid}" in refused.stderr
        assert "has this database already" in refused.stderr
        server.kill()
        other.start("--database-url", url)
        other.stop()
    finally:
        server.stop()
        postgres.drop_database("local_server")


def test_a_server_starts_before_its_database(server: LocalServer) -> None:
    """It logs what is missing, continues to run, and stops on request."""
    done = server.mintaka(
        "server",
        "start",
        "--detach",
        "--port",
        "0",
        "--timeout",
        "5",
        "--database-url",
        f"postgresql://x@127.0.0.1:{_free_port()}/x",
        code=1,
    )
    assert "is not ready after 5 s" in done.stderr
    status = server.mintaka("server", "status", code=1)
    assert "migrations:" in status.stdout


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
