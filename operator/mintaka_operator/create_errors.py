"""Why the API server refused a pod, whether a retry can succeed, and which field to fix; pure.

An ordered list of rules; the first one that matches the answer decides. The texts are those of the admission plugins of
Kubernetes 1.34, collected from a real kube-apiserver; an answer whose text matches no rule is classified by its code.
A refusal may quote values of the pod, hence of its author: the text is cut first, each rule matches only the beginning
that the server itself wrote, and each pattern takes linear time.
`kind` says how the error may pass (mintaka_core.workloads.CreateErrorKind), `patience` how long the run waits for that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mintaka_core.states import CRASHED
from mintaka_core.workloads import CreateError, CreateErrorKind
from mintaka_operator.pod_fields import PodFields, listed, quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mintaka_operator.cluster import ApiError

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _TOO_LARGE, _TOO_MANY = 401, 403, 404, 409, 413, 429

#: For errors that a person has to fix: long enough to do so, short enough to report a run that will never start.
_CONFIGURATION = timedelta(minutes=10)
#: For a missing permission or policy that may arrive soon.
_SOON = timedelta(seconds=60)
_FINAL = timedelta(0)

#: The rest of a message is neither read nor stored in the run's status: it repeats what the pod's author wrote.
_LONGEST_MESSAGE = 4096
_ELLIPSIS = " […]"

#: How the API server begins the refusal of an admission plugin.
_BY_A_PLUGIN = re.compile(r'pods "[^"]*+" is forbidden: ')
_TOO_LARGE_WORDS = re.compile(
    r"etcdserver: request is too large|rpc error: code = ResourceExhausted desc = [ a-z:]{0,80}message larger than max"
)
_WEBHOOK_AWAY = re.compile(r'(?:Internal error occurred: )?failed calling webhook "([^"]*+)"')
_DENIED = re.compile(r"(?:admission webhook \"[^\"]*+\"|(?:\w++ )?'[^']*+' with binding '[^']*+') denied (?:the )?request")
_EXCEEDED = "exceeded quota: "
_QUOTAS = (_EXCEEDED, "status unknown for quota: ")
_TERMINATING = re.compile(r"unable to create new content in namespace \S++ because it is being terminated")
_NO_RIGHT = re.compile(r'pods is forbidden: User "[^"]*+" cannot create resource "pods"')
_NAMESPACE_CONFLICTS = (
    "pod node label selector conflicts with its namespace",
    "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace",
)
#: Entries of a LimitRange's refusal; several come in brackets. A word is only tried from its beginning, or the search is quadratic.
_USAGE = re.compile(
    r"(?<![^\s\[])(?:maximum|minimum) (\S++) usage per (?:Container|Pod) is \S++ +(?:but|No) (limit|request) is ([^\s,\]]++)"
)
_RATIO = re.compile(r"(?<![^\s\[])([^\s\[]++) max limit to request ratio per (?:Container|Pod) is")
_LIMIT_RANGE = re.compile(rf"\[?(?:{_USAGE.pattern}|{_RATIO.pattern})")
#: The beginnings of the refusals for an object that is missing, the reason, and the field that names it. The names follow as the
#: author wrote them.
_MISSING_OBJECTS = (
    (("error looking up service account ", 'serviceaccount "'), "ServiceAccountNotFound", "serviceAccountName"),
    (("no PriorityClass with name ",), "PriorityClassNotFound", "priorityClassName"),
    (('pod rejected: RuntimeClass "', 'RuntimeClass "'), "RuntimeClassNotFound", "runtimeClassName"),
)
_POD_SECURITY = re.compile(r"\(([^()]*?) must (?:not )?set (securityContext\.[\w.]++)")

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
    ("ApiServerUnavailable", "the API server cannot be reached, fails or accepts no credentials (401)", "tried again for ever"),
)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """The API server's answer: its `message`, cut, and in it the words of the admission plugin, or else all of it."""

    code: int
    reason: str
    message: str
    words: str
    transient: bool
    retry_after: float | None
    causes: tuple[dict[str, Any], ...]


