"""`mintaka apply`: a flow's deployment, or manifests, into the cluster of kubectl's context."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    SecretParameter,
    Tag,
    TimeZone,
    deployment_of,
    schedules_of,
    secret_parameters_of,
    storage_of,
    warn_of,
)
from mintaka.cli.kubectl import kubectl
from mintaka.cli.manifest_files import SUFFIXES, checked_resources
from mintaka.cli.masking import masked_json, without_secrets
from mintaka.cli.parsing import BadArgument, JsonOption, parameters_of
from mintaka.histories import HistoryError
from mintaka.manifests import as_json

if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG = """
Examples:
  mintaka apply flow.py:main --cron '0 6 * * *'      the flow with its source and a schedule
  mintaka apply deployments/ --namespace team        manifests, as kubectl apply
"""


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
    secret_parameter: SecretParameter = None,
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
    if what == "-" or Path(what).is_dir() or what.endswith(SUFFIXES):
        if any((name, image, config_map, parameter, secret_parameter, cron, interval, tag, result_storage, result_storage_secret)):
            message = f"{what} is applied as it is: of the options only --namespace and --json go with manifests"
            raise BadArgument(message)
        given = sys.stdin.read() if what == "-" else None
        resources = checked_resources(what, given)
        for place, resource in resources:
            warn_of(resource, place)
        _apply([resource for _, resource in resources], what, *to, *shape, given=given)
        return
    manifest = deployment_of(
        what,
        name=name,
        namespace=namespace,
        image=image,
        inline=config_map is None and what.rpartition(":")[0].endswith(".py"),
        config_map=config_map,
        parameters=parameters_of(parameter or []),
        secret_parameters=secret_parameters_of(secret_parameter or []),
        schedules=schedules_of(cron or [], interval or [], time_zone),
        tags=tag or [],
        result_storage=storage_of(result_storage, result_storage_secret),
        now=datetime.now(UTC),
    )
    warn_of(manifest)
    _apply([manifest], "-", *to, *shape, given=as_json(manifest))


def _apply(resources: Sequence[dict[str, Any]], what: str, *options: str, given: str | None) -> None:
    """Have kubectl apply `what`, and print what it says without the secrets of `resources`."""
    try:
        answer = kubectl("apply", "--filename", what, *options, given=given)
    except HistoryError as error:  # it quotes a patch that is refused
        raise HistoryError(without_secrets(str(error), resources)) from None
    sys.stdout.write(masked_json(answer) if "json" in options else answer)
