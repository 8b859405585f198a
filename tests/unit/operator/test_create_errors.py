"""Why a pod cannot be created: every answer of a real kube-apiserver 1.34 is told apart, and names the field to write."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintaka_core.states import CRASHED
from mintaka_core.workloads import CreateErrorKind
from mintaka_operator.cluster import ApiError
from mintaka_operator.create_errors import CREATE_REASONS, create_error_of
from mintaka_operator.pod_fields import quantity

LASTING, CAPACITY, TRANSIENT = CreateErrorKind.LASTING, CreateErrorKind.CAPACITY, CreateErrorKind.TRANSIENT
AT_ONCE, MINUTE, TEN_MINUTES, FOR_EVER = timedelta(0), timedelta(minutes=1), timedelta(minutes=10), None

POD: dict[str, Any] = {
    "spec": {
        "containers": [
            {"name": "flow", "resources": {"limits": {"cpu": "10", "memory": "100Gi"}, "requests": {"memory": "1Mi"}}},
            {"name": "proxy", "resources": {"limits": {"cpu": "1"}}},
        ],
        "initContainers": [{"name": "fetch"}],
    }
}
REASONS = {reason for reason, _, _ in CREATE_REASONS}
FLOW = "podTemplate.spec.containers[flow]"


class Answer(NamedTuple):
    """What the API server said, and what it must be taken for; `says` stands in the message beside the server's own words."""

    code: int
    reason: str
    message: str
    expected: str
    kind: CreateErrorKind = LASTING
    patience: timedelta | None = AT_ONCE
    says: tuple[str, ...] = ()
    causes: tuple[dict[str, Any], ...] = ()


def forbidden(message: str, *more: Any, **fields: Any) -> Answer:
    """403, as most admission plugins say it."""
    return Answer(403, "Forbidden", f'pods "x-1" is forbidden: {message}', *more, **fields)


def webhook(message: str) -> Answer:
    """A webhook that cannot be called."""
    words = f'Internal error occurred: failed calling webhook "pods.example.com": failed to call webhook: {message}'
    return Answer(
        500,
        "InternalError",
        words,
        "AdmissionUnavailable",
        TRANSIENT,
        FOR_EVER,
        ("the admission webhook pods.example.com does not answer",),
    )


RESTRICTED = (
    'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (containers "flow", "proxy" must set '
    'securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true (pod or containers "flow", "proxy" must set '
    'securityContext.runAsNonRoot=true), seccompProfile (pod or containers "flow", "proxy" must set securityContext.seccompProfile.type '
    'to "RuntimeDefault" or "Localhost")'
)

