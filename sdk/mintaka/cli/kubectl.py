"""The user's own kubectl, called: clusters are asked through it, with its contexts, credentials and proxies."""

from __future__ import annotations

import subprocess
from shutil import which

from mintaka.cli.plugin import is_plugin, named_context
from mintaka.histories import FlowRunNotFound, HistoryError
from mintaka.recording.homes import command_home

_SECONDS = 30


def kubectl_context() -> str:
    """The selected context of kubectl; "" for its current one."""
    return named_context() if is_plugin() else command_home().cluster or ""


def kubectl_path() -> str:
    """Where kubectl is.

    Raises:
        HistoryError: it is not there.
    """
    path = which("kubectl")
    if path is None:
        message = "kubectl is not on the PATH, and clusters are asked through it: install it"
        raise HistoryError(message)
    return path


def kubectl_command() -> list[str]:
    """kubectl, and the selected context."""
    name = kubectl_context()
    return [kubectl_path(), *(["--context", name] if name else [])]


def kubectl(*arguments: str, given: str | None = None, seconds: float = _SECONDS) -> str:
    """What kubectl prints.

    Raises:
        HistoryError: kubectl is not there, or says no.
        FlowRunNotFound: the object is not there.
    """
    command = kubectl_command()
    try:
        # Without input: kubectl would ask for a user's name on a terminal of ours, unseen.
        ended = subprocess.run([*command, *arguments], input=given or "", capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        message = f"kubectl did not answer within {seconds:.0f} s: is the cluster of kubectl's context there?"
        raise HistoryError(message) from error
    if ended.returncode:
        message = _said(ended.stderr) or f"kubectl ended with {ended.returncode}"
        raise FlowRunNotFound(message) if "NotFound" in message else HistoryError(message)
    return ended.stdout


def _said(text: str) -> str:
    """The one line of what kubectl complained about that says why; it repeats itself where a cluster is away."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any("localhost:8080" in line for line in lines):  # kubectl's last resort
        return "kubectl has no context, so there is no cluster to ask: kubectl config use-context NAME, or set KUBECONFIG"
    if any("doesn't have a resource type" in line for line in lines):
        return f"{lines[-1]}: Mintaka is not installed in the cluster of kubectl's context"
    return lines[-1] if lines and lines[0][:1] in "EW" and lines[0][1:5].isdigit() else "; ".join(lines)