def create_error_of(error: ApiError, pod: Mapping[str, Any] | None = None) -> CreateError:
    """What `error`, the answer to the creation of `pod`, means for its run."""
    refusal, fields = _refusal_of(error), PodFields(pod)
    for rule in _RULES:
        found = rule(refusal, fields)
        if found is not None:
            return found
    return _rejected(refusal, fields)


def _refusal_of(error: ApiError) -> _Refusal:
    message = error.message
    if len(message) > _LONGEST_MESSAGE:
        message = message[:_LONGEST_MESSAGE] + _ELLIPSIS
    introduced = _BY_A_PLUGIN.match(message)
    words = message[introduced.end() :] if introduced else message
    return _Refusal(error.code, error.reason, message, words, error.transient, error.retry_after, error.causes)


def _too_large(error: _Refusal, _: PodFields) -> CreateError | None:
    if error.code != _TOO_LARGE and not _TOO_LARGE_WORDS.match(error.message):
        return None
    remedy = "the pod is larger than the API server stores: make source.inline, parameters or podTemplate smaller, or put the code into a ConfigMap"
    return _create_error("PodTooLarge", error, remedy)


def _webhook_away(error: _Refusal, _: PodFields) -> CreateError | None:
    found = _WEBHOOK_AWAY.match(error.words)
    if not found:
        return None
    return _transient("AdmissionUnavailable", error, f"the admission webhook {found[1]} does not answer as it should")


def _denied(error: _Refusal, _: PodFields) -> CreateError | None:
    if not _DENIED.match(error.words):
        return None
    # A code 401 is the policy's own here: our credentials are checked before.
    if (error.transient and error.code != _UNAUTHORIZED) or error.code == _CONFLICT:
        return _transient("AdmissionDenied", error, "an admission policy asks to try again later")
    remedy = "an admission policy of the cluster does not admit the pod: change podTemplate as it asks"
    return _create_error("AdmissionDenied", error, remedy, _SOON)


def _not_ready(error: _Refusal, _: PodFields) -> CreateError | None:
    starting = error.words.startswith("not yet ready to handle request")
    if starting or (error.code == _CONFLICT and error.reason != "AlreadyExists"):
        return _transient("ApiServerBusy", error)
    return None


def _quota(error: _Refusal, fields: PodFields) -> CreateError | None:
    if not error.words.startswith(_QUOTAS):
        return None
    return _create_error("QuotaExceeded", error, _beyond_quota(error.words, fields), None, CreateErrorKind.CAPACITY)


def _beyond_quota(words: str, fields: PodFields) -> str:
    """What to do about a pod that asks for more than the whole quota; "" if it only has to wait."""
    quota, _, rest = words.removeprefix(_EXCEEDED).partition(", requested: ")
    request, _, rest = rest.partition(", used: ")
    requested, limited = _quantities(request), _quantities(rest.partition(", limited: ")[2])
    over = [name for name, value in requested.items() if name in limited and (quantity(value) or 0) > (quantity(limited[name]) or 0)]
    if not over:
        return ""
    named = [field for name in over if (field := _field_of_quota(name, fields))]
    lower = f"lower {listed(named)}, or " if named else ""
    return f"the pod alone asks for more than quota {quota} has: {lower}raise the quota"


def _quantities(part: str) -> dict[str, str]:
    """`pods=1,limits.cpu=10` as a dict."""
    return {name: value for name, separator, value in (entry.partition("=") for entry in part.split(",")) if separator}


def _field_of_quota(name: str, fields: PodFields) -> str:
    """The pod field for a quota's `limits.cpu`, `requests.memory`, or just `cpu`; "" for object counts, such as pods."""
    if name == "pods" or name.startswith("count/"):
        return ""
    kind, resource = name.split(".", 1) if name.startswith(("limits.", "requests.")) else ("requests", name)
    return fields.of_resource(kind, resource)


