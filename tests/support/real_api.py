"""The API as tests run it beside them: a process of its own that can be killed and started again."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from typing import Any


class RealApi:
    """The API as a process of its own, without a cluster to mirror."""

    def __init__(self, database_url: str, **environment: str) -> None:
        self.database_url = database_url
        self.environment = environment
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        command = [sys.executable, "-m", "mintaka_api", "--no-mirror", "--port", str(self.port), "--database-url", self.database_url]
        self.process = subprocess.Popen(command, env=os.environ | self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while wait:
            try:
                self.get("/readyz", prefix="")
            except OSError:
                assert time.monotonic() < deadline, "the API does not become ready"
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def get(self, path: str, prefix: str = "/api/v1") -> Any:
        with urllib.request.urlopen(self.url + prefix + path, timeout=10) as response:  # noqa: S310 - our own URL
            return json.loads(response.read())

    def all_of(self, path: str) -> list[Any]:
        items: list[Any] = []
        cursor = ""
        while True:
            page = self.get(f"{path}?limit=200{cursor}")
            items += page["items"]
            if not page["next"]:
                return items
            cursor = f"&cursor={page['next']}"
