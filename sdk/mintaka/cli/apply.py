"""`mintaka apply`: a flow's deployment, or manifests, into the cluster of kubectl's context."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mintaka.cli.deploy import (
    ConfigMap,
    Cron,
    Image,
    Interval,
    Name,
    Namespace,
    Parameter,
    ResultStorage,
    ResultStorageSecret,
    Tag,
    TimeZone,
    deployment_of,
    schedules_of,
    storage_of,
)
from mintaka.cli.kubectl import kubectl
from mintaka.cli.parsing import BadArgument, JsonOption, parameters_of
from mintaka.manifests import as_json

EPILOG = """
Examples:
  mintaka apply flow.py:main --cron '0 6 * * *'      the flow with its source and a schedule
  mintaka apply deployments/ --namespace team        manifests, as kubectl apply
"""
_MANIFESTS = (".yaml", ".yml", ".json")


def command(
    what: Annotated[
        str,
        typer.Argument(help="A flow (path/to/file.py:function), a file or folder of manifests, or - for standard input.", metavar="WHAT"),
    ],
    name: Name = None,
    namespace: Namespace = None,
    image: Image = None,
    config_map: ConfigMap = None,
    parameter: Parameter = None,
    cron: Cron = None,
    interval: Interval = None,
    time_zone: TimeZone = "UTC",
    tag: Tag = None,
    result_storage: ResultStorage = None,
    result_storage_secret: ResultStorageSecret = None,
    json: JsonOption = False,
) -> None:
    """Apply a flow's deployment, its source inline, or manifests."""
    to = ["--namespace", namespace] if namespace else []
    shape = ["--output", "json"] if json else []
    if what == "-" or Path(what).is_dir() or what.endswith(_MANIFESTS):
        if any((name, image, config_map, parameter, cron, interval, tag, result_storage, result_storage_secret)):
            message = f"{what} is applied as it is: of the options only --namespace and --json go with manifests"
            raise BadArgument(message)
        sys.stdout.write(kubectl("apply", "--filename", what, *to, *shape, given=sys.stdin.read() if what == "-" else None))
        return
    manifest = deployment_of(
        what,
        name=name,
        namespace=namespace,
        image=image,
        inline=config_map is None and what.rpartition(":")[0].endswith(".py"),
        config_map=config_map,
        parameters=parameters_of(parameter or []),
        schedules=schedules_of(cron or [], interval or [], time_zone),
        tags=tag or [],
        result_storage=storage_of(result_storage, result_storage_secret),
        now=datetime.now(UTC),
    )
    sys.stdout.write(kubectl("apply", "--filename", "-", *to, *shape, given=as_json(manifest)))
