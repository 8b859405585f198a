"""Why a pod cannot be created, by the answers of a real kube-apiserver: the texts that are told apart are still the ones it writes."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mintaka_operator.cluster import ApiError, Cluster, find_credentials
from mintaka_operator.create_errors import create_error_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mintaka_core.workloads import CreateError

pytestmark = pytest.mark.anyio

#: Admission plugins see a new object after a moment.
SECONDS = 20


def pod(**flow: Any) -> dict[str, Any]:
    """The manifest of a pod."""
    spec = {"restartPolicy": "Never", "containers": [{"name": "flow", "image": "sales:3", **flow}], "automountServiceAccountToken": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "nightly-1"}, "spec": spec}


class Server:
    """One namespace of the API server, and what it says to pods."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object of a core resource of the namespace."""
        return await self.cluster.create(f"/api/v1/namespaces/{self.namespace}/{path}", body)

    async def answer(self, manifest: dict[str, Any]) -> CreateError | None:
        """What the creation of a pod comes to; nothing is created."""
        try:
            await self.cluster.request("POST", f"/api/v1/namespaces/{self.namespace}/pods", body=manifest, query={"dryRun": "All"})
        except ApiError as error:
            return create_error_of(error, manifest)
        return None

    async def refuses(self, manifest: dict[str, Any], reason: str) -> CreateError:
        """What it says once its admission plugins know of everything that was created."""
        for _ in range(int(SECONDS / 0.2)):
            seen = await self.answer(manifest)
            if seen is not None and seen.reason == reason:
                return seen
            await asyncio.sleep(0.2)
        message = f"the API server says {seen}, not {reason}"
        raise AssertionError(message)


@pytest.fixture
async def server(kubeconfig: str) -> AsyncIterator[Server]:
    """An empty namespace of a real API server."""
    name = f"pods-{uuid.uuid4().hex[:10]}"
    async with Cluster(find_credentials(kubeconfig)) as cluster:
        await cluster.create("/api/v1/namespaces", {"metadata": {"name": name}})
        yield Server(cluster, name)
        await cluster.delete(f"/api/v1/namespaces/{name}")


async def quota(server: Server, **hard: str) -> None:
    """A quota of which nothing is used; nobody counts it in a control plane of its own."""
    made = await server.create("resourcequotas", {"metadata": {"name": "quota"}, "spec": {"hard": hard}})
    status = {"hard": hard, "used": dict.fromkeys(hard, "0")}
    path = f"/api/v1/namespaces/{server.namespace}/resourcequotas/quota/status"
    await server.cluster.request("PATCH", path, body={"status": status}, content_type="application/merge-patch+json")
    assert made


async def limits(server: Server, **limit: Any) -> None:
    """A LimitRange of containers."""
    await server.create("limitranges", {"metadata": {"name": "limits"}, "spec": {"limits": [{"type": "Container", **limit}]}})


@asynccontextmanager
async def admission(server: Server, kind: str, *objects: dict[str, Any]) -> AsyncIterator[None]:
    """Cluster-wide objects of the admission API that concern the namespace alone."""
    paths = []
    try:
        for body in objects:
            path = f"/apis/admissionregistration.k8s.io/v1/{body.pop('plural', kind)}"
            await server.cluster.create(path, body)
            paths.append(f"{path}/{body['metadata']['name']}")
        yield
    finally:
        for path in paths:
            await server.cluster.delete(path)


class TestQuotas:
    async def test_a_quota_without_room(self, server: Server) -> None:
        await quota(server, pods="0")
        assert "raise the quota" in (await server.refuses(pod(), "QuotaExceeded")).message

    async def test_a_quota_that_asks_for_limits_names_the_fields(self, server: Server) -> None:
        await quota(server, **{"limits.cpu": "4", "requests.memory": "1Gi"})
        message = (await server.refuses(pod(), "ResourcesRequired")).message
        assert "set podTemplate.spec.containers[flow].resources.limits.cpu" in message
        assert "podTemplate.spec.containers[flow].resources.requests.memory" in message

    async def test_a_pod_that_is_larger_than_its_quota_is_told_which_field_to_lower(self, server: Server) -> None:
        await quota(server, **{"limits.cpu": "4"})
        message = (await server.refuses(pod(resources={"limits": {"cpu": "10"}}), "QuotaExceeded")).message
        assert "lower podTemplate.spec.containers[flow].resources.limits.cpu, or raise the quota" in message


