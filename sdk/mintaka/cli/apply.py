"""`mintaka apply`: a flow's deployment, or manifests, into the cluster of kubectl's context."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mintaka.cli.deploy import deployment_of
from mintaka.cli.kubectl import kubectl
from mintaka.cli.parsing import JsonOption
from mintaka.manifests import as_json

_MANIFESTS = (".yaml", ".yml", ".json")


def command(
    what: Annotated[str, typer.Argument(help="A flow (path/to/file.py:function), a file or folder of manifests, or - for standard input.")],
    name: Annotated[str | None, typer.Option(help="Name of the deployment. Default: the flow's.")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace. Default: kubectl's.")] = None,
    image: Annotated[str | None, typer.Option(help="Image of the flow's container. Default: the operator's.")] = None,
    json: JsonOption = False,
) -> None:
    """Apply a flow's deployment, its source inline, or manifests."""
    to = ["--namespace", namespace] if namespace else []
    shape = ["--output", "json"] if json else []
    if what == "-" or Path(what).is_dir() or what.endswith(_MANIFESTS):
        sys.stdout.write(kubectl("apply", "--filename", what, *to, *shape, given=sys.stdin.read() if what == "-" else None))
        return
    manifest = deployment_of(what, name=name, namespace=namespace, image=image, inline=True, now=datetime.now(UTC))
    sys.stdout.write(kubectl("apply", "--filename", "-", *to, *shape, given=as_json(manifest)))
