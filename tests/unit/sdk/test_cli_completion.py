"""What a TAB offers; what shells make of it is seen in tests/integration/sdk/test_completion_in_shells.py."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mintaka import flow
from mintaka.cli import COMMANDS
from mintaka.cli.completing import main, offers
from mintaka.cli.completion import Shell, script
from mintaka.cli.words import PATH, generated
from mintaka.recording.contexts import Context, Contexts, write
from mintaka.recording.data_folder import data_folder
from mintaka_history.readonly_sqlite import Unreadable, newest_names, summary_of

SOURCE = '''import mintaka
from mintaka import flow

@flow
def first():
    """The first one.

    More."""

@mintaka.flow(name="x")
async def second(): ...

def helper(): ...
'''


@flow(flow_run_name="tab-{n}")
def tabbed(n: int) -> int:
    return n


def offered(*words: str) -> list[str]:
    return sorted(offer.word for offer in offers(["mintaka", *words]) if offer.word.startswith(words[-1]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mintaka_home: str) -> Path:
    """A folder with a flow file, another file and a folder; the working directory."""
    assert mintaka_home
    (tmp_path / "jobs.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("from mintaka import flow\ndef (")
    (tmp_path / "job.yaml").write_text("")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "deep.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_words_are_those_of_the_commands() -> None:
    assert generated() == PATH.read_text(encoding="utf-8"), "after a change of a command: python -m mintaka.cli.words"


def test_commands_options_and_choices_are_offered(folder: Path) -> None:
    assert folder.exists()
    assert offered("") == sorted(COMMANDS)
    assert offered("re") == ["replay", "resume", "retention"]
    assert offered("get", "--st") == ["--state"]
    assert "--json" in offered("explain", "-")
    assert offered("get", "-o", "") == ["json", "name", "wide", "yaml"]
    assert offered("get", "--state", "f") == ["failed"]
    assert offered("get", "--state=F") == ["--state=FAILED"]
    assert offered("logs", "x", "--level", "W") == ["WARNING"]
    assert offered("completion", "") == ["bash", "fish", "zsh"]
    assert offered("variable", "s") == ["set"]
    assert offered("get", "--limit", "") == []
    assert offered("nix", "") == []


def test_flows_are_offered_by_file_without_running_it(folder: Path) -> None:
    assert offered("run", "") == ["deployment/", "jobs.py:first", "jobs.py:second", "sub/"]
    assert offered("run", "jobs.py:s") == ["jobs.py:second"]
    assert offered("run", "./jobs.py:f") == ["./jobs.py:first"]
    assert offered("run", "sub/") == ["sub/deep.py:first", "sub/deep.py:second"]
    assert offered("run", str(folder / "jobs.py:f")) == [str(folder / "jobs.py:first")]
    assert offered("apply", "job") == ["job.yaml", "jobs.py:first", "jobs.py:second"]
    told = {offer.word: offer.told for offer in offers(["mintaka", "run", ""])}
    assert told["jobs.py:first"] == "The first one."


def test_runs_are_offered_by_name_or_the_beginning_of_their_uid(folder: Path, mintaka_home: str) -> None:
    for n in (1, 2):
        tabbed(n)
    assert offered("explain", "tab") == ["tab-1", "tab-2"]
    assert offered("logs", "--follow", "tab-2") == ["tab-2"]
    assert offered("diff", "tab-1", "") == ["tab-1", "tab-2"]
    path = Path(mintaka_home, "history.db")
    uid = newest_names(path, "tab-1", 5)[0][1]
    assert offered("explain", uid[:10]) == [uid]
    assert offered("explain", "tab%") == []
    assert summary_of(path).flow_runs == 2
    assert folder.exists()


def test_where_nothing_can_be_looked_up_nothing_is_offered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered("explain", "") == []
    with pytest.raises(Unreadable, match="cannot be"):
        summary_of(folder / "nothing.db")
    monkeypatch.setenv("MINTAKA_API_URL", "http://127.0.0.1:1")
    assert offered("explain", "") == []
    monkeypatch.setenv("MINTAKA_API_URL", "not a url")
    assert offered("explain", "") == []
    monkeypatch.setenv("PATH", "/nowhere")
    assert offered("explain", "--cluster", "") == []


def test_a_line_within_quotes_is_read_as_far_as_it_goes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["zsh", 'mintaka get "x'])
    main(["zsh", "mintaka com"])
    assert capsys.readouterr().out.startswith("completion\tPrint")
    main(["bash", "mintaka run 'jobs.py:f"])
    main(["fish", 'mintaka run "jobs.py:s'])
    assert [line.partition("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["first", "jobs.py:second"]
    assert folder.exists()


@pytest.mark.parametrize("shell", list(Shell))
def test_every_shell_asks_the_same_program(shell: Shell) -> None:
    assert f"mintaka __complete {shell} " in script(shell)


def test_completing_loads_neither_typer_nor_a_command() -> None:
    code = (
        "import sys; sys.argv = ['mintaka', '__complete', 'bash', 'mintaka get -']; from mintaka.cli import main; main(); "
        "assert not {'typer', 'pydantic', 'asyncio', 'sqlalchemy', 'httpx', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=60)


def test_contexts_are_offered_behind_their_option_and_their_command(folder: Path) -> None:
    known = {"local": Context("local"), "prod": Context("prod", server="http://prod"), "stage": Context("stage", cluster="kind-stage")}
    write(Contexts(data_folder() / "contexts.json", "", known))
    assert folder.exists()
    assert offered("get", "--context", "") == ["local", "prod", "stage"]
    assert offered("get", "--context=p") == ["--context=prod"]
    assert offered("context", "use", "s") == ["stage"]
    assert offered("context", "add", "") == ["local", "prod", "stage"]
    (data_folder() / "contexts.json").write_text("{")
    assert offered("get", "--context", "") == []


class Listing(BaseHTTPRequestHandler):
    """Returns a list of one object if the token is right."""

    def do_GET(self) -> None:
        well = self.headers["Authorization"] == "Bearer secret"
        body = json.dumps({"items": [{"name": "nightly", "uid": "u"}]}).encode() if well else b"{}"
        self.send_response(200 if well else 401)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_deployments_and_runs_of_a_contexts_server_are_offered(folder: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Listing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        prod = Context("prod", server=url, token="secret")  # noqa: S106 - made up
        known = {"local": Context("local"), "prod": prod, "none": Context("none", server=f"{url}/x")}
        write(Contexts(data_folder() / "contexts.json", "prod", known))
        try:
            assert offered("run", "deployment/n") == ["deployment/nightly"]
            assert offered("delete", "n") == ["nightly"]
            assert offered("get", "d") == ["deployment/"]
            assert offered("watch", "") == ["nightly"]
            assert offered("watch", "--context", "none", "") == [], "without its token"
            assert offered("watch", "--context", "local", "") == []
        finally:
            server.shutdown()
            thread.join()
    assert folder.exists()
