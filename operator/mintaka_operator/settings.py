"""What the operator is told by its environment."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's settings; `from_environment` names the variables."""

    namespaces: tuple[str, ...] = ()
    flow_image: str = "mintaka:latest"
    api_url: str = ""
    mirrored: bool = True
    mirror_patience: timedelta = timedelta(hours=1)
    relist: timedelta = timedelta(seconds=20)
    workers: int = 16
    identity: str = field(default_factory=socket.gethostname)
    lease_name: str = "mintaka-operator"
    lease_namespace: str = "default"
    http_port: int = 8080
    log_level: str = "INFO"
    log_format: str = "text"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read `MINTAKA_*`; raises ValueError, naming the variable, where one makes no sense."""
        env = os.environ if environment is None else environment
        default = cls()

        def number(name: str, otherwise: float) -> float:
            text = env.get(name, "")
            try:
                return float(text) if text else otherwise
            except ValueError:
                message = f"{name} must be a number, not {text!r}"
                raise ValueError(message) from None

        mirror = env.get("MINTAKA_MIRROR", "enabled")
        if mirror not in {"enabled", "disabled"}:
            message = f"MINTAKA_MIRROR must be enabled or disabled, not {mirror!r}"
            raise ValueError(message)
        return cls(
            namespaces=tuple(name.strip() for name in env.get("MINTAKA_NAMESPACES", "").split(",") if name.strip()),
            flow_image=env.get("MINTAKA_FLOW_IMAGE") or default.flow_image,
            api_url=env.get("MINTAKA_API_URL", ""),
            mirrored=mirror == "enabled",
            mirror_patience=timedelta(seconds=number("MINTAKA_MIRROR_DEADLINE_SECONDS", default.mirror_patience.total_seconds())),
            relist=timedelta(seconds=number("MINTAKA_RELIST_SECONDS", default.relist.total_seconds())),
            workers=int(number("MINTAKA_WORKERS", default.workers)),
            identity=env.get("MINTAKA_POD_NAME") or default.identity,
            lease_name=env.get("MINTAKA_LEASE_NAME") or default.lease_name,
            lease_namespace=env.get("MINTAKA_LEASE_NAMESPACE") or default.lease_namespace,
            http_port=int(number("MINTAKA_HTTP_PORT", default.http_port)),
            log_level=env.get("MINTAKA_LOG_LEVEL") or default.log_level,
            log_format=env.get("MINTAKA_LOG_FORMAT") or default.log_format,
        )
