"""Kubeconfigs of all kinds, against servers on loopback that see who came."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from certificates import Certificates
from loopback_api_server import status
from mintaka_kubernetes import Client, NoCluster, find_credentials

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """For all servers of this file."""
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a kubeconfig nor a proxy of the machine's own."""
    for name in ("KUBECONFIG", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


class Seen:
    """A server that answers `{}` and notes who came: the Authorization header and the client certificate's name."""

    def __init__(self) -> None:
        self.url = ""
        self.callers: list[tuple[str, str]] = []
        self.accepts: Callable[[str], bool] = lambda _authorization: True

    async def answer(self, request: web.Request) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        certificate: Any = (request.transport and request.transport.get_extra_info("peercert")) or {}
        names = dict(pair for part in certificate.get("subject", ()) for pair in part)
        self.callers.append((authorization, names.get("commonName", "")))
        return web.json_response({}) if self.accepts(authorization) else status(401)


@asynccontextmanager
async def serving(context: ssl.SSLContext | None = None) -> AsyncIterator[Seen]:
    """A server, with TLS if there is a context."""
    seen = Seen()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", seen.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    seen.url = f"{'https' if context else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield seen
    finally:
        await runner.cleanup()


def write_kubeconfig(path: Path, user: dict[str, Any], cluster: dict[str, Any], **others: Any) -> str:
    """A kubeconfig with one context."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        **others,
    }
    path.write_text(json.dumps(config), encoding="utf-8")
    return str(path)


def secure(seen: Seen, certificates: Certificates, **members: Any) -> dict[str, Any]:
    """A cluster's entry for a TLS server whose certificate has another name than its URL."""
    return {"server": seen.url, "certificate-authority": str(certificates.authority), "tls-server-name": "kubernetes", **members}


async def call(kubeconfig: str | None) -> None:
    """One request."""
    async with Client(kubeconfig=kubeconfig) as client:
        await client.request("GET", "/version")


def plugin(folder: Path, body: str) -> dict[str, Any]:
    """A credential plugin; `body` is Python that may print `status`."""
    script = folder / "plugin.py"
    preamble = f"""
import json, os, sys, datetime
def status(**members):
    print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": members}}))
def count():
    with open({str(folder / "runs")!r}, "a") as runs:
        runs.write("x")
    return os.path.getsize({str(folder / "runs")!r})
def soon(seconds):
    return (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
"""
    script.write_text(preamble + body, encoding="utf-8")
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(script)],
            "interactiveMode": "Never",
        }
    }


async def test_a_token_may_be_written_or_in_a_file_and_basic_authentication_works(tmp_path: Path) -> None:
    """The simple ways."""
    (tmp_path / "token").write_text("from-file\n", encoding="utf-8")
    async with serving() as seen:
        for user in ({"token": "written"}, {"tokenFile": "token"}, {"username": "alice", "password": "secret"}, {}):
            await call(write_kubeconfig(tmp_path / "config", user, {"server": seen.url}))
        basic = base64.b64encode(b"alice:secret").decode()
        assert [caller for caller, _ in seen.callers] == ["Bearer written", "Bearer from-file", f"Basic {basic}", ""]


async def test_a_token_file_is_read_again_in_the_course_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens rotate."""
    token = tmp_path / "token"
    token.write_text("old", encoding="utf-8")
    async with serving() as seen:
        async with Client(kubeconfig=write_kubeconfig(tmp_path / "config", {"tokenFile": "token"}, {"server": seen.url})) as client:
            await client.request("GET", "/version")
            token.write_text("new", encoding="utf-8")
            await client.request("GET", "/version")
            monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + 61)
            await client.request("GET", "/version")
        assert [caller for caller, _ in seen.callers] == ["Bearer old", "Bearer old", "Bearer new"]


async def test_client_certificates_may_be_files_or_data(tmp_path: Path, certificates: Certificates) -> None:
    """Relative to the kubeconfig; the server's certificate has another name than its address."""
    files = {"client-certificate": "client.crt", "client-key": "client.key"}
    data = {f"{name}-data": base64.b64encode(certificates.file(file).read_bytes()).decode() for name, file in files.items()}
    async with serving(certificates.server_context(wants_client=True)) as seen:
        for folder, user in ((certificates.folder, files), (tmp_path, data)):
            await call(write_kubeconfig(folder / "config", user, secure(seen, certificates)))
        authority = base64.b64encode(certificates.authority.read_bytes()).decode()
        cluster = {"server": seen.url, "certificate-authority-data": authority, "tls-server-name": "kubernetes"}
        await call(write_kubeconfig(tmp_path / "config", data, cluster))
        assert [name for _, name in seen.callers] == ["alice"] * 3


