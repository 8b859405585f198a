"""Passwords of PostgreSQL: of every kind, and never in a message, a log or an answer."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import pytest

from api_testing import API, running
from mintaka_api.settings import Settings, from_environment
from old_databases import psql
from postgres_server import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio
CANARY = "CANARY"
PASSWORD = f"""{CANARY}%@:/#?&+ "'=$\\%zz"""
_ACCESS = """
local all all trust
host all mintaka 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""


class Login(NamedTuple):
    """Where the server is, and a database of it that the user `login` owns."""

    port: int
    database: str

    def url(self, password: str = "", **parts: str) -> str:
        """The URL for `login`, in which parts may be replaced."""
        given = {"user": "login", "host": "127.0.0.1", "port": str(self.port), "database": self.database, "query": ""} | parts
        login = f"{given['user']}:{password}" if password else given["user"]
        return f"postgresql://{login}@{given['host']}:{given['port']}/{given['database']}{given['query']}"


@pytest.fixture(scope="module")
def login() -> Iterator[Login]:
    """A server that requires passwords."""
    access = Path("/tmp") / f"mintaka-access-{uuid.uuid4().hex}.conf"  # noqa: S108 - the server's user has to read it
    access.write_text(_ACCESS, encoding="utf-8")
    access.chmod(0o644)
    server = PostgresServer(fsync="off", hba_file=f"'{access}'")
    try:
        server.start()
        url = server.create_database("db")
        quoted = PASSWORD.replace("'", "''").replace("\\", "\\\\")
        psql(url, f"CREATE ROLE login LOGIN PASSWORD E'{quoted}'; ALTER DATABASE db OWNER TO login; ALTER SCHEMA public OWNER TO login;")
        yield Login(server.port, "db")
    finally:
        server.remove()
        access.unlink()


async def test_every_character_of_a_password_reaches_the_server(login: Login) -> None:
    """Encoded in the URL, and as it is in a variable of its own."""
    for environment in (
        {"MINTAKA_DATABASE_URL": login.url(quote(PASSWORD, safe=""))},
        {"MINTAKA_DATABASE_URL": login.url(), "MINTAKA_DATABASE_PASSWORD": PASSWORD},
    ):
        async with running(from_environment(environment | {"MINTAKA_MIRROR": "false"})) as client:
            assert (await client.get("/readyz")).status_code == 200
            assert (await client.get(f"{API}/flow-runs")).status_code == 200


#: Why the API cannot use its database, the URL's parts that are replaced, and what a user reads.
FAILURES = [
    pytest.param({}, "password authentication failed", id="a wrong password"),
    pytest.param({"port": "1"}, "refused|failed", id="no server"),
    pytest.param({"host": "no-such-host.invalid"}, "resolve|name", id="an unknown host"),
    pytest.param({"user": "nobody"}, "authentication failed", id="an unknown user"),
    pytest.param({"query": "?sslmode=require"}, "SSL", id="no encryption"),
    pytest.param({"query": "?sslmode=verify-full&sslrootcert=/no/such/file"}, "certificate|SSL", id="no certificate"),
    pytest.param({"query": "?no_such_option=1"}, "no_such_option", id="an option that does not exist"),
    pytest.param({"query": "?sslmode=perhaps"}, "sslmode", id="a value that an option does not have"),
]


@pytest.mark.parametrize(("parts", "words"), FAILURES)
async def test_no_failure_shows_the_password(login: Login, parts: dict[str, str], words: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the log at DEBUG, with tracebacks, nor in any answer; but the cause is there."""
    wrong = f"wrong-{PASSWORD}"
    caplog.set_level(logging.DEBUG)
    shown = ""
    async with running(Settings(database_url=login.url(quote(wrong, safe=""), **parts), mirror=False)) as client:
        for path in ("/readyz", "/healthz", "/metrics", f"{API}/flow-runs", f"{API}/variables"):
            shown += (await client.get(path)).text
    shown += caplog.text + "".join(logging.Formatter().format(record) for record in caplog.records)
    assert CANARY not in shown
    assert re.search(words, shown)


#: Settings that `python -m mintaka_api` refuses at once, and what it prints.
REFUSED = [
    pytest.param({"MINTAKA_DATABASE_URL": f"mysql://u:{CANARY}@host/db"}, "'mysql' is not supported", id="another database"),
    pytest.param({"MINTAKA_DATABASE_URL": f"postgresql://u:{CANARY}@host:x/db"}, "cannot be parsed", id="a port that is not a number"),
    pytest.param({"MINTAKA_DATABASE_URL": f"u:{CANARY}@host/db"}, "cannot be parsed", id="no scheme"),
    pytest.param(
        {"MINTAKA_DATABASE_URL": "postgresql://u@host/db", "MINTAKA_DATABASE_PASSWORD": CANARY, "MINTAKA_DATABASE_POOLER": "statement"},
        "'statement' is not one of",
        id="an unknown pooler",
    ),
    pytest.param(
        {"MINTAKA_DATABASE_URL": f"postgresql://u:{CANARY}@host/db", "MINTAKA_WRITE_CONNECTIONS": "x"}, "not a number", id="a pool of x"
    ),
]


@pytest.mark.parametrize(("environment", "words"), REFUSED)
def test_what_is_refused_at_the_start_does_not_show_the_password(environment: dict[str, str], words: str) -> None:
    """One line, and exit code 2."""
    done = subprocess.run(
        [sys.executable, "-m", "mintaka_api", "--no-mirror"],
        env=os.environ | environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert CANARY not in done.stdout + done.stderr


def test_settings_do_not_show_the_password() -> None:
    """As they would in a traceback with local variables."""
    settings = Settings(database_url=f"postgresql://u:{CANARY}@host/db", database_password=CANARY)
    assert CANARY not in repr(settings)
