"""Why the API server refused a pod, whether a retry can succeed, and which field to fix; pure.

An ordered list of rules; the first one that matches the answer decides. The texts are those of the admission plugins of
Kubernetes 1.34, collected from a real kube-apiserver; an answer whose text matches no rule is classified by its code.
`kind` says how the error may pass (mintaka_core.workloads.CreateErrorKind), `patience` how long the run waits for that.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mintaka_core.states import CRASHED
from mintaka_core.workloads import CreateError, CreateErrorKind
from mintaka_operator.pod_fields import PodFields, listed, quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mintaka_operator.cluster import ApiError

_FORBIDDEN, _NOT_FOUND, _CONFLICT, _TOO_LARGE, _TOO_MANY = 403, 404, 409, 413, 429

#: For errors that a person has to fix: long enough to do so, short enough to report a run that will never start.
_CONFIGURATION = timedelta(minutes=10)
#: For a missing permission or policy that may arrive soon.
_SOON = timedelta(seconds=60)
_FINAL = timedelta(0)

#: Every reason for which a pod's creation can be refused: reason, situation, consequence. For the documentation and the metrics.
CREATE_REASONS: tuple[tuple[str, str, str], ...] = (
    ("QuotaExceeded", "a ResourceQuota has no room", "waits for ever; woken by the end of a pod or a change of the quota"),
    (
        "ResourcesRequired",
        "a ResourceQuota asks for requests or limits that podTemplate lacks",
        "waits 10 minutes; the message names the fields",
    ),
    ("LimitRangeViolated", "a LimitRange does not allow the requests or limits", "waits 10 minutes; the message names the fields"),
    ("ServiceAccountNotFound", "the ServiceAccount does not exist", "waits 10 minutes"),
    ("PriorityClassNotFound", "the PriorityClass does not exist", "waits 10 minutes"),
    ("RuntimeClassNotFound", "the RuntimeClass does not exist", "waits 10 minutes"),
    ("AdmissionDenied", "an admission webhook or policy denies it", "waits 60 s"),
    ("PodForbidden", "anything else that forbids it, such as a right that the operator lacks", "waits 60 s"),
    ("PodNameTaken", "another pod has its name", "waits 5 minutes"),
    ("PodRejected", "it is no valid pod, or violates Pod Security", "CRASHED at once"),
    ("PodTooLarge", "it is larger than the API server stores", "CRASHED at once"),
    ("NamespaceTerminating", "its namespace is being deleted, or gone", "CRASHED at once"),
    ("AdmissionUnavailable", "an admission webhook does not answer", "tried again for ever"),
    ("ApiServerBusy", "the API server asks to come back (429), or many write the same quota", "tried again for ever"),
    ("ApiServerUnavailable", "the API server cannot be reached or fails", "tried again for ever"),
)


def create_error_of(error: ApiError, pod: Mapping[str, Any] | None = None) -> CreateError:
    """What `error`, the answer to the creation of `pod`, means for its run."""
    fields = PodFields(pod)
    for rule in _RULES:
        found = rule(error, fields)
        if found is not None:
            return found
    return _rejected(error, fields)


def _too_large(error: ApiError, _: PodFields) -> CreateError | None:
    if error.code != _TOO_LARGE and not re.search("request is too large|send message larger than max", error.message):
        return None
    remedy = "the pod is larger than the API server stores: make source.inline, parameters or podTemplate smaller, or put the code into a ConfigMap"
    return _create_error("PodTooLarge", error, remedy)


def _webhook_away(error: ApiError, _: PodFields) -> CreateError | None:
    found = re.search(r'failed calling webhook "([^"]*)"', error.message)
    if not found:
        return None
    return _transient("AdmissionUnavailable", error, f"the admission webhook {found[1]} does not answer as it should")


def _denied(error: ApiError, _: PodFields) -> CreateError | None:
    if not re.search(r"denied (the )?request", error.message):
        return None
    if error.transient or error.code == _CONFLICT:
        return _transient("AdmissionDenied", error, "an admission policy asks to try again later")
    remedy = "an admission policy of the cluster does not admit the pod: change podTemplate as it asks"
    return _create_error("AdmissionDenied", error, remedy, _SOON)


def _not_ready(error: ApiError, _: PodFields) -> CreateError | None:
    if "not yet ready to handle request" in error.message or (error.code == _CONFLICT and error.reason != "AlreadyExists"):
        return _transient("ApiServerBusy", error)
    return None


def _quota(error: ApiError, fields: PodFields) -> CreateError | None:
    if not re.search(r"exceeded quota: |status unknown for quota: ", error.message):
        return None
    return _create_error("QuotaExceeded", error, _beyond_quota(error.message, fields), None, CreateErrorKind.CAPACITY)


def _beyond_quota(message: str, fields: PodFields) -> str:
    """What to do about a pod that asks for more than the whole quota; "" if it only has to wait."""
    parts = re.search(r"exceeded quota: (.*?), requested: (.*?), used: .*?, limited: (.*)$", message)
    if not parts:
        return ""
    requested, limited = (dict(entry.partition("=")[::2] for entry in part.split(",")) for part in (parts[2], parts[3]))
    over = [name for name, value in requested.items() if (quantity(value) or 0) > (quantity(limited.get(name)) or 0)]
    if not over:
        return ""
    named = [field for name in over if (field := _field_of_quota(name, fields))]
    lower = f"lower {listed(named)}, or " if named else ""
    return f"the pod alone asks for more than quota {parts[1]} has: {lower}raise the quota"


def _field_of_quota(name: str, fields: PodFields) -> str:
    """The pod field for a quota's `limits.cpu`, `requests.memory`, or just `cpu`; "" for object counts, such as pods."""
    if name == "pods" or name.startswith("count/"):
        return ""
    kind, resource = name.split(".", 1) if name.startswith(("limits.", "requests.")) else ("requests", name)
    return fields.of_resource(kind, resource)