async def test_a_server_that_cannot_be_verified_is_not_called(tmp_path: Path, certificates: Certificates) -> None:
    """Neither under another name nor signed by another authority, unless that is asked for."""
    async with serving(certificates.server_context()) as seen:
        wrong_name = secure(seen, certificates, **{"tls-server-name": "another"})
        unknown_authority = {"server": seen.url, "tls-server-name": "kubernetes"}
        for cluster in (wrong_name, unknown_authority):
            with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
                await call(write_kubeconfig(tmp_path / "config", {}, cluster))
        assert seen.callers == []
        await call(write_kubeconfig(tmp_path / "config", {}, {"server": seen.url, "insecure-skip-tls-verify": True}))
        assert len(seen.callers) == 1


class TestPlugins:
    async def test_a_plugin_gives_a_token_for_as_long_as_it_is_valid(self, tmp_path: Path) -> None:
        """It runs once, with the environment and the information of the protocol."""
        body = 'count(); info = json.loads(os.environ["KUBERNETES_EXEC_INFO"]); status(token=info["kind"] + os.environ["REGION"])'
        user = plugin(tmp_path, body)
        user["exec"]["env"] = [{"name": "REGION", "value": "-north"}]
        async with serving() as seen:
            async with Client(kubeconfig=write_kubeconfig(tmp_path / "config", user, {"server": seen.url})) as client:
                for _ in range(3):
                    await client.request("GET", "/version")
            assert [caller for caller, _ in seen.callers] == ["Bearer ExecCredential-north"] * 3
        assert (tmp_path / "runs").read_text(encoding="utf-8") == "x"

    async def test_an_expiring_token_is_replaced_before_it_expires(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A minute before, and no sooner than ten seconds after the last try."""
        user = plugin(tmp_path, "status(token=str(count()), expirationTimestamp=soon(30))")
        async with serving() as seen:
            async with Client(kubeconfig=write_kubeconfig(tmp_path / "config", user, {"server": seen.url})) as client:
                await client.request("GET", "/version")
                await client.request("GET", "/version")
                monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + 11)
                await client.request("GET", "/version")
            assert [caller for caller, _ in seen.callers] == ["Bearer 1", "Bearer 1", "Bearer 2"]

    async def test_a_token_that_is_rejected_is_replaced(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It was revoked: the next request has a new one."""
        user = plugin(tmp_path, "status(token=str(count()))")
        async with serving() as seen:
            seen.accepts = lambda authorization: authorization != "Bearer 1"
            async with Client(kubeconfig=write_kubeconfig(tmp_path / "config", user, {"server": seen.url})) as client:
                with pytest.raises(Exception, match="401"):
                    await client.request("GET", "/version")
                monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + 11)
                await client.request("GET", "/version")
            assert [caller for caller, _ in seen.callers] == ["Bearer 1", "Bearer 2"]

    async def test_a_plugin_may_give_a_certificate(self, tmp_path: Path, certificates: Certificates) -> None:
        """Instead of a token."""
        body = f"""
certificate, key = (open({str(certificates.folder)!r} + "/client." + suffix).read() for suffix in ("crt", "key"))
status(clientCertificateData=certificate, clientKeyData=key)
"""
        async with serving(certificates.server_context(wants_client=True)) as seen:
            await call(write_kubeconfig(tmp_path / "config", plugin(tmp_path, body), secure(seen, certificates)))
            assert seen.callers == [("", "alice")]

    async def test_a_plugin_holds_up_nothing_else(self, tmp_path: Path) -> None:
        """It runs beside the event loop."""
        user = plugin(tmp_path, 'import time; time.sleep(1); status(token="late")')
        async with serving() as seen:
            calling = asyncio.create_task(call(write_kubeconfig(tmp_path / "config", user, {"server": seen.url})))
            turns = 0
            while not calling.done():
                await asyncio.sleep(0.01)
                turns += 1
            await calling
        assert turns > 20

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ('sys.exit("you are logged out:\\nrun login")', "you are logged out: run login"),
            ("print('nonsense')", "failed to decode process output"),
            ("status()", "missing token or clientCertificateData"),
        ],
    )
    async def test_a_plugin_that_fails_is_said_so_in_one_sentence(self, tmp_path: Path, body: str, words: str) -> None:
        """With what it printed."""
        path = write_kubeconfig(tmp_path / "config", plugin(tmp_path, body), {"server": "http://127.0.0.1:9"})
        with pytest.raises(NoCluster, match=words) as raised:
            find_credentials(path)
        assert "\n" not in str(raised.value)

    async def test_a_plugin_that_is_not_installed_is_said_so(self, tmp_path: Path) -> None:
        """By its name."""
        user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin"}}
        with pytest.raises(NoCluster, match="no-such-plugin"):
            find_credentials(write_kubeconfig(tmp_path / "config", user, {"server": "http://127.0.0.1:9"}))


