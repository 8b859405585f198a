"""What can be wrong in a cluster: kubectl and its context, the resource definitions, the operator, the API, one's rights."""

from __future__ import annotations

import json
import os
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from mintaka import __version__
from mintaka.cli.cluster_api import ApiInCluster
from mintaka.cli.findings import Finding
from mintaka.cli.kubectl import kubectl, kubectl_context
from mintaka.histories import FlowRunNotFound, HistoryError
from mintaka_core.names import GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mintaka.cli.findings import Check

_SECONDS = 10.0
_PATIENCE = f"--request-timeout={_SECONDS:.0f}s"
_INSTALL = "helm install mintaka charts/mintaka --namespace mintaka-system --create-namespace"
_PARTS = "app.kubernetes.io/part-of=mintaka"
#: What the commands need: verb, group, resource with its subresource, and for what.
_RIGHTS = (
    ("list", GROUP, "flowruns", "get, watch"),
    ("patch", GROUP, "flowruns", "cancel, suspend, resume"),
    ("create", GROUP, "flowruns", "kubectl create"),
    ("patch", GROUP, "flowdeployments", "apply"),
    ("get", "", "pods/log", "logs without the API"),
)


def checks(*, needed: bool) -> list[Check]:
    """The checks; where the cluster is not `needed`, what is not there is told, and not ill."""
    if which("kubectl") is None:
        return [("cluster", lambda: [_absent("kubectl is not on the PATH", "install kubectl", needed=needed)])]
    if not os.environ.get("KUBECONFIG") and not (Path.home() / ".kube" / "config").exists() and "KUBERNETES_SERVICE_HOST" not in os.environ:
        return [("cluster", lambda: [_absent("kubectl has no context", "kubectl config use-context NAME", needed=needed)])]
    return [("cluster", lambda: _cluster(needed=needed))]


def _absent(told: str, todo: str, *, needed: bool) -> Finding:
    return Finding("cluster", False if needed else None, told if needed else f"{told}: no cluster is looked at", todo if needed else "")


def _cluster(*, needed: bool) -> Iterator[Finding]:
    try:
        context = kubectl_context() or kubectl("config", "current-context", seconds=_SECONDS).strip()
        server = json.loads(kubectl("version", "--output", "json", _PATIENCE, seconds=2 * _SECONDS)).get("serverVersion", {})
    except HistoryError as error:
        yield _absent(str(error), "kubectl cluster-info", needed=needed)
        return
    names = kubectl("api-resources", "--api-group", GROUP, "--output", "name", _PATIENCE, seconds=2 * _SECONDS).split()
    if not names:
        yield _absent(f"{context} has no resources of {GROUP}", _INSTALL, needed=needed)
        return
    yield Finding("cluster", well=True, told=f"{context}: Kubernetes {server.get('gitVersion', '')}")
    for what, look in (("crds", _definitions), ("operator", _operator), ("cluster api", _api), ("rights", _rights)):
        yield from _looked(what, look)


def _looked(what: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except FlowRunNotFound as error:
        yield Finding(what, well=False, told=str(error), todo=_INSTALL)
    except HistoryError as error:
        if "Forbidden" in str(error) or "forbidden" in str(error):
            yield Finding(what, None, f"you may not look: {error}")
        else:
            yield Finding(what, well=False, told=str(error))


def _definitions() -> Iterator[Finding]:
    from mintaka_core.resources.crds import crds  # noqa: PLC0415 - start-up time: makes the schemas

    missing: list[str] = []
    for own in crds().values():
        there = json.loads(kubectl("get", "customresourcedefinitions", own["metadata"]["name"], "--output", "json", _PATIENCE))
        missing += _missing(_schema(own), _schema(there), own["spec"]["names"]["kind"])
    if missing:
        told = f"the cluster's are of another version: {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''} not known there"  # noqa: PLR2004 - a line's worth
        yield Finding("crds", well=False, told=told, todo="helm upgrade, or kubectl apply --server-side -f crds/")
    else:
        yield Finding("crds", well=True, told="they know every field of this version")


def _schema(definition: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _missing(own: dict[str, Any], there: dict[str, Any], path: str) -> list[str]:
    """Fields of `own` that `there` lacks."""
    found = []
    for name, part in own.get("properties", {}).items():
        other = there.get("properties", {}).get(name)
        found += [f"{path}.{name}"] if other is None else _missing(part, other, f"{path}.{name}")
    if "items" in own:
        found += _missing(own["items"], there.get("items", {}), f"{path}[]")
    return found


def _operator() -> Iterator[Finding]:
    found = json.loads(kubectl("get", "deployments", "--all-namespaces", "--selector", _PARTS, "--output", "json", _PATIENCE))["items"]
    operators = [each for each in found if each["metadata"]["labels"].get("app.kubernetes.io/component") == "operator"]
    if not operators:
        yield Finding("operator", well=False, told="no Deployment has its labels", todo=_INSTALL)
    for each in operators:
        metadata, status = each["metadata"], each.get("status", {})
        name, ready, wanted = f"{metadata['namespace']}/{metadata['name']}", status.get("readyReplicas", 0), each["spec"].get("replicas", 1)
        theirs = metadata["labels"].get("app.kubernetes.io/version", "")
        if not ready:
            todo = f"kubectl logs --namespace {metadata['namespace']} deployment/{metadata['name']}"
            yield Finding("operator", well=False, told=f"{name}: {ready} of {wanted} ready", todo=todo)
        elif theirs and theirs != __version__:
            yield Finding("operator", well=False, told=f"{name} is {theirs}, this is {__version__}", todo="bring both to one version")
        else:
            yield Finding("operator", well=True, told=f"{name}: {ready} of {wanted} ready, version {theirs}")


def _api() -> Iterator[Finding]:
    way = ApiInCluster()
    try:
        newest = way.history().flow_runs(limit=1)
    finally:
        way.close()
    yield Finding("cluster api", well=True, told=f"answers; the newest run is {newest[0]['name']}" if newest else "answers; no run yet")


def _rights() -> Iterator[Finding]:
    reviews = [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": _attributes(verb, group, resource)},
        }
        for verb, group, resource, _ in _RIGHTS
    ]
    asked = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    answered = _documents(kubectl("create", "--filename", "-", "--output", "json", _PATIENCE, given=asked))
    denied = [
        f"{verb} {resource} ({use})"
        for (verb, _, resource, use), review in zip(_RIGHTS, answered, strict=True)
        if not review.get("status", {}).get("allowed")
    ]
    if denied:
        yield Finding(
            "rights", well=False, told=f"you may not {'; '.join(denied)}", todo="ask for the role mintaka-edit (docs/operations.md)"
        )
    else:
        yield Finding("rights", well=True, told="you may do all that the commands need, in the namespace of the context")


def _documents(text: str) -> list[dict[str, Any]]:
    """JSON documents one after the other, as kubectl prints what it has created."""
    found, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def _attributes(verb: str, group: str, resource: str) -> dict[str, str]:
    name, _, sub = resource.partition("/")
    namespace = kubectl("config", "view", "--minify", "--output", "jsonpath={..namespace}").strip() or "default"
    return {"verb": verb, "group": group, "resource": name, "subresource": sub, "namespace": namespace}
