"""`mintaka deploy`: a flow's FlowDeployment as a manifest, for `kubectl apply -f -`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintaka.cli.parsing import BadArgument, JsonOption, parameters_of
from mintaka.entrypoints import imported_flow, split_entrypoint
from mintaka.manifests import as_json, checked_manifest, object_name, warnings_of
from mintaka.yaml_text import as_yaml
from mintaka_core.concurrency import Policy
from mintaka_core.limits import check_source, refuse
from mintaka_core.secret_parameters import SecretParameters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka.flows import Flow

EPILOG = """
Examples:
  mintaka deploy flow.py:main --inline | kubectl apply -f -      what mintaka apply flow.py:main does
  mintaka deploy flow.py:main --secret-parameter token=billing/api-token   the parameter is taken from a Kubernetes Secret
  mintaka deploy flows.etl:main --image registry/flows:7 --cron '0 6 * * *' --time-zone Europe/Berlin > etl.yaml
"""


class Output(StrEnum):
    """Formats of a manifest."""

    YAML = "yaml"
    JSON = "json"


FlowArgument = Annotated[str, typer.Argument(help="The flow: path/to/file.py:function or module:function.", metavar="FLOW")]
Name = Annotated[str | None, typer.Option(metavar="NAME", help="Name of the deployment. Default: the flow's.")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Its namespace. Default: kubectl's.")]
Image = Annotated[str | None, typer.Option(metavar="IMAGE", help="Image of the flow's container. Default: the operator's.")]
ConfigMap = Annotated[str | None, typer.Option(metavar="NAME", help="ConfigMap that has the file as a key.")]
Parameter = Annotated[
    list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="name=value; the value is JSON, or else text.")
]
SecretParameter = Annotated[
    list[str] | None, typer.Option(metavar="NAME=SECRET/KEY", help="A parameter that is taken from a Kubernetes Secret; repeatable.")
]
Cron = Annotated[list[str] | None, typer.Option(metavar="FIELDS", help="A schedule in five fields, such as '0 6 * * MON-FRI'; repeatable.")]
Interval = Annotated[
    list[str] | None, typer.Option(metavar="TIME", help="A schedule by the time between runs, such as 15m, P1D or P1M; repeatable.")
]
RRule = Annotated[
    list[str] | None,
    typer.Option(metavar="RULE", help="A schedule by a rule of RFC 5545, such as FREQ=MONTHLY;BYDAY=2FR;BYHOUR=9; repeatable."),
]
TimeZone = Annotated[str, typer.Option(metavar="ZONE", help="Time zone of the schedules, such as Europe/Berlin.")]
Tag = Annotated[list[str] | None, typer.Option(metavar="TAG", help="A word to find runs by; repeatable.")]
ResultStorage = Annotated[
    str | None, typer.Option(metavar="URL", help="Where results of tasks are persisted, such as s3://bucket/folder. Default: nowhere.")
]
ConcurrencyLimit = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="How many runs may be active at the same time. Default: any number.")
]
ConcurrencyPolicy = Annotated[
    Policy | None, typer.Option(metavar="POLICY", help="A new run over the limit: Queue (default), Allow, CancelNew or Replace.")
]
ConcurrencyKey = Annotated[
    str | None, typer.Option(metavar="KEY", help="Deployments with the same key share the limit. Default: the deployment's name.")
]
Priority = Annotated[int | None, typer.Option(metavar="N", help="Of the runs that wait for each other, higher ones start first.")]
ResultStorageSecret = Annotated[
    str | None, typer.Option(metavar="NAME", help="Secret whose keys become the variables that hold the storage's credentials.")
]


def command(
    entrypoint: FlowArgument,
    name: Name = None,
    namespace: Namespace = None,
    image: Image = None,
    inline: Annotated[bool, typer.Option("--inline", help="Put the source of the file into the manifest.")] = False,
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
    output: Annotated[Output, typer.Option("--output", "-o", help="Format.")] = Output.YAML,
    json: JsonOption = False,
) -> None:
    """Print the FlowDeployment of a flow, for kubectl apply."""
    manifest = deployment_of(
        entrypoint,
        name=name,
        namespace=namespace,
        image=image,
        inline=inline,
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
    sys.stdout.write(as_json(manifest) if output == Output.JSON or json else as_yaml(manifest))
    if not inline and not config_map and image is None:
        sys.stderr.write(
            f"{entrypoint} has to be in the operator's image as it is named here; --inline takes the file along, --image names another image\n"
        )


def deployment_of(
    entrypoint: str,
    *,
    name: str | None = None,
    namespace: str | None = None,
    image: str | None = None,
    inline: bool = False,
    config_map: str | None = None,
    parameters: dict[str, Any] | None = None,
    secret_parameters: dict[str, Any] | None = None,
    schedules: Sequence[dict[str, Any]] = (),
    tags: Sequence[str] = (),
    result_storage: dict[str, Any] | None = None,
    concurrency: dict[str, Any] | None = None,
    priority: int | None = None,
    now: datetime,
) -> dict[str, Any]:
    """The FlowDeployment of the flow at `entrypoint`, checked as the API server would at `now`.

    Raises:
        MintakaError: the flow cannot be loaded, or the deployment would be refused.
    """
    flow = imported_flow(entrypoint)
    _check_names(flow, parameters or {}, secret_parameters or {})
    source = _source(entrypoint, inline=inline, config_map=config_map)
    place, function = split_entrypoint(entrypoint)
    spec: dict[str, Any] = {
        "entrypoint": f"{Path(place).name}:{function}" if source else entrypoint,
        "source": source,
        "image": image,
        "parameters": parameters or None,
        "secretParameters": secret_parameters or None,
        "parameterSchema": SecretParameters(flow.parameters.schema()).masked_schema(),
        "schedules": list(schedules) or None,
        "resultStorage": result_storage,
        "concurrency": concurrency,
        "priority": priority,
        "tags": sorted({*flow.tags, *tags}) or None,
        "version": flow.version,
        "description": flow.description,
    }
    return checked_manifest({"name": name or object_name(flow.name), "namespace": namespace}, spec, now=now)


def warn_of(manifest: dict[str, Any], what: str = "") -> None:
    """Say on standard error what the author of a manifest should know; `what` it is called there."""
    for sentence in warnings_of(manifest):
        sys.stderr.write(f"warning: {what}{': ' if what else ''}{sentence}\n")


def secret_parameters_of(pairs: list[str]) -> dict[str, Any]:
    """`name=SECRET/KEY` pairs as `spec.secretParameters`.

    Raises:
        BadArgument: a pair has another form.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, _, place = pair.partition("=")
        secret, _, key = place.partition("/")
        if not (name.isidentifier() and secret and key):
            message = f"--secret-parameter takes name=SECRET/KEY, such as token=billing/api-token, not {pair!r}"
            raise BadArgument(message)
        found[name] = {"name": secret, "key": key}
    return found


