"""Certificates for tests: an authority, a server called `kubernetes`, a client; made by openssl."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """PEM files in a folder."""

    folder: Path

    @property
    def authority(self) -> Path:
        """The certificate that both others are signed with."""
        return self.folder / "ca.crt"

    @classmethod
    def make(cls, folder: Path, *, strict: bool = False) -> Certificates:
        """Make them; `strict` with the extensions that RFC 5280 wants of authorities, which those of many clusters lack."""
        made = cls(folder)
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign") if strict else ()
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=authority"),
            *("-keyout", folder / "ca.key", "-out", folder / "ca.crt", *usage),
        )
        made._sign("server", "/CN=kubernetes", "subjectAltName=DNS:kubernetes,IP:127.0.0.2")
        made._sign("client", "/CN=alice/O=team", "extendedKeyUsage=clientAuth")
        return made

    def file(self, name: str) -> Path:
        """`server.crt`, `client.key` and so on."""
        return self.folder / name

    def server_context(self, *, wants_client: bool = False) -> ssl.SSLContext:
        """For a server; it may want a certificate of its clients."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.crt", self.folder / "server.key")
        if wants_client:
            context.load_verify_locations(self.authority)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _sign(self, name: str, subject: str, extension: str) -> None:
        key, request, extensions = (self.folder / f"{name}.{suffix}" for suffix in ("key", "csr", "ext"))
        _openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout", key, "-out", request)
        )
        extensions.write_text(extension + "\n", encoding="utf-8")
        _openssl(
            *("x509", "-req", "-days", "30", "-CA", self.folder / "ca.crt", "-CAkey", self.folder / "ca.key", "-CAcreateserial"),
            *("-in", request, "-extfile", extensions, "-out", self.folder / f"{name}.crt"),
        )


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
