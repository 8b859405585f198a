"""The settings of a local server: which values are refused, and with which messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from mintaka_api.local.settings import LocalSettings, from_command_line, of_api
from mintaka_api.settings import InvalidSetting

HOME = ["--home", "/home/ada/mintaka"]


def test_the_database_is_that_of_scripts() -> None:
    """The file in the home, unless the environment names another."""
    assert from_command_line(HOME, {}).database == "sqlite:////home/ada/mintaka/history.db"
    assert from_command_line(HOME, {"MINTAKA_DATABASE_URL": "postgresql://ada@db/runs"}).database == "postgresql://ada@db/runs"


def test_the_api_gets_the_same_settings() -> None:
    """It has no mirror."""
    settings = from_command_line([*HOME, "--port", "4300"], {"MINTAKA_DATABASE_PASSWORD": "p%w", "MINTAKA_SILENCE_SECONDS": "5"})
    api = of_api(settings)
    assert (api.database_url, api.database_password, api.silence_seconds) == (settings.database, "p%w", 5)
    assert (api.host, api.port, api.mirror) == ("127.0.0.1", 4300, False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_addresses_are_accepted(host: str) -> None:
    """Only this machine reaches them."""
    assert from_command_line([*HOME, "--host", host], {}).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.7", "example.com", "localhost.example.com"])  # noqa: S104 - it is refused
def test_any_other_address_is_refused(host: str) -> None:
    """This holds until there is authentication of users; the message states what to do instead."""
    with pytest.raises(InvalidSetting, match=r"cannot listen on .*serves this machine alone; use 127\.0\.0\.1"):
        from_command_line([*HOME, "--host", host], {})


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--port", "65536"], {}, "port 65536 is not a number from 0 to 65535"),
        (["--port", "-1"], {}, "port -1 is not"),
        (["--max-processes", "0"], {}, "--max-processes takes 1 or more"),
        ([], {"MINTAKA_DATABASE_POOLER": "transaction"}, "without a pooler"),
        ([], {"MINTAKA_SILENCE_SECONDS": "soon"}, "MINTAKA_SILENCE_SECONDS='soon' is not a number"),
    ],
)
def test_what_cannot_work_is_refused(arguments: list[str], environment: dict[str, str], words: str) -> None:
    """It is refused before any file is created."""
    with pytest.raises(InvalidSetting, match=words):
        from_command_line([*HOME, *arguments], environment)


def test_no_setting_shows_a_password() -> None:
    """Logs may contain the representation, so URLs are not part of it."""
    shown = repr(LocalSettings(Path("/x"), database_url="postgresql://ada:secret@db/runs", database_password="secret"))  # noqa: S106 - of a test
    assert "secret" not in shown
