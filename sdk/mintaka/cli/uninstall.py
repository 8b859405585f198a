"""`mintaka uninstall`: what the chart's hook does before `helm uninstall`, by hand."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mintaka.cli.parsing import JsonOption
from mintaka.cli.showing import print_json
from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from mintaka_kubernetes.uninstall import Release, Summary

EPILOG = """
Examples:
  mintaka uninstall --namespace mintaka-system       then: helm uninstall mintaka -n mintaka-system --no-hooks
  mintaka uninstall --runs-of team-a --yes           after an uninstallation that left finalizers in team-a
"""
EXIT_CODES = "0 done; 2 called wrongly, something is left to do, or the cluster is not reachable"


class MissingPackages(MintakaError):
    """What speaks to a cluster is not installed."""


def command(
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the release.")] = "mintaka-system",
    release: Annotated[str, typer.Option(help="Name of the Helm release.")] = "mintaka",
    runs_of: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMESPACE", help="Namespace whose runs and pods lose their finalizers, repeatable. Default: those it serves."
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="How long it may take.")] = 600,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Stop operator and API of a release and take Mintaka's finalizers off flow runs and pods."""
    try:
        from mintaka_kubernetes.uninstall import Release  # noqa: PLC0415 - needs an extra
    except ImportError as error:
        message = f"{error.name} is not installed: pip install 'mintaka[operator]', or use the commands in docs/operations.md (Uninstall)"
        raise MissingPackages(message) from error
    if not yes:
        where = f"the runs of {', '.join(runs_of)}" if runs_of else "all the runs it serves"
        typer.confirm(
            f"Stop operator and API of release {release} in {namespace} and take the finalizers off {where}?", abort=True, err=True
        )
    summary = asyncio.run(_uninstall(Release(namespace, release, tuple(runs_of) if runs_of else None), timeout))
    if json:
        print_json(
            {
                "stopped": summary.stopped,
                "released": {"flow_runs": len(summary.released_runs), "pods": len(summary.released_pods)},
                "held_again": summary.held_again,
                "unreadable_namespaces": summary.forbidden,
                "left": {
                    "flow_runs": summary.flow_runs,
                    "flow_deployments": summary.flow_deployments,
                    "live_pods": summary.live_pods,
                    "tombstones": summary.tombstones,
                    "claims": summary.claims,
                },
            }
        )
    else:
        sys.stdout.write("\n".join([*summary.lines(), ""]))


async def _uninstall(release: Release, seconds: float) -> Summary:
    from mintaka_kubernetes import Client  # noqa: PLC0415 - needs an extra
    from mintaka_kubernetes.uninstall import uninstall  # noqa: PLC0415 - needs an extra

    async with Client(user_agent="mintaka-uninstall") as client:
        return await uninstall(client, release, seconds, _report)


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