def schedules_of(crons: list[str], intervals: list[str], time_zone: str, rules: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The schedules of the command line, named by their order."""
    found = [
        {kind: value, "timeZone": time_zone}
        for kind, values in (("cron", crons), ("interval", intervals), ("rrule", rules))
        for value in values
    ]
    return [{"name": "main" if index == 0 else f"schedule-{index + 1}", **schedule} for index, schedule in enumerate(found)]


def storage_of(url: str | None, secret: str | None) -> dict[str, Any] | None:
    """Where results are persisted; None: nowhere. A folder gets a word on standard error: it goes with the pod."""
    if url is None:
        if secret is not None:
            message = f"--result-storage-secret {secret} holds the credentials of a storage: name that with --result-storage URL"
            raise BadArgument(message)
        return None
    if "://" not in url or url.startswith("file://"):
        sys.stderr.write(f"results in {url} go with the pod, but for a volume that its podTemplate mounts there: add it to the manifest\n")
    return {"url": url} if secret is None else {"url": url, "secretRef": {"name": secret}}


def concurrency_of(limit: int | None, policy: Policy | None, key: str | None) -> dict[str, Any] | None:
    """How many runs may be active at the same time, as `spec.concurrency`; None: any number.

    Raises:
        BadArgument: there is a policy or a key and no limit.
    """
    if limit is None:
        if policy is not None or key is not None:
            message = "--concurrency-policy and --concurrency-key belong to a limit: add --concurrency-limit N"
            raise BadArgument(message)
        return None
    return {"limit": limit, **({"policy": policy.value} if policy else {}), **({"key": key} if key else {})}


def _check_names(flow: Flow[Any, Any], parameters: dict[str, Any], secret_parameters: dict[str, Any]) -> None:
    schema = flow.parameters.schema()
    for name in secret_parameters:
        if name in parameters:
            message = f"parameter {name} is given twice, by --parameter and by --secret-parameter: use one of them"
            raise BadArgument(message)
        if name not in schema["properties"] and not schema.get("additionalProperties"):
            message = f"flow {flow.name} has no parameter {name}"
            raise BadArgument(message)


def _source(entrypoint: str, *, inline: bool, config_map: str | None) -> dict[str, Any] | None:
    place, _ = split_entrypoint(entrypoint)
    if inline and config_map:
        message = "--inline and --config-map are two ways to do one thing: use one of them"
        raise BadArgument(message)
    if not inline and not config_map:
        return None
    if not place.endswith(".py"):
        message = f"--inline and --config-map take a file, such as flow.py:main; {place!r} is a module"
        raise BadArgument(message)
    if config_map:
        return {"configMap": {"name": config_map}}
    text = Path(place).read_text(encoding="utf-8")
    refuse(check_source(text, place))
    return {"inline": text}