class Proxy:
    """An HTTP proxy that passes on every CONNECT and notes it."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[str] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://user:word@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = head.split()[1]
        authorization = next((line.split(" ", 1)[1] for line in head.splitlines() if line.lower().startswith("proxy-authorization")), "")
        self.seen.append(f"{head.split()[0]} {target} {authorization}")
        host, port = target.rsplit(":", 1)
        to_reader, to_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_pass_on(reader, to_writer), _pass_on(to_reader, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@pytest.mark.parametrize("way", ["proxy-url", "HTTPS_PROXY"])
async def test_a_proxy_is_used(tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """One of the kubeconfig, or of the environment."""
    async with serving(certificates.server_context()) as seen, Proxy().running() as proxy:
        cluster = secure(seen, certificates, **({way: proxy.url} if way == "proxy-url" else {}))
        if way == "HTTPS_PROXY":
            monkeypatch.setenv(way, proxy.url)
        await call(write_kubeconfig(tmp_path / "config", {"token": "t"}, cluster))
        word = base64.b64encode(b"user:word").decode()
        assert proxy.seen == [f"CONNECT {seen.url.removeprefix('https://')} Basic {word}"]
        assert seen.callers == [("Bearer t", "")]


async def test_no_proxy_is_obeyed(tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by kubectl."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with serving(certificates.server_context()) as seen:
        await call(write_kubeconfig(tmp_path / "config", {"token": "t"}, secure(seen, certificates)))
        assert len(seen.callers) == 1


async def test_several_files_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that has a current context decides; paths are relative to the file they are in; files that are missing are passed over."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "token").write_text("of-the-second", encoding="utf-8")
    async with serving() as seen:
        first = write_kubeconfig(tmp_path / "first", {}, {"server": seen.url}, users=[])
        second = write_kubeconfig(
            tmp_path / "other" / "second", {"tokenFile": "token"}, {"server": "http://127.0.0.1:9"}, **{"current-context": "another"}
        )
        monkeypatch.setenv("KUBECONFIG", os.pathsep.join([str(tmp_path / "absent"), first, second]))
        await call(None)
        assert seen.callers == [("Bearer of-the-second", "")]


async def test_an_oidc_token_that_has_expired_is_renewed_and_kept(tmp_path: Path) -> None:
    """At its identity provider, with the refresh token; the kubeconfig has the new ones afterwards."""
    certificates = Certificates.make(tmp_path, strict=True)

    def jwt(seconds: float) -> str:
        parts = ({"alg": "none"}, {"exp": time.time() + seconds})
        return ".".join([*(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), "s"])

    new = jwt(3600)

    async def token(request: web.Request) -> web.Response:
        form = await request.post()
        assert (form["grant_type"], form["refresh_token"]) == ("refresh_token", "refresh-1")
        return web.json_response({"id_token": new, "refresh_token": "refresh-2", "access_token": "a", "token_type": "Bearer"})

    async def discovery(_: web.Request) -> web.Response:
        return web.json_response({"token_endpoint": f"{url[0]}/token"})

    provider = web.Application()
    runner = web.AppRunner(provider, access_log=None)
    url: list[str] = []
    provider.router.add_get("/.well-known/openid-configuration", discovery)
    provider.router.add_post("/token", token)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.2", 0, ssl_context=certificates.server_context()).start()
    url.append(f"https://127.0.0.2:{runner.addresses[0][1]}")
    config = {
        "idp-issuer-url": url[0],
        "idp-certificate-authority": str(certificates.authority),
        "client-id": "mintaka",
        "client-secret": "s",
        "id-token": jwt(-10),
        "refresh-token": "refresh-1",
    }
    try:
        async with serving() as seen:
            path = write_kubeconfig(tmp_path / "config", {"auth-provider": {"name": "oidc", "config": config}}, {"server": seen.url})
            await call(path)
            assert seen.callers == [(f"Bearer {new}", "")]
        assert "refresh-2" in (tmp_path / "config").read_text(encoding="utf-8")
    finally:
        await runner.cleanup()


def one_context(clusters: list[Any]) -> str:
    """A kubeconfig whose context has the cluster k."""
    return json.dumps({"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "k"}}], "clusters": clusters})


def one_cluster(**members: str) -> str:
    """A kubeconfig whose cluster has these members."""
    return one_context([{"name": "k", "cluster": {name.replace("_", "-"): value for name, value in members.items()}}])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no such file"),
        ("", "is empty"),
        ("[", "while parsing"),
        ("{}", "no current context"),
        ("- a\n- b\n", "list"),
        ('{"current-context": "c", "contexts": [], "clusters": []}', "with name c in"),
        (one_context([]), "with name k in"),
        (one_cluster(), "no server"),
        (one_cluster(server="https://x", certificate_authority="absent.crt"), "absent.crt"),
        (one_cluster(server="https://x", certificate_authority_data="AAAA"), "no certificate or crl found"),
        (one_cluster(server="https://x", proxy_url="socks5://127.0.0.1:9"), "socks5://127.0.0.1:9 is not one for HTTP"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_says_why_in_one_sentence(tmp_path: Path, text: str | None, words: str) -> None:
    """With its path, and never a traceback of a library's."""
    path = tmp_path / "broken"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(NoCluster, match=f"kubeconfig {path} cannot be used") as raised:
        find_credentials(str(path))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_without_anything_there_is_no_cluster() -> None:
    """It says what was looked for."""
    with pytest.raises(NoCluster, match=r"neither KUBECONFIG nor ~/\.kube/config exists"):
        find_credentials(None)


_IN_A_POD = """
import sys
from pathlib import Path
from mintaka_kubernetes import credentials
credentials._ACCOUNT = Path(sys.argv[1])
found = credentials.find_credentials(None)
assert found.stale
found.refresh()
assert not found.stale
found.reject()
assert found.stale
print(found.server, found.headers["Authorization"], "kubernetes" in sys.modules)
"""


@pytest.mark.parametrize(("host", "url"), [("10.0.0.1", "https://10.0.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")])
def test_a_pod_needs_no_official_client(tmp_path: Path, certificates: Certificates, host: str, url: str) -> None:
    """It takes 35 MiB; two files are all there is to read."""
    (tmp_path / "token").write_text("of-the-pod\n", encoding="utf-8")
    (tmp_path / "ca.crt").write_bytes(certificates.authority.read_bytes())
    environment = {**os.environ, "KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "6443"}
    done = subprocess.run([sys.executable, "-c", _IN_A_POD, tmp_path], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [url, "Bearer", "of-the-pod", "False"]