def _resources_required(error: _Refusal, fields: PodFields) -> CreateError | None:
    if not error.words.startswith("failed quota: "):
        return None
    missing = [
        fields.of_container(container, f"resources.{name if '.' in name else f'requests.{name}'}")
        for entry in error.words.partition(": must specify ")[2].split("; ")
        if entry
        for name, _, containers in [entry.partition(" for: ")]
        for container in containers.split(",")
    ]
    remedy = f"set {listed(missing)}" if missing else ""
    return _create_error("ResourcesRequired", error, remedy, _CONFIGURATION, CreateErrorKind.CAPACITY)


def _limit_range(error: _Refusal, fields: PodFields) -> CreateError | None:
    if not _LIMIT_RANGE.match(error.words):
        return None
    usage, ratio = _USAGE.findall(error.words), _RATIO.findall(error.words)
    wrong = [fields.of_resource(f"{kind}s", resource, "" if value == "specified" else value) for resource, kind, value in usage]
    wrong += [fields.of_resource("requests", resource) for resource in ratio]
    remedy = f"set {listed(wrong)} to what the namespace's LimitRange allows"
    return _create_error("LimitRangeViolated", error, remedy, _CONFIGURATION, CreateErrorKind.CAPACITY)


def _missing_object(error: _Refusal, _: PodFields) -> CreateError | None:
    for beginnings, reason, field in _MISSING_OBJECTS:
        if error.words.startswith(beginnings):
            remedy = f"create it, or change podTemplate.spec.{field}"
            return _create_error(reason, error, remedy, _CONFIGURATION, CreateErrorKind.CAPACITY)
    return None


def _pod_security(error: _Refusal, fields: PodFields) -> CreateError | None:
    if not error.words.startswith('violates PodSecurity "'):
        return None
    wanted = []
    for subject, field in _POD_SECURITY.findall(error.words):
        containers = re.findall(r'"([^"]+)"', subject)
        wanted += [f"podTemplate.spec.{field}"] if subject.startswith("pod") else [fields.of_container(name, field) for name in containers]
    remedy = f"set {listed(wanted)} as it asks" if wanted else "change podTemplate as it asks"
    return _create_error("PodRejected", error, f"{remedy}, or use another namespace")


def _namespace_goes(error: _Refusal, _: PodFields) -> CreateError | None:
    if error.code != _NOT_FOUND and not _TERMINATING.match(error.words):
        return None
    return _create_error("NamespaceTerminating", error)


def _forbidden(error: _Refusal, _: PodFields) -> CreateError | None:
    remedy = ""
    if _NO_RIGHT.match(error.message):
        remedy = "the operator has no right to create pods there: install its chart with this namespace in watchNamespaces, or for all"
    elif error.words.startswith(_NAMESPACE_CONFLICTS):
        remedy = "change podTemplate.spec.nodeSelector or tolerations to what the namespace's annotations allow"
    elif error.code != _FORBIDDEN:
        return None
    return _create_error("PodForbidden", error, remedy, _SOON)


def _unavailable(error: _Refusal, _: PodFields) -> CreateError | None:
    if not error.transient:
        return None
    return _transient("ApiServerBusy" if error.code == _TOO_MANY else "ApiServerUnavailable", error)


def _rejected(error: _Refusal, fields: PodFields) -> CreateError:
    wrong = [fields.of_path(cause["field"]) for cause in error.causes if cause.get("field")]
    return _create_error("PodRejected", error, f"correct {listed(wrong)}" if wrong else "")


#: Evaluated in order. An admission plugin's message takes precedence over its code: a request that is too large for etcd is a 500.
_RULES: tuple[Callable[[_Refusal, PodFields], CreateError | None], ...] = (
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
    error: _Refusal,
    remedy: str = "",
    patience: timedelta | None = _FINAL,
    kind: CreateErrorKind = CreateErrorKind.LASTING,
) -> CreateError:
    message = "; ".join(part for part in (error.message, remedy) if part)
    return CreateError(reason, message, CRASHED, patience, kind, error.retry_after)


def _transient(reason: str, error: _Refusal, remedy: str = "") -> CreateError:
    return _create_error(reason, error, remedy, None, CreateErrorKind.TRANSIENT)
