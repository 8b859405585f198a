"""`mintaka apply`: apply a flow's deployment, or manifests, to the selected server or cluster."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mintaka.cli.deploy import (
    ConcurrencyKey,
    ConcurrencyLimit,
    ConcurrencyPolicy,
    ConfigMap,
    Cron,
    Image,
    Interval,
    Name,
    Namespace,
    Parameter,
    Priority,
    ResultStorage,
    ResultStorageSecret,
    RRule,
    SecretParameter,
    Tag,
    TimeZone,
    concurrency_of,
    deployment_of,
    schedules_of,
    secret_parameters_of,
    storage_of,
    warn_of,
)
from mintaka.cli.kustomizations import kustomization_of, render
from mintaka.cli.manifest_files import SUFFIXES, Manifests
from mintaka.cli.parsing import BadArgument, JsonOption, parameters_of
from mintaka.cli.places import ClusterOption, place
from mintaka.manifests import as_json

EPILOG = """
Examples:
  mintaka apply flow.py:main --cron '0 6 * * *'      the flow with its source and a schedule
  mintaka apply deployments/ --namespace team        manifests, as kubectl apply
  mintaka apply etl.yaml --context prod              somewhere else
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
    rrule: RRule = None,
    time_zone: TimeZone = "UTC",
    tag: Tag = None,
    result_storage: ResultStorage = None,
    result_storage_secret: ResultStorageSecret = None,
    concurrency_limit: ConcurrencyLimit = None,
    concurrency_policy: ConcurrencyPolicy = None,
    concurrency_key: ConcurrencyKey = None,
    priority: Priority = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, and change nothing.")] = False,
    json: JsonOption = False,
    cluster: ClusterOption = False,
) -> None:
    """Apply a flow's deployment, its source inline, or manifests."""
    if what == "-" or Path(what).is_dir() or what.endswith(SUFFIXES):
        of_a_flow = (
            name,
            image,
            config_map,
            parameter,
            secret_parameter,
            cron,
            interval,
            rrule,
            tag,
            result_storage,
            result_storage_secret,
        )
        if any((*of_a_flow, concurrency_limit, concurrency_policy, concurrency_key)) or priority is not None:
            message = (
                f"{what} is applied as it is: with manifests only --namespace, --dry-run, --json and the options of the place are allowed"
            )
            raise BadArgument(message)
        manifests = manifests_at(what)
        for name_there, resource in manifests.checked():
            warn_of(resource, name_there)
        _apply(manifests, namespace, cluster=cluster, dry_run=dry_run, json=json)
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
        schedules=schedules_of(cron or [], interval or [], time_zone, rrule or []),
        tags=tag or [],
        result_storage=storage_of(result_storage, result_storage_secret),
        concurrency=concurrency_of(concurrency_limit, concurrency_policy, concurrency_key),
        priority=priority,
        now=datetime.now(UTC),
    )
    warn_of(manifest)
    _apply(Manifests("-", as_json(manifest), named=what), namespace, cluster=cluster, dry_run=dry_run, json=json)


def manifests_at(what: str) -> Manifests:
    """The manifests of a file, a folder, a kustomization, or standard input (`-`)."""
    if what == "-":
        return Manifests(what, sys.stdin.read())
    if Path(what).is_dir() and (file := kustomization_of(Path(what))) is not None:
        return Manifests("-", render(file), named=str(file))
    return Manifests(what)


def _apply(manifests: Manifests, namespace: str | None, *, cluster: bool, dry_run: bool, json: bool) -> None:
    with place(cluster=cluster, namespace=namespace) as where:
        sys.stdout.write(where.apply(manifests, dry_run=dry_run, as_json=json))