class TestLimitRanges:
    @pytest.mark.parametrize(
        ("limit", "resources", "field"),
        [
            ({"max": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, "limits.cpu"),
            ({"min": {"memory": "64Mi"}}, {"requests": {"memory": "1Mi"}}, "requests.memory"),
            ({"maxLimitRequestRatio": {"cpu": "2"}}, {"limits": {"cpu": "2"}, "requests": {"cpu": "100m"}}, "requests.cpu"),
            ({"maxLimitRequestRatio": {"cpu": "2"}}, {}, "requests.cpu"),
        ],
        ids=["more than the maximum", "less than the minimum", "another ratio", "no ratio"],
    )
    async def test_a_limit_range_names_the_field(self, server: Server, limit: Any, resources: Any, field: str) -> None:
        await limits(server, **limit)
        message = (await server.refuses(pod(resources=resources), "LimitRangeViolated")).message
        assert f"set podTemplate.spec.containers[flow].resources.{field} to what the namespace's LimitRange allows" in message


class TestMissingObjects:
    @pytest.mark.parametrize(
        ("field", "reason"), [("priorityClassName", "PriorityClassNotFound"), ("runtimeClassName", "RuntimeClassNotFound")]
    )
    async def test_a_class_that_is_missing_is_named(self, server: Server, field: str, reason: str) -> None:
        manifest = pod()
        manifest["spec"][field] = "nowhere"
        seen = await server.refuses(manifest, reason)
        assert "nowhere" in seen.message
        assert f"change podTemplate.spec.{field}" in seen.message

    async def test_a_namespace_that_is_missing(self, server: Server) -> None:
        nowhere = Server(server.cluster, "no-such-namespace")
        await nowhere.refuses(pod(), "NamespaceTerminating")


class TestPolicies:
    async def test_pod_security_names_the_fields(self, server: Server) -> None:
        labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        await server.cluster.patch(f"/api/v1/namespaces/{server.namespace}", labels)
        message = (await server.refuses(pod(), "PodRejected")).message
        assert "podTemplate.spec.containers[flow].securityContext.allowPrivilegeEscalation" in message
        assert "podTemplate.spec.securityContext.runAsNonRoot" in message

    async def test_a_validating_admission_policy(self, server: Server) -> None:
        selector = {"matchLabels": {"kubernetes.io/metadata.name": server.namespace}}
        rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
        policy = {
            "metadata": {"name": server.namespace},
            "spec": {
                "matchConstraints": {"resourceRules": rules},
                "validations": [{"expression": "false", "message": "never on Tuesdays"}],
            },
        }
        binding = {
            "plural": "validatingadmissionpolicybindings",
            "metadata": {"name": server.namespace},
            "spec": {"policyName": server.namespace, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": selector}},
        }
        async with admission(server, "validatingadmissionpolicies", policy, binding):
            assert "never on Tuesdays" in (await server.refuses(pod(), "AdmissionDenied")).message

    async def test_a_webhook_that_does_not_answer(self, server: Server) -> None:
        selector = {"matchLabels": {"kubernetes.io/metadata.name": server.namespace}}
        hook = {
            "name": "pods.example.com",
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            "namespaceSelector": selector,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 1,
        }
        async with admission(
            server, "validatingwebhookconfigurations", {"metadata": {"name": f"{server.namespace}.example.com"}, "webhooks": [hook]}
        ):
            seen = await server.refuses(pod(), "AdmissionUnavailable")
        assert "the admission webhook pods.example.com does not answer" in seen.message


class TestPods:
    async def test_a_pod_that_is_invalid_names_the_field(self, server: Server) -> None:
        manifest = pod(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}})
        message = (await server.refuses(manifest, "PodRejected")).message
        assert "correct podTemplate.spec.containers[flow].resources.requests" in message

    @pytest.mark.filterwarnings("ignore:Sending a large body directly")
    @pytest.mark.parametrize("count", [20, 40], ids=["for etcd", "for the API server"])
    async def test_a_pod_that_is_too_large(self, server: Server, count: int) -> None:
        """Without dryRun, which does not reach etcd."""
        large = pod(env=[{"name": f"V{number}", "value": "x" * 100_000} for number in range(count)])
        with pytest.raises(ApiError) as caught:
            await server.create("pods", large)
        assert create_error_of(caught.value, large).reason == "PodTooLarge"
