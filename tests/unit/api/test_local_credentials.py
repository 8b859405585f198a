"""The secrets of a local server: the token's file, codes that are valid once and for a minute, sessions that expire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mintaka_api.local.credentials import CODE_SECONDS, SESSION_SECONDS, Credentials, token_in

if TYPE_CHECKING:
    from pathlib import Path


TOKEN = "secret"  # noqa: S105 - of a test


class Times:
    """The wall clock and the monotonic clock, set separately."""

    def __init__(self) -> None:
        self.day = 1_790_000_000.0
        self.steady = 50.0

    def credentials(self, token: str = TOKEN) -> Credentials:
        """Credentials that use these clocks."""
        return Credentials(token, clock=lambda: self.day, timer=lambda: self.steady)

    def session(self) -> str:
        """A session that begins now."""
        credentials = self.credentials()
        session = credentials.session_of_code(credentials.new_code())
        assert session is not None
        return session


def test_a_token_file_is_created_for_its_owner_alone(tmp_path: Path) -> None:
    """The mode is 0600, and the token is the same the next time."""
    token = token_in(tmp_path / "server.token")
    assert (tmp_path / "server.token").stat().st_mode & 0o777 == 0o600
    assert len(token) >= 32
    assert token_in(tmp_path / "server.token") == token


@pytest.mark.parametrize(
    ("text", "mode"),
    [("known-to-others\n", 0o644), ("", 0o600), ("  \n", 0o600)],
    ids=["others could read it", "it is empty", "it is blank"],
)
def test_a_token_that_is_not_secret_is_replaced(tmp_path: Path, text: str, mode: int) -> None:
    """The new token can be read only by its owner."""
    path = tmp_path / "server.token"
    path.write_text(text)
    path.chmod(mode)
    token = token_in(path)
    assert token
    assert token != text.strip()
    assert path.stat().st_mode & 0o777 == 0o600


def test_only_the_token_is_the_token() -> None:
    """A prefix and bytes that are not ASCII are refused."""
    credentials = Times().credentials("secret")
    assert credentials.is_token("secret")
    assert not any(map(credentials.is_token, ("", "secre", "secret ", "sécret", "\udcff")))


def test_a_code_becomes_one_session() -> None:
    """It cannot be used again."""
    credentials = Times().credentials()
    code = credentials.new_code()
    session = credentials.session_of_code(code)
    assert session is not None
    assert credentials.is_session(session)
    assert credentials.session_of_code(code) is None


@pytest.mark.parametrize(("seconds", "valid"), [(CODE_SECONDS - 0.01, True), (CODE_SECONDS, False)], ids=["just in time", "too late"])
def test_a_code_is_valid_for_a_minute(seconds: float, valid: bool) -> None:
    """The monotonic clock counts: setting the time of day does not extend it."""
    times = Times()
    credentials = times.credentials()
    code = credentials.new_code()
    times.steady += seconds
    times.day -= 3600
    assert (credentials.session_of_code(code) is not None) is valid


def test_codes_do_not_pile_up() -> None:
    """If there are too many, the oldest is dropped."""
    credentials = Times().credentials()
    codes = [credentials.new_code() for _ in range(101)]
    assert credentials.session_of_code(codes[0]) is None
    assert credentials.session_of_code(codes[1]) is not None


def test_a_session_expires() -> None:
    """It does so after 12 hours. The wall clock counts, because a session outlives the server."""
    times = Times()
    assert SESSION_SECONDS == 12 * 3600
    session = times.session()
    times.day += SESSION_SECONDS - 1
    assert times.credentials().is_session(session), "as after a restart"
    times.day += 1
    assert not times.credentials().is_session(session)


@pytest.mark.parametrize(("seconds", "valid"), [(60, True), (3600, False)], ids=["a little", "far"])
def test_a_session_does_not_last_longer_because_the_clock_is_set_back(seconds: int, valid: bool) -> None:
    """This is also what becomes of a session of an earlier release, which was valid for a week."""
    times = Times()
    session = times.session()
    times.day -= seconds
    assert times.credentials().is_session(session) is valid


def test_no_session_can_be_made_without_the_token() -> None:
    """A longer expiry or another token invalidates the signature."""
    times = Times()
    session = times.session()
    expiry, signature = session.split(".")
    forged = ["", ".", expiry, f"{int(expiry) + 1}.{signature}", f"{expiry}.", f"x.{signature}", f"{expiry}.\udcff"]
    assert not any(map(times.credentials().is_session, forged))
    assert not times.credentials("another").is_session(session)