ANSWERS = {
    "a quota that is used up": forbidden("exceeded quota: pods, requested: pods=1, used: pods=3, limited: pods=3", "QuotaExceeded", CAPACITY, FOR_EVER),
    "a quota that has room for such a pod at other times": forbidden("exceeded quota: c, requested: limits.cpu=10, used: limits.cpu=95, limited: limits.cpu=100", "QuotaExceeded", CAPACITY, FOR_EVER),
    "a quota that is too small for the pod alone": forbidden(
        "exceeded quota: compute, requested: limits.cpu=10,limits.memory=100Gi,requests.memory=100Gi, used: limits.cpu=1,limits.memory=0,requests.memory=0, limited: limits.cpu=4,limits.memory=800Gi,requests.memory=8Gi",
        "QuotaExceeded", CAPACITY, FOR_EVER,
        ("the pod alone asks for more than quota compute has", f"lower {FLOW}.resources.limits.cpu, ", f"{FLOW}.resources.requests.memory, or raise the quota"),
    ),
    "a quota of no pods": forbidden("exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0", "QuotaExceeded", CAPACITY, FOR_EVER, ("the pod alone asks for more than quota none has: raise the quota",)),
    "a quota of GPUs": forbidden("exceeded quota: gpus, requested: count/pods=1,requests.nvidia.com/gpu=2, used: count/pods=0,requests.nvidia.com/gpu=0, limited: count/pods=5,requests.nvidia.com/gpu=1", "QuotaExceeded", CAPACITY, FOR_EVER, (f"lower {FLOW}.resources.requests.nvidia.com/gpu, or",)),
    "a quota that is too young to be counted": forbidden("status unknown for quota: fresh, resources: pods", "QuotaExceeded", CAPACITY, FOR_EVER),
    "a quota that asks for limits": forbidden(
        "failed quota: compute: must specify limits.cpu for: fetch,flow; requests.memory for: proxy; cpu for: flow", "ResourcesRequired", CAPACITY, TEN_MINUTES,
        ("set podTemplate.spec.initContainers[fetch].resources.limits.cpu", f"{FLOW}.resources.limits.cpu", "podTemplate.spec.containers[proxy].resources.requests.memory", f"{FLOW}.resources.requests.cpu"),
    ),
    "more than a LimitRange allows": forbidden("[maximum cpu usage per Container is 1, but limit is 10, maximum memory usage per Container is 1Gi, but limit is 100Gi]", "LimitRangeViolated", CAPACITY, TEN_MINUTES, (f"set {FLOW}.resources.limits.cpu, {FLOW}.resources.limits.memory to what the namespace's LimitRange allows",)),
    "less than a LimitRange allows": forbidden("minimum memory usage per Container is 64Mi, but request is 1Mi", "LimitRangeViolated", CAPACITY, TEN_MINUTES, (f"set {FLOW}.resources.requests.memory to",)),
    "less than a LimitRange allows, from a default": forbidden("minimum cpu usage per Container is 100m, but request is 50m", "LimitRangeViolated", CAPACITY, TEN_MINUTES, (f"set {FLOW}.resources.requests.cpu to",)),
    "a LimitRange of the whole pod": forbidden("maximum cpu usage per Pod is 1, but limit is 11", "LimitRangeViolated", CAPACITY, TEN_MINUTES, (f"set {FLOW}.resources.limits.cpu to",)),
    "a LimitRange that asks for limits": forbidden("maximum cpu usage per Pod is 1.  No limit is specified", "LimitRangeViolated", CAPACITY, TEN_MINUTES, (f"{FLOW}.resources.limits.cpu",)),
    "a LimitRange that asks for requests": forbidden("minimum memory usage per Pod is 1Gi.  No request is specified", "LimitRangeViolated", CAPACITY, TEN_MINUTES, (f"set {FLOW}.resources.requests.memory to",)),
    "a LimitRange of the ratio": forbidden("cpu max limit to request ratio per Container is 2, but provided ratio is 20.000000", "LimitRangeViolated", CAPACITY, TEN_MINUTES, (f"set {FLOW}.resources.requests.cpu to",)),
    "a LimitRange of the ratio, without requests": forbidden("[cpu max limit to request ratio per Container is 2, but no request is specified or request is 0]", "LimitRangeViolated", CAPACITY, TEN_MINUTES, (f"set {FLOW}.resources.requests.cpu to",)),
    "a service account that is missing": forbidden('error looking up service account sales/seller: serviceaccount "seller" not found', "ServiceAccountNotFound", CAPACITY, TEN_MINUTES, ("create it, or change podTemplate.spec.serviceAccountName",)),
    "a priority class that is missing": forbidden("no PriorityClass with name high was found", "PriorityClassNotFound", CAPACITY, TEN_MINUTES, ("podTemplate.spec.priorityClassName",)),
    "a runtime class that is missing": forbidden('pod rejected: RuntimeClass "gvisor" not found', "RuntimeClassNotFound", CAPACITY, TEN_MINUTES, ("podTemplate.spec.runtimeClassName",)),
    "Pod Security": forbidden(RESTRICTED, "PodRejected", says=(f"set {FLOW}.securityContext.allowPrivilegeEscalation, podTemplate.spec.containers[proxy].securityContext.allowPrivilegeEscalation, podTemplate.spec.securityContext.runAsNonRoot, podTemplate.spec.securityContext.seccompProfile.type as it asks",)),
    "Pod Security without fields": forbidden('violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)', "PodRejected", says=("change podTemplate as it asks",)),
    "a namespace that is being deleted": forbidden("unable to create new content in namespace sales because it is being terminated", "NamespaceTerminating"),
    "a namespace that is gone": Answer(404, "NotFound", 'namespaces "sales" not found', "NamespaceTerminating"),
    "no right to create pods": Answer(403, "Forbidden", 'pods is forbidden: User "system:serviceaccount:mintaka:operator" cannot create resource "pods" in API group "" in the namespace "sales"', "PodForbidden", patience=MINUTE, says=("the operator has no right to create pods there",)),
    "a node selector of the namespace": forbidden("pod node label selector conflicts with its namespace node label selector", "PodForbidden", patience=MINUTE, says=("podTemplate.spec.nodeSelector",)),
    "tolerations of the namespace, an error without a reason": Answer(500, "", "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist", "PodForbidden", patience=MINUTE, says=("tolerations",)),
    "an admission plugin nobody knows": forbidden("it is Tuesday", "PodForbidden", patience=MINUTE),
    "an admission policy": Answer(422, "Invalid", "pods \"x-1\" is forbidden: ValidatingAdmissionPolicy 'no-host' with binding 'b' denied request: image bad is not allowed", "AdmissionDenied", patience=MINUTE, says=("change podTemplate as it asks",), causes=({"message": "denied"},)),
    "an admission webhook": Answer(400, "", 'admission webhook "pods.example.com" denied the request: image is not signed', "AdmissionDenied", patience=MINUTE),
    "an admission webhook of controller-runtime's": Answer(403, "Forbidden", 'admission webhook "pods.example.com" denied the request: no', "AdmissionDenied", patience=MINUTE),
    "an admission webhook without a word": Answer(400, "", 'admission webhook "pods.example.com" denied the request without explanation', "AdmissionDenied", patience=MINUTE),
    "an admission webhook that asks to come back": Answer(429, "TooManyRequests", 'admission webhook "pods.example.com" denied the request: later', "AdmissionDenied", TRANSIENT, FOR_EVER),
    "an admission webhook that times out": webhook('Post "https://127.0.0.1:18443/?timeout=1s": context deadline exceeded'),
    "an admission webhook that is down": webhook('Post "https://127.0.0.1:18444/?timeout=1s": dial tcp 127.0.0.1:18444: connect: connection refused'),
    "an admission webhook whose service is gone": webhook('Post "https://gone.hooked.svc:443/?timeout=1s": service "gone" not found'),
    "an admission webhook that fails": webhook('an error on the server ("boom") has prevented the request from succeeding'),
    "larger than etcd stores": Answer(500, "", "etcdserver: request is too large", "PodTooLarge", says=("make source.inline, parameters or podTemplate smaller",)),
    "larger than the API server reads": Answer(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728", "PodTooLarge"),
    "larger than gRPC sends": Answer(500, "", "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2500000 vs. 2097152)", "PodTooLarge"),
    "invalid fields": Answer(
        422, "Invalid", 'Pod "x-1" is invalid: [spec.containers[0].image: Required value, …]', "PodRejected",
        says=(f"correct {FLOW}.image, podTemplate.spec.containers[proxy].ports[0].containerPort, podTemplate.spec.containers[7].name, podTemplate.metadata.annotations",),
        causes=({"field": "spec.containers[0].image"}, {"field": "spec.containers[1].ports[0].containerPort"}, {"field": "spec.containers[7].name"}, {"field": "metadata.annotations"}, {"message": "no field"}),
    ),
    "no pod at all": Answer(400, "BadRequest", 'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec', "PodRejected"),
    "a quota that many write": Answer(409, "Conflict", 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified; please apply your changes to the latest version and try again', "ApiServerBusy", TRANSIENT, FOR_EVER),
    "an API server that has just started": forbidden("not yet ready to handle request", "ApiServerBusy", TRANSIENT, FOR_EVER),
    "too many requests": Answer(429, "TooManyRequests", "Too many requests, please try again later.", "ApiServerBusy", TRANSIENT, FOR_EVER),
    "an API server that is away": Answer(0, "Unreachable", "the kube-apiserver did not answer POST /api/v1/namespaces/plain/pods: TimeoutError: ", "ApiServerUnavailable", TRANSIENT, FOR_EVER),
    "credentials that are not accepted": Answer(401, "Unauthorized", "Unauthorized", "ApiServerUnavailable", TRANSIENT, FOR_EVER),
    "an admission webhook that says 401": Answer(401, "Unauthorized", 'admission webhook "pods.example.com" denied the request: no', "AdmissionDenied", patience=MINUTE),
    "an API server that stops": Answer(503, "ServiceUnavailable", "apiserver is shutting down", "ApiServerUnavailable", TRANSIENT, FOR_EVER),
    "an API server that takes too long": Answer(504, "Timeout", "Timeout: request did not complete within requested timeout - context deadline exceeded", "ApiServerUnavailable", TRANSIENT, FOR_EVER),
    "etcd without a leader": Answer(500, "", "etcdserver: leader changed", "ApiServerUnavailable", TRANSIENT, FOR_EVER),
}  # fmt: skip


@pytest.mark.parametrize("sentence", ANSWERS)
def test_a_pod_that_cannot_be_created(sentence: str) -> None:
    """Reason, how it may pass, how long that is waited for, and the words of the server with the field to write."""
    answer = ANSWERS[sentence]
    seen = create_error_of(ApiError(answer.code, answer.reason, answer.message, None, answer.causes), POD)
    assert (seen.reason, seen.kind, seen.patience, seen.verdict) == (answer.expected, answer.kind, answer.patience, CRASHED)
    assert seen.message.startswith(answer.message)
    for words in answer.says:
        assert words in seen.message.removeprefix(answer.message)


@pytest.mark.parametrize("sentence", ["a quota that is used up", "a quota that has room for such a pod at other times"])
def test_a_pod_that_only_has_to_wait_is_told_nothing_more(sentence: str) -> None:
    """There is nothing to write."""
    answer = ANSWERS[sentence]
    assert create_error_of(ApiError(answer.code, answer.reason, answer.message), POD).message == answer.message


@pytest.mark.parametrize("sentence", ANSWERS)
def test_the_manifest_is_not_needed(sentence: str) -> None:
    """Without it, the field is that of the flow's container."""
    answer = ANSWERS[sentence]
    seen = create_error_of(ApiError(answer.code, answer.reason, answer.message))
    assert (seen.reason, seen.kind) == (answer.expected, answer.kind)


def test_every_reason_is_listed_and_reached() -> None:
    """The documentation and the metrics have them from the list."""
    assert {answer.expected for answer in ANSWERS.values()} | {"PodNameTaken"} == REASONS


@pytest.mark.parametrize(("retry_after", "code"), [(30.0, 429), (1.0, 503), (None, 503)])
def test_what_the_server_asks_to_wait_is_passed_on(retry_after: float | None, code: int) -> None:
    """`Retry-After`, in seconds."""
    assert create_error_of(ApiError(code, "", "later", retry_after)).retry_after == retry_after


def test_a_pod_that_lacks_a_hundred_fields_is_told_of_some() -> None:
    """The message stays readable."""
    names = ",".join(f"c{number}" for number in range(100))
    message = f'pods "x" is forbidden: failed quota: q: must specify limits.cpu for: {names}'
    assert create_error_of(ApiError(403, "Forbidden", message)).message.endswith(" and 92 more")


def invalid(value: str) -> ApiError:
    """A pod with a value that the API server does not accept, and quotes."""
    return ApiError(
        422,
        "Invalid",
        f'Pod "x-1" is invalid: spec.hostname: Invalid value: "{value}": must be a name',
        causes=({"field": "spec.hostname"},),
    )


#: Refusals that take quadratic code minutes, and the reason of each.
LONG = {
    "a name of one word": (invalid("a" * 300_000), "PodRejected"),
    "words of a LimitRange": (invalid("maximum cpu usage per " * 20_000), "PodRejected"),
    "opened brackets": (ApiError(403, "Forbidden", 'pods "x-1" is forbidden: violates PodSecurity "' + "(" * 300_000), "PodRejected"),
    "containers of Pod Security": (ApiError(403, "Forbidden", 'pods "x-1" is forbidden: violates PodSecurity "' + '("a' * 100_000), "PodRejected"),
    "a LimitRange and one word": (ApiError(403, "Forbidden", 'pods "x-1" is forbidden: maximum cpu usage per Pod is 1, but limit is 9 ' + "a" * 300_000), "LimitRangeViolated"),
    "a LimitRange and brackets": (ApiError(403, "Forbidden", 'pods "x-1" is forbidden: maximum cpu usage per Pod is 1, but limit is 9 ' + "[" * 300_000), "LimitRangeViolated"),
    "a LimitRange without numbers": (ApiError(403, "Forbidden", 'pods "x-1" is forbidden: [maximum cpu usage per Pod is 1, but limit is 9' + ", maximum cpu usage per Pod is" * 10_000), "LimitRangeViolated"),
    "a webhook's name that does not end": (ApiError(500, "", 'failed calling webhook "' * 20_000), "AdmissionUnavailable"),
    "a policy's name that does not end": (ApiError(403, "Forbidden", "pods \"x-1\" is forbidden: Policy '" + "' with binding '" * 20_000), "PodForbidden"),
    "a pod's name that does not end": (ApiError(403, "Forbidden", 'pods "' * 50_000), "PodForbidden"),
    "the words of a quota again and again": (invalid("exceeded quota: a, requested: b, used: c" * 5_000), "PodRejected"),
    "a quota without a limit": (ApiError(403, "Forbidden", 'pods "x-1" is forbidden: ' + "exceeded quota: a, requested: b, used: c" * 5_000), "QuotaExceeded"),
    "a quota of many names": (ApiError(403, "Forbidden", 'pods "x-1" is forbidden: exceeded quota: a, requested: ' + ",x=1" * 50_000 + ", used: , limited: " + ",x=0" * 50_000), "QuotaExceeded"),
    "a message of gRPC": (ApiError(500, "", "rpc error: code = ResourceExhausted desc = " * 10_000), "ApiServerUnavailable"),
}  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("limit", [None, 10**9], ids=["cut", "whole"])
@pytest.mark.parametrize("sentence", LONG)
def test_a_refusal_is_read_in_linear_time(sentence: str, limit: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One loop serves all runs. The message is cut, and would take no longer to read if it were not."""
    error, expected = LONG[sentence]
    if limit:
        monkeypatch.setattr("mintaka_operator.create_errors._LONGEST_MESSAGE", limit)
    seen = create_error_of(error, POD)
    assert seen.reason == expected
    if not limit:
        assert seen.message.startswith(error.message[:4000])
        assert len(seen.message) < 5000


@pytest.mark.timeout(20)
def test_the_fields_of_thousands_of_containers_are_found_in_linear_time() -> None:
    """A pod of 256 KiB has room for thousands of containers, each of which the API server refuses; only some are named."""
    pod = {"spec": {kind: [{"name": f"c{number}"} for number in range(5000)] for kind in ("containers", "initContainers")}}
    causes = tuple({"field": f"spec.{kind}[{number}].image"} for kind in pod["spec"] for number in range(5000))
    seen = create_error_of(ApiError(422, "Invalid", "invalid", None, (*causes, {"field": f"spec.nodeSelector[{'k' * 100_000}]"})), pod)
    assert "correct podTemplate.spec.containers[c0].image, " in seen.message
    assert seen.message.endswith(" and 9993 more")
    assert len(seen.message) < 1000


#: What the server says of values that a pod's author wrote, and that are not its own words.
QUOTED = (
    "exceeded quota: a, requested: b, used: c, limited: d",
    "status unknown for quota: q",
    "failed quota: q: must specify limits.cpu for: flow",
    "maximum cpu usage per Container is 1, but limit is 10",
    "cpu max limit to request ratio per Container is 2",
    'failed calling webhook "a": no',
    "admission webhook denied the request: no",
    "etcdserver: request is too large",
    "not yet ready to handle request",
    "error looking up service account a/b",
    "no PriorityClass with name x was found",
    "violates PodSecurity",
    "because it is being terminated",
    'cannot create resource "pods"',
    "conflicts with its namespace",
)  # fmt: skip


@pytest.mark.parametrize("value", QUOTED)
def test_words_that_the_author_of_the_pod_wrote_are_not_the_servers(value: str) -> None:
    """A run whose pod is invalid ends at once, whatever the invalid value is."""
    seen = create_error_of(invalid(value), POD)
    assert (seen.reason, seen.kind, seen.patience) == ("PodRejected", LASTING, AT_ONCE)


@pytest.mark.parametrize("value", QUOTED)
def test_a_name_that_is_missing_is_not_read_as_more_than_a_name(value: str) -> None:
    """The names of a ServiceAccount and a PriorityClass are looked up before they are validated."""
    said = ApiError(403, "Forbidden", f'pods "x-1" is forbidden: no PriorityClass with name {value} was found')
    assert create_error_of(said, POD).reason == "PriorityClassNotFound"
    said = ApiError(
        403, "Forbidden", f'pods "x-1" is forbidden: error looking up service account sales/{value}: serviceaccount "{value}" not found'
    )
    assert create_error_of(said, POD).reason == "ServiceAccountNotFound"


@given(st.sampled_from([0, 400, 403, 404, 409, 413, 422, 429, 500, 503]), st.text(max_size=20), st.lists(st.sampled_from(list(ANSWERS)), max_size=2), st.text(max_size=60))  # fmt: skip
def test_any_answer_is_judged(code: int, reason: str, sentences: list[str], more: str) -> None:
    """Words in any order, whole and cut."""
    words = "".join(ANSWERS[sentence].message for sentence in sentences)[: len(more) * 5] + more
    seen = create_error_of(ApiError(code, reason, words), POD)
    assert seen.reason in REASONS
    assert (seen.kind == TRANSIENT) <= (seen.patience is None)


@pytest.mark.parametrize(
    ("text", "number"),
    [("100m", Decimal("0.1")), ("1", Decimal(1)), (2, Decimal(2)), ("1Gi", Decimal(2**30)), ("1.5k", Decimal(1500)), ("1e3", Decimal(1000)), ("x", None), ("", None), ("1.2.3", None), ("9e999999Ei", None), ("9" * 100, None), ("1" * 9999, None), (True, None), (["1"], None)],
)  # fmt: skip
def test_quantities(text: Any, number: Decimal | None) -> None:
    """As Kubernetes writes them."""
    assert quantity(text) == number