def _resources_required(error: ApiError, fields: PodFields) -> CreateError | None:
    found = re.search(r"must specify (.*)$", error.message)
    if not found or "failed quota" not in error.message:
        return None
    missing = [
        fields.of_container(container, f"resources.{name if '.' in name else f'requests.{name}'}")
        for entry in found[1].split("; ")
        for name, _, containers in [entry.partition(" for: ")]
        for container in containers.split(",")
    ]
    return _create_error("ResourcesRequired", error, f"set {listed(missing)}", _CONFIGURATION, CreateErrorKind.CAPACITY)


def _limit_range(error: ApiError, fields: PodFields) -> CreateError | None:
    usage = re.findall(
        r"(?:maximum|minimum) (\S+) usage per (?:Container|Pod) is \S+?[,.] +(?:but|No) (limit|request) is (\S+?)[,\]]?(?=\s|$)",
        error.message,
    )
    ratio = re.findall(r"(\S+) max limit to request ratio per (?:Container|Pod) is", error.message)
    if not usage and not ratio:
        return None
    wrong = [fields.of_resource(f"{kind}s", resource, "" if value == "specified" else value) for resource, kind, value in usage]
    wrong += [fields.of_resource("requests", resource.lstrip("[")) for resource in ratio]
    remedy = f"set {listed(wrong)} to what the namespace's LimitRange allows"
    return _create_error("LimitRangeViolated", error, remedy, _CONFIGURATION, CreateErrorKind.CAPACITY)


def _missing_object(error: ApiError, _: PodFields) -> CreateError | None:
    for pattern, reason, field in (
        (r'serviceaccount "[^"]*" not found|error looking up service account', "ServiceAccountNotFound", "serviceAccountName"),
        (r"no PriorityClass with name \S+ was found", "PriorityClassNotFound", "priorityClassName"),
        (r'RuntimeClass "[^"]*" not found', "RuntimeClassNotFound", "runtimeClassName"),
    ):
        if re.search(pattern, error.message):
            remedy = f"create it, or change podTemplate.spec.{field}"
            return _create_error(reason, error, remedy, _CONFIGURATION, CreateErrorKind.CAPACITY)
    return None


def _pod_security(error: ApiError, fields: PodFields) -> CreateError | None:
    if "violates PodSecurity" not in error.message:
        return None
    wanted = []
    for whom, field in re.findall(r"\(([^()]*?) must (?:not )?set (securityContext\.[\w.]+)", error.message):
        containers = re.findall(r'"([^"]+)"', whom)
        wanted += [f"podTemplate.spec.{field}"] if whom.startswith("pod") else [fields.of_container(name, field) for name in containers]
    remedy = f"set {listed(wanted)} as it asks" if wanted else "change podTemplate as it asks"
    return _create_error("PodRejected", error, f"{remedy}, or use another namespace")


def _namespace_goes(error: ApiError, _: PodFields) -> CreateError | None:
    if error.code != _NOT_FOUND and "is being terminated" not in error.message:
        return None
    return _create_error("NamespaceTerminating", error)


def _forbidden(error: ApiError, _: PodFields) -> CreateError | None:
    remedy = ""
    if 'cannot create resource "pods"' in error.message:
        remedy = "the operator has no right to create pods there: install its chart with this namespace in watchNamespaces, or for all"
    elif "conflict" in error.message and "its namespace" in error.message:
        remedy = "change podTemplate.spec.nodeSelector or tolerations to what the namespace's annotations allow"
    elif error.code != _FORBIDDEN:
        return None
    return _create_error("PodForbidden", error, remedy, _SOON)


def _unavailable(error: ApiError, _: PodFields) -> CreateError | None:
    if not error.transient:
        return None
    return _transient("ApiServerBusy" if error.code == _TOO_MANY else "ApiServerUnavailable", error)


def _rejected(error: ApiError, fields: PodFields) -> CreateError:
    wrong = [fields.of_path(cause["field"]) for cause in error.causes if cause.get("field")]
    return _create_error("PodRejected", error, f"correct {listed(wrong)}" if wrong else "")


#: Evaluated in order. An admission plugin's message takes precedence over its code: a request that is too large for etcd is a 500.
_RULES: tuple[Callable[[ApiError, PodFields], CreateError | None], ...] = (
    _too_large,
    _webhook_away,
    _denied,
    _not_ready,
    _quota,
    _resources_required,
    _limit_range,
    _missing_object,
    _pod_security,
    _namespace_goes,
    _forbidden,
    _unavailable,
)


def _create_error(
    reason: str,
    error: ApiError,
    remedy: str = "",
    patience: timedelta | None = _FINAL,
    kind: CreateErrorKind = CreateErrorKind.LASTING,
) -> CreateError:
    message = "; ".join(part for part in (error.message, remedy) if part)
    return CreateError(reason, message, CRASHED, patience, kind, error.retry_after)


def _transient(reason: str, error: ApiError, remedy: str = "") -> CreateError:
    return _create_error(reason, error, remedy, None, CreateErrorKind.TRANSIENT)
