"""The operator's settings, from its environment."""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from mintaka_controller.context import ControllerSettings
from mintaka_core.reconciling.observation import Retention
from mintaka_operator.pod_template_file import read_pod_template
from mintaka_operator.pods import PodDefaults

_DAY_SECONDS = 86400
_YEAR_SECONDS = 365 * _DAY_SECONDS


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's settings; `from_environment` names the variables."""

    namespaces: tuple[str, ...] = ()
    flow_image: str = "mintaka:latest"
    pod_template: Mapping[str, Any] = field(default_factory=dict)
    api_url: str = ""
    mirrored: bool = True
    mirror_patience: timedelta = timedelta(hours=1)
    pod_retention: timedelta = timedelta(minutes=10)
    failed_pod_retention: timedelta = timedelta(hours=1)
    relist: timedelta = timedelta(seconds=20)
    workers: int = 24
    cluster_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    release_namespace: str = "default"
    identity: str = field(default_factory=socket.gethostname)
    lease_name: str = "mintaka-operator"
    lease_namespace: str = "default"
    http_host: str = ""
    http_port: int = 8080
    log_level: str = "INFO"
    log_format: str = "text"

    @property
    def pod_defaults(self) -> PodDefaults:
        """The defaults of every pod."""
        return PodDefaults(self.flow_image, self.api_url, self.pod_template)

    @property
    def controller(self) -> ControllerSettings:
        """The controller's settings. Without an API nothing stores the logs of pods, so pods stay as long as their runs."""
        retention = Retention(self.pod_retention, self.failed_pod_retention, log_patience=self.mirror_patience)
        return ControllerSettings(
            workers=self.workers,
            mirrored=self.mirrored,
            mirror_patience=self.mirror_patience,
            retention=retention if self.mirrored else None,
            relist=self.relist,
            cluster_keys=self.cluster_keys,
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read `MINTAKA_*`; raises ValueError, naming the variable or file, if one is not valid."""
        env = os.environ if environment is None else environment
        default = cls()

        def number(name: str, otherwise: float, least: float, most: float) -> float:
            text = env.get(name, "")
            try:
                value = float(text) if text else otherwise
            except ValueError:
                value = math.nan
            if not least <= value <= most:
                message = f"{name} must be a number from {least:g} to {most:g}, not {text!r}"
                raise ValueError(message)
            return value

        def choice(name: str, otherwise: str, *allowed: str) -> str:
            text = env.get(name) or otherwise
            for word in allowed:
                if word.lower() == text.lower():
                    return word
            message = f"{name} must be {', '.join(allowed[:-1])} or {allowed[-1]}, not {text!r}"
            raise ValueError(message)

        return cls(
            namespaces=tuple(name.strip() for name in env.get("MINTAKA_NAMESPACES", "").split(",") if name.strip()),
            flow_image=env.get("MINTAKA_FLOW_IMAGE") or default.flow_image,
            pod_template=read_pod_template(env.get("MINTAKA_POD_TEMPLATE_FILE", "")),
            api_url=env.get("MINTAKA_API_URL", ""),
            mirrored=choice("MINTAKA_MIRROR", "enabled", "enabled", "disabled") == "enabled",
            mirror_patience=timedelta(
                seconds=number("MINTAKA_MIRROR_DEADLINE_SECONDS", default.mirror_patience.total_seconds(), 0, _YEAR_SECONDS)
            ),
            pod_retention=timedelta(
                seconds=number("MINTAKA_POD_RETENTION_SECONDS", default.pod_retention.total_seconds(), 0, _YEAR_SECONDS)
            ),
            failed_pod_retention=timedelta(
                seconds=number("MINTAKA_FAILED_POD_RETENTION_SECONDS", default.failed_pod_retention.total_seconds(), 0, _YEAR_SECONDS)
            ),
            release_namespace=env.get("MINTAKA_RELEASE_NAMESPACE") or env.get("MINTAKA_LEASE_NAMESPACE") or default.release_namespace,
            relist=timedelta(seconds=number("MINTAKA_RELIST_SECONDS", default.relist.total_seconds(), 1, _DAY_SECONDS)),
            workers=int(number("MINTAKA_WORKERS", default.workers, 1, 1000)),
            cluster_keys=_cluster_keys(env.get("MINTAKA_CLUSTER_KEYS", "")),
            identity=env.get("MINTAKA_POD_NAME") or default.identity,
            lease_name=env.get("MINTAKA_LEASE_NAME") or default.lease_name,
            lease_namespace=env.get("MINTAKA_LEASE_NAMESPACE") or default.lease_namespace,
            http_host=env.get("MINTAKA_LISTEN_HOST", default.http_host),
            http_port=int(number("MINTAKA_HTTP_PORT", default.http_port, 0, 65535)),
            log_level=choice("MINTAKA_LOG_LEVEL", default.log_level, "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
            log_format=choice("MINTAKA_LOG_FORMAT", default.log_format, "text", "json"),
        )


def _cluster_keys(text: str) -> dict[str, tuple[str, ...]]:
    """The namespaces that may use each concurrency key of the cluster, from JSON: `{"gpu": ["team-a", "team-b"], "licence": ["*"]}`."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    lists = found.values() if isinstance(found, dict) else [None]
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists):
        message = f"MINTAKA_CLUSTER_KEYS must be JSON, an object with a list of namespaces for each key, not {text!r}"
        raise ValueError(message)
    return {key: tuple(names) for key, names in found.items()}
