"""Which token is sent to which API, and the message if it cannot be read."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from mintaka.recording.api_access import UnusableToken, authorization
from mintaka.recording.contexts import Context, Contexts, contexts, write
from mintaka.recording.sending import Answer, Connection
from mintaka_history.server_locks import ServerLock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = "http://127.0.0.1:4200"


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A home with a running server (this process) and two contexts."""
    lock = ServerLock(tmp_path / "server.lock")
    lock.acquire()
    lock.write({"pid": os.getpid()})
    (tmp_path / "server.token").write_text("of-the-server\n")
    address = {"url": SERVER, "pid": os.getpid(), "token_file": str(tmp_path / "server.token"), "started": "2026-01-01T00:00:00Z"}
    (tmp_path / "server.json").write_text(json.dumps(address))
    (tmp_path / "prod.token").write_text("of-prod")
    there = contexts(tmp_path)
    prod = Context("prod", server="https://prod", token_file=str(tmp_path / "prod.token"))
    twin = Context("twin", server="https://prod", token="of-twin")  # noqa: S106 - made up
    write(Contexts(there.path, "", {**there.known, "prod": prod, "twin": twin}))
    yield {"MINTAKA_HOME": str(tmp_path)}
    lock.release()


TOKENS: dict[str, tuple[dict[str, str], str, str]] = {
    "the server of this machine": ({}, SERVER, "of-the-server"),
    "a context": ({}, "https://prod/", "of-prod"),
    "the chosen one of two contexts with one URL": ({"MINTAKA_CONTEXT": "twin"}, "https://prod", "of-twin"),
    "a URL that no setting names": ({"MINTAKA_API_TOKEN": "secret"}, "https://elsewhere", ""),
    "MINTAKA_API_URL": ({"MINTAKA_API_URL": "http://api", "MINTAKA_API_TOKEN": "secret\n"}, "http://api/", "secret"),
    "the server of this machine as MINTAKA_API_URL": ({"MINTAKA_API_URL": SERVER}, SERVER, "of-the-server"),
    "another URL beside MINTAKA_API_URL": ({"MINTAKA_API_URL": "http://api", "MINTAKA_API_TOKEN": "secret"}, "http://api.example", ""),
}


@pytest.mark.parametrize(("added", "url", "token"), TOKENS.values(), ids=TOKENS)
def test_a_token_goes_to_the_api_it_belongs_to(variables: dict[str, str], added: dict[str, str], url: str, token: str) -> None:
    """It is sent to no other API."""
    assert authorization(url, {**variables, **added}) == ({"Authorization": f"Bearer {token}"} if token else {})


def test_a_token_file_is_read_for_each_request(tmp_path: Path) -> None:
    """A projected token is rotated while a flow runs."""
    token = tmp_path / "token"
    variables = {"MINTAKA_HOME": str(tmp_path), "MINTAKA_API_URL": "http://api", "MINTAKA_API_TOKEN_FILE": str(token)}
    for content in ("first", "second"):
        token.write_text(content)
        assert authorization("http://api", variables) == {"Authorization": f"Bearer {content}"}


UNUSABLE = {
    "no such file": ({"MINTAKA_API_TOKEN_FILE": "/nowhere/token"}, "the token file /nowhere/token that MINTAKA_API_TOKEN_FILE names"),
    "two lines": ({"MINTAKA_API_TOKEN": "a\nb"}, "MINTAKA_API_TOKEN has characters that are not allowed in a header"),
    "not ASCII": ({"MINTAKA_API_TOKEN": "schlüssel"}, "MINTAKA_API_TOKEN has characters that are not allowed in a header"),
}


@pytest.mark.parametrize(("given", "said"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_is_wrong_with_a_token_is_reported_without_the_token(tmp_path: Path, given: dict[str, str], said: str) -> None:
    """The invalid value could be a secret with a stray character."""
    with pytest.raises(UnusableToken, match=said) as caught:
        authorization("http://api", {"MINTAKA_HOME": str(tmp_path), "MINTAKA_API_URL": "http://api", **given})
    assert "schlüssel" not in str(caught.value)


def test_a_report_waits_while_its_token_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is delivered later, as after an outage of the API."""
    for name, value in {"MINTAKA_HOME": str(tmp_path), "MINTAKA_API_URL": "http://api", "MINTAKA_API_TOKEN_FILE": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    connection = Connection("http://api")
    assert connection.send_report("uid", 1, b"", 1) is Answer.UNAVAILABLE
    assert "the token file /nowhere" in connection.problem
