"""FlowRun → Pod: what a flow is given, what its author may change, what the operator holds on to."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mintaka.environment import Environment, InvalidEnvironment
from mintaka_core.resources import FlowRun, FlowTemplate
from mintaka_core.wire_versions import WIRE_VERSION
from mintaka_core.workloads import RevisionCode
from mintaka_operator.pods import PodDefaults, build_pod, owner_reference, template_fault

UID = "0b7cfd0e-6c4e-4e0b-8a38-c7c1ab2f5a11"
DEFAULTS = PodDefaults("mintaka-flow:dev", "http://mintaka-api:4200")

OWNER = {
    "apiVersion": "mintaka.dev/v1alpha1",
    "kind": "FlowRun",
    "name": "nightly",
    "uid": UID,
    "controller": True,
    "blockOwnerDeletion": True,
}


def flow_run(name: str = "nightly", **spec: Any) -> FlowRun:
    """A run."""
    return FlowRun.model_validate({"metadata": {"name": name, "namespace": "sales", "uid": UID}, "spec": {"deployment": "nightly", **spec}})


def built(run: FlowRun | None = None, attempt: int = 1, defaults: PodDefaults = DEFAULTS, **template: Any) -> dict[str, Any]:
    """The pod of a template."""
    return build_pod(run or flow_run(), FlowTemplate.model_validate({"entrypoint": "sales:main", **template}), attempt, defaults)


def flow(pod: dict[str, Any]) -> dict[str, Any]:
    """The flow's container."""
    return dict(next(container for container in pod["spec"]["containers"] if container["name"] == "flow"))


def environment(pod: dict[str, Any]) -> dict[str, str]:
    """The flow's variables, as its process will see them: Kubernetes expands `$(NAME)` and reads `$$` as `$`."""
    seen: dict[str, str] = {}
    for entry in flow(pod)["env"]:
        pieces = re.sub(
            r"\$\$|\$\((\w+)\)", lambda match: "$" if match[0] == "$$" else seen.get(match[1], match[0]), entry.get("value", "")
        )
        seen[entry["name"]] = pieces
    return seen


class TestManifests:
    def test_a_flow_in_the_image(self) -> None:
        assert built(parameters={"region": "north"}, tags=["b"], run=flow_run(tags=["a"], parameters={"day": 1}), attempt=2) == {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "annotations": {},
                "labels": {
                    "app.kubernetes.io/managed-by": "mintaka",
                    "mintaka.dev/flow-run": "nightly",
                    "mintaka.dev/attempt": "2",
                    "mintaka.dev/deployment": "nightly",
                    "mintaka.dev/reports": "true",
                },
                "name": "nightly-2",
                "namespace": "sales",
                "ownerReferences": [OWNER],
                "finalizers": ["mintaka.dev/attempt"],
            },
            "spec": {
                "containers": [
                    {
                        "name": "flow",
                        "image": "mintaka-flow:dev",
                        "env": [
                            {"name": "MINTAKA_FLOW_RUN", "value": "nightly"},
                            {"name": "MINTAKA_FLOW_RUN_UID", "value": UID},
                            {"name": "MINTAKA_NAMESPACE", "value": "sales"},
                            {"name": "MINTAKA_DEPLOYMENT", "value": "nightly"},
                            {"name": "MINTAKA_ATTEMPT", "value": "2"},
                            {"name": "MINTAKA_WIRE_VERSION", "value": str(WIRE_VERSION)},
                            {"name": "MINTAKA_PARAMETERS", "value": '{"region":"north","day":1}'},
                            {"name": "MINTAKA_TAGS", "value": '["a", "b"]'},
                            {"name": "MINTAKA_ENTRYPOINT", "value": "sales:main"},
                            {"name": "MINTAKA_ATTEMPT_DIR", "value": "/mintaka/attempt"},
                            {"name": "MINTAKA_API_URL", "value": "http://mintaka-api:4200"},
                            {"name": "MINTAKA_GRACE_SECONDS", "value": "30"},
                        ],
                        "terminationMessagePolicy": "FallbackToLogsOnError",
                        "command": ["python", "-m", "mintaka.runner"],
                        "volumeMounts": [{"name": "mintaka-attempt", "mountPath": "/mintaka/attempt"}],
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    }
                ],
                "enableServiceLinks": False,
                "automountServiceAccountToken": False,
                "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                "volumes": [{"name": "mintaka-attempt", "emptyDir": {}}],
                "restartPolicy": "Never",
            },
        }

    @pytest.mark.parametrize(
        "template",
        [
            {"image": "mine:1"},
            {"podTemplate": {"spec": {"containers": [{"name": "flow", "image": "mine:1"}]}}},
            {"entrypoint": None, "podTemplate": {"spec": {"containers": [{"name": "flow", "command": ["true"]}]}}},
        ],
        ids=["an image of the deployment's", "an image in the pod template", "a plain container"],
    )
    def test_what_is_not_our_image_is_not_restricted_for_its_author(self, template: dict[str, Any]) -> None:
        pod = built(**template)
        assert "securityContext" not in flow(pod)
        assert "securityContext" not in pod["spec"]

    @pytest.mark.parametrize("text", ["def main(): ...", "TEXT = '$(MINTAKA_NAMESPACE) $$'\n", "漢" * 21_000])
    @pytest.mark.parametrize("file", ["flow.py", "jobs/nightly/flow.py"])
    def test_a_source_written_out_travels_as_a_file(self, text: str, file: str) -> None:
        pod = built(entrypoint=f"{file}:main", source={"inline": text}, podTemplate={"metadata": {"annotations": {"a": "b"}}})
        assert pod["metadata"]["annotations"] == {"a": "b", "mintaka.dev/source": text}
        field = {"fieldPath": "metadata.annotations['mintaka.dev/source']"}
        source = {"name": "mintaka-source", "downwardAPI": {"items": [{"path": file, "fieldRef": field}]}}
        assert pod["spec"]["volumes"] == [source, {"name": "mintaka-attempt", "emptyDir": {}}]
        assert flow(pod)["volumeMounts"][0] == {"name": "mintaka-source", "mountPath": "/mintaka/source", "readOnly": True}
        assert environment(pod)["MINTAKA_SOURCE_DIR"] == "/mintaka/source"
        assert text not in environment(pod).values()

    def test_a_source_in_a_config_map(self) -> None:
        pod = built(entrypoint="flow.py:main", source={"configMap": {"name": "code"}})
        assert pod["spec"]["volumes"][0] == {"name": "mintaka-source", "configMap": {"name": "code"}}
        assert flow(pod)["volumeMounts"][0] == {"name": "mintaka-source", "mountPath": "/mintaka/source", "readOnly": True}
        assert environment(pod)["MINTAKA_SOURCE_DIR"] == "/mintaka/source"

    def test_a_source_whose_config_map_has_changed_since_travels_in_annotations(self) -> None:
        """One for each file: their names need not be names of annotations."""
        template = FlowTemplate.model_validate({"entrypoint": "flow.py:main", "source": {"configMap": {"name": "code"}}})
        files = {"flow.py": "one\n", "A_helper.module-2.py": "é\0"}
        pod = build_pod(flow_run(), template, 2, DEFAULTS, code=RevisionCode("nightly-0123456789", files))
        assert pod["metadata"]["annotations"] == {
            "mintaka.dev/revision": "nightly-0123456789",
            "mintaka.dev/source-0": "one\n",
            "mintaka.dev/source-1": "é\0",
        }
        items = [
            {"path": "flow.py", "fieldRef": {"fieldPath": "metadata.annotations['mintaka.dev/source-0']"}},
            {"path": "A_helper.module-2.py", "fieldRef": {"fieldPath": "metadata.annotations['mintaka.dev/source-1']"}},
        ]
        assert {"name": "mintaka-source", "downwardAPI": {"items": items}} in pod["spec"]["volumes"]
        assert {"name": "mintaka-source", "mountPath": "/mintaka/source", "readOnly": True} in flow(pod)["volumeMounts"]

    def test_a_revision_whose_config_map_is_the_same_mounts_that(self) -> None:
        template = FlowTemplate.model_validate({"entrypoint": "flow.py:main", "source": {"configMap": {"name": "code"}}})
        pod = build_pod(flow_run(), template, 2, DEFAULTS, code=RevisionCode("nightly-0123456789"))
        assert {"name": "mintaka-source", "configMap": {"name": "code"}} in pod["spec"]["volumes"]
        assert pod["metadata"]["annotations"] == {"mintaka.dev/revision": "nightly-0123456789"}

    def test_an_author_cannot_say_which_revision_a_pod_runs(self) -> None:
        template = FlowTemplate.model_validate(
            {
                "entrypoint": "a:b",
                "podTemplate": {"metadata": {"annotations": {"mintaka.dev/revision": "other"}}},
            }
        )
        pod = build_pod(flow_run(), template, 1, DEFAULTS, code=RevisionCode("nightly-0123456789"))
        assert pod["metadata"]["annotations"]["mintaka.dev/revision"] == "nightly-0123456789"

    def test_a_plain_container(self) -> None:
        template = {"spec": {"containers": [{"name": "flow", "image": "alpine", "command": ["true"]}]}}
        pod = built(entrypoint=None, podTemplate=template)
        assert (flow(pod)["image"], flow(pod)["command"]) == ("alpine", ["true"])
        assert "mintaka.dev/reports" not in pod["metadata"]["labels"], "it leaves no report"
        assert "MINTAKA_ENTRYPOINT" not in environment(pod)

    def test_a_run_without_a_deployment(self) -> None:
        pod = built(FlowRun.model_validate({"metadata": {"name": "once", "uid": UID}, "spec": {}}))
        assert "mintaka.dev/deployment" not in pod["metadata"]["labels"]
        assert "MINTAKA_DEPLOYMENT" not in environment(pod)

    def test_without_an_api_there_is_no_address_of_one(self) -> None:
        assert "MINTAKA_API_URL" not in environment(built(defaults=PodDefaults("i")))

    def test_the_image_of_the_template_goes_before_the_operators(self) -> None:
        assert flow(built(image="sales:3"))["image"] == "sales:3"
        assert (
            flow(built(image="sales:3", podTemplate={"spec": {"containers": [{"name": "flow", "image": "sales:4"}]}}))["image"] == "sales:4"
        )

    def test_a_pod_is_held_until_its_end_is_recorded(self) -> None:
        held = built(podTemplate={"metadata": {"finalizers": ["other/one"]}})
        assert held["metadata"]["finalizers"] == ["mintaka.dev/attempt"]

    def test_the_same_run_and_attempt_make_the_same_pod(self) -> None:
        assert built() == built()


class TestTemplates:
    def test_what_the_author_wrote_is_kept(self) -> None:
        template = {
            "metadata": {"labels": {"team": "sales"}, "annotations": {"sidecar.istio.io/inject": "false"}},
            "spec": {
                "serviceAccountName": "seller",
                "automountServiceAccountToken": True,
                "securityContext": {"runAsNonRoot": True},
                "nodeSelector": {"disk": "ssd"},
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
                "initContainers": [{"name": "fetch", "image": "git:1"}],
                "volumes": [{"name": "scratch", "emptyDir": {}}],
                "containers": [
                    {"name": "proxy", "image": "envoy:2"},
                    {"name": "flow", "resources": {"limits": {"memory": "1Gi"}}, "securityContext": {"runAsUser": 7}, "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]},
                ],
            },
        }  # fmt: skip
        pod = built(image="sales:3", entrypoint="flow.py:main", source={"configMap": {"name": "code"}}, podTemplate=template)
        spec = pod["spec"]
        for field in (
            "serviceAccountName",
            "automountServiceAccountToken",
            "securityContext",
            "nodeSelector",
            "tolerations",
            "initContainers",
        ):
            assert spec[field] == template["spec"][field]
        assert [volume["name"] for volume in spec["volumes"]] == ["mintaka-source", "mintaka-attempt", "scratch"]
        assert [container["name"] for container in spec["containers"]] == ["proxy", "flow"]
        assert flow(pod)["resources"] == {"limits": {"memory": "1Gi"}}
        assert [mount["mountPath"] for mount in flow(pod)["volumeMounts"]] == ["/mintaka/source", "/mintaka/attempt", "/scratch"]
        assert flow(pod)["command"] == ["python", "-m", "mintaka.runner"]
        assert pod["metadata"]["labels"]["team"] == "sales"
        assert pod["metadata"]["annotations"] == {"sidecar.istio.io/inject": "false"}

    def test_what_the_operator_relies_on_cannot_be_overwritten(self) -> None:
        metadata = {
            "name": "mine",
            "namespace": "theirs",
            "ownerReferences": [],
            "labels": {"mintaka.dev/attempt": "9", "app.kubernetes.io/managed-by": "me"},
        }
        pod = built(podTemplate={"metadata": metadata, "spec": {"restartPolicy": "OnFailure"}})
        assert (pod["metadata"]["name"], pod["metadata"]["namespace"]) == ("nightly-1", "sales")
        assert pod["metadata"]["ownerReferences"] == [owner_reference(flow_run())]
        assert pod["metadata"]["labels"]["mintaka.dev/attempt"] == "1"
        assert pod["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "mintaka"
        assert pod["spec"]["restartPolicy"] == "Never"

    def test_a_variable_may_refer_to_ours(self) -> None:
        mine = {"name": "OUTPUT", "value": "/data/$(MINTAKA_FLOW_RUN)"}
        assert environment(built(podTemplate={"spec": {"containers": [{"name": "flow", "env": [mine]}]}}))["OUTPUT"] == "/data/nightly"

    def test_the_grace_period_is_told_to_the_flow(self) -> None:
        assert environment(built(podTemplate={"spec": {"terminationGracePeriodSeconds": 90}}))["MINTAKA_GRACE_SECONDS"] == "90"
        assert environment(built(podTemplate={"spec": {"terminationGracePeriodSeconds": 0}}))["MINTAKA_GRACE_SECONDS"] == "0"

    def test_a_termination_message_file_that_was_moved_is_told_to_the_flow(self) -> None:
        pod = built(podTemplate={"spec": {"containers": [{"name": "flow", "terminationMessagePath": "/mintaka/end"}]}})
        assert environment(pod)["MINTAKA_TERMINATION_MESSAGE_PATH"] == "/mintaka/end"
        assert "MINTAKA_TERMINATION_MESSAGE_PATH" not in environment(built())

    @pytest.mark.parametrize(
        "template",
        [{"spec": []}, {"spec": "x"}, {"metadata": []}, {"metadata": {"labels": []}}, {"metadata": {"annotations": "x"}}, {"spec": {"containers": ["x"]}}, {"spec": {"containers": [{"name": {}}]}}, {"spec": {"containers": [{"name": "flow", "envFrom": "x"}]}}, {"spec": {"terminationGracePeriodSeconds": "x"}}],
        ids=json.dumps,
    )  # fmt: skip
    def test_nonsense_is_passed_on_for_the_api_server_to_refuse(self, template: dict[str, Any]) -> None:
        pod = built(podTemplate=template, resultStorage={"url": "s3://results", "secretRef": {"name": "access"}})
        for part, wrong in template.items():
            if not isinstance(wrong, dict):
                assert part == "metadata" or pod[part] == wrong
        if isinstance(template.get("metadata"), dict):
            assert template["metadata"].items() <= pod["metadata"].items()

    @pytest.mark.parametrize("template", [None, {}, {"spec": None}, {"metadata": None}, {"metadata": {"labels": None}}], ids=json.dumps)
    def test_an_empty_template_changes_nothing(self, template: dict[str, Any] | None) -> None:
        spec = build_pod(flow_run(), FlowTemplate.model_validate({"podTemplate": template}), 1, DEFAULTS)["spec"]
        assert (spec.get("restartPolicy"), "containers" in spec) == ("Never", template != {"spec": None})


PLAIN: dict[str, Any] = {"entrypoint": None}


def containers(*of: Any, **more: Any) -> dict[str, Any]:
    """A pod template with these containers."""
    return {"podTemplate": {"spec": {"containers": list(of), **more}}}


class TestPlainContainers:
    """A flow without an entrypoint is whatever its container does; what that is called is the author's choice."""

    def test_the_only_container_is_the_flow_whatever_it_is_called(self) -> None:
        pod = built(**PLAIN, image="crunch:1", **containers({"name": "crunch", "command": ["crunch"]}))
        (only,) = pod["spec"]["containers"]
        assert (only["name"], only["image"], only["command"]) == ("crunch", "crunch:1", ["crunch"])
        assert {"MINTAKA_FLOW_RUN", "MINTAKA_PARAMETERS"} <= {entry["name"] for entry in only["env"]}
        assert pod["metadata"]["annotations"]["mintaka.dev/container"] == "crunch"

    def test_one_that_is_called_flow_is_the_flow_among_others(self) -> None:
        pod = built(**PLAIN, **containers({"name": "proxy", "image": "envoy"}, {"name": "flow", "image": "crunch:1"}))
        assert [container["name"] for container in pod["spec"]["containers"]] == ["proxy", "flow"]
        assert pod["metadata"]["annotations"] == {}

    def test_the_image_of_the_deployment_is_enough(self) -> None:
        pod = built(**PLAIN, image="crunch:1", podTemplate={"spec": {"nodeSelector": {"disk": "ssd"}}})
        assert [(container["name"], container["image"]) for container in pod["spec"]["containers"]] == [("flow", "crunch:1")]

    def test_which_of_several_is_the_flow_must_be_said(self) -> None:
        template = FlowTemplate.model_validate({**PLAIN, **containers({"name": "crunch"}, {"name": "proxy"})})
        fault = template_fault(template, DEFAULTS)
        assert fault
        assert (fault.reason, fault.verdict, fault.patience) == ("InvalidTemplate", "FAILED", timedelta(0))
        assert (
            fault.message == "podTemplate.spec.containers are 'crunch', 'proxy', and nothing says which of them is the flow: call it 'flow'"
        )

    def test_the_other_containers_of_a_python_flow_are_its_sidecars(self) -> None:
        pod = built(**containers({"name": "proxy", "image": "envoy"}))
        assert [container["name"] for container in pod["spec"]["containers"]] == ["flow", "proxy"]

    @pytest.mark.parametrize("nonsense", [[{"name": None}], [{}], ["x"], "x", [{"name": ["flow"]}]], ids=str)
    def test_nonsense_is_no_reason_to_fail(self, nonsense: Any) -> None:
        template = FlowTemplate.model_validate({**PLAIN, "podTemplate": {"spec": {"containers": nonsense}}})
        template_fault(template, DEFAULTS)
        assert build_pod(flow_run(), template, 1, DEFAULTS)["spec"]["restartPolicy"] == "Never"


class TestSources:
    @pytest.mark.parametrize("entrypoint", ["../flow.py:main", "a/../../flow.py:main", "f" * 260 + ".py:main"])
    def test_a_file_name_that_is_none_is_refused_with_a_sentence(self, entrypoint: str) -> None:
        template = FlowTemplate.model_validate({"entrypoint": entrypoint, "source": {"inline": "x = 1"}})
        fault = template_fault(template, DEFAULTS)
        assert fault
        assert "write flow.py:main" in fault.message

    def test_annotations_that_leave_no_room_for_the_files_of_a_revision_are_refused_with_a_sentence(self) -> None:
        """The deployment's own annotations may take up to 256 KiB with them."""
        annotations = {"note": "x" * 150_000}
        template = FlowTemplate.model_validate(
            {
                "entrypoint": "flow.py:main",
                "source": {"configMap": {"name": "code"}},
                "podTemplate": {"metadata": {"annotations": annotations}},
            }
        )
        assert template_fault(template, DEFAULTS, RevisionCode("r", {"flow.py": "x" * 100_000})) is None
        fault = template_fault(template, DEFAULTS, RevisionCode("r", {"flow.py": "x" * 120_000}))
        assert fault is not None
        assert fault.message.startswith("the source as it was when the run was created and the annotations of the pod take 270")
        assert fault.message.endswith("put the code into an image")

    def test_annotations_that_leave_no_room_for_the_source_are_refused_with_a_sentence(self) -> None:
        source = {"entrypoint": "flow.py:main", "source": {"inline": "漢" * 20_000}}
        wide = {"metadata": {"annotations": {"mine": "x" * 205_000}}}
        fault = template_fault(FlowTemplate.model_validate({**source, "podTemplate": wide}), DEFAULTS)
        assert fault
        assert "at most 262144 are allowed: put the code into a ConfigMap" in fault.message
        assert template_fault(FlowTemplate.model_validate(source), DEFAULTS) is None
        assert template_fault(FlowTemplate.model_validate(source), PodDefaults("i", template=wide)) is not None


class TestRestarts:
    """An attempt is one start of the flow's container; Kubernetes 1.34 lets containers have restart policies of their own."""

    def test_the_flow_has_no_restart_policy_of_its_own(self) -> None:
        rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
        pod = built(**containers({"name": "flow", "restartPolicy": "Always", "restartPolicyRules": rules}))
        assert not {"restartPolicy", "restartPolicyRules"} & flow(pod).keys()

    def test_sidecars_keep_theirs_but_for_rules_that_restart_the_flow_too(self) -> None:
        rules = [{"action": "Restart"}, {"action": "RestartAllContainers"}]
        proxy = {"name": "proxy", "image": "envoy", "restartPolicy": "OnFailure", "restartPolicyRules": rules}
        native = {"name": "native", "image": "envoy", "restartPolicy": "Always", "restartPolicyRules": rules}
        spec = built(**containers(proxy, initContainers=[native]))["spec"]
        for kept in (spec["containers"][1], spec["initContainers"][0]):
            assert kept["restartPolicy"] in {"OnFailure", "Always"}
            assert kept["restartPolicyRules"] == [{"action": "Restart"}]


SITE: dict[str, Any] = {
    "metadata": {"labels": {"team": "platform", "cost": "7"}, "annotations": {"note": "site"}},
    "spec": {
        "serviceAccountName": "flows",
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"pool": "flows"},
        "tolerations": [{"key": "flows", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "terminationGracePeriodSeconds": 120,
        "containers": [
            {
                "name": "flow",
                "imagePullPolicy": "Always",
                "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "512Mi"}},
                "env": [{"name": "PROXY", "value": "http://proxy"}],
            },
            {"name": "tracer", "image": "tracer:1"},
        ],
    },
}


def by_site(site: dict[str, Any] = SITE, **template: Any) -> dict[str, Any]:
    """The pod of a template, in an installation with defaults."""
    return built(defaults=PodDefaults("mintaka-flow:dev", template=site), **template)


class TestDefaultsOfTheInstallation:
    def test_every_flow_has_them(self) -> None:
        pod = by_site()
        spec = pod["spec"]
        for field in ("serviceAccountName", "imagePullSecrets", "nodeSelector", "tolerations", "affinity", "terminationGracePeriodSeconds"):
            assert spec[field] == SITE["spec"][field]
        assert [container["name"] for container in spec["containers"]] == ["flow", "tracer"]
        assert (flow(pod)["imagePullPolicy"], flow(pod)["resources"]) == ("Always", SITE["spec"]["containers"][0]["resources"])
        assert environment(pod)["PROXY"] == "http://proxy"
        assert environment(pod)["MINTAKA_GRACE_SECONDS"] == "120"
        assert (pod["metadata"]["labels"]["team"], pod["metadata"]["labels"]["mintaka.dev/flow-run"]) == ("platform", "nightly")
        assert pod["metadata"]["annotations"] == {"note": "site"}
        assert flow(pod)["command"] == ["python", "-m", "mintaka.runner"]

    def test_the_author_has_the_last_word(self) -> None:
        own = {
            "metadata": {"labels": {"team": "sales"}, "annotations": {"note": None}},
            "spec": {
                "nodeSelector": {"disk": "ssd"},
                "tolerations": [],
                "serviceAccountName": None,
                "imagePullSecrets": [{"name": "mine"}],
                "terminationGracePeriodSeconds": 5,
                "containers": [{"name": "flow", "resources": {"limits": {"memory": "2Gi"}}}, {"name": "tracer", "$patch": "delete"}],
            },
        }
        pod = by_site(podTemplate=own)
        spec = pod["spec"]
        assert spec["nodeSelector"] == {"pool": "flows", "disk": "ssd"}
        assert (spec["tolerations"], spec["imagePullSecrets"]) == ([], [{"name": "registry"}, {"name": "mine"}])
        assert "serviceAccountName" not in spec
        assert [container["name"] for container in spec["containers"]] == ["flow"]
        assert flow(pod)["resources"] == {"requests": {"cpu": "100m"}, "limits": {"memory": "2Gi"}}
        assert (pod["metadata"]["labels"]["team"], pod["metadata"]["labels"]["cost"]) == ("sales", "7")
        assert pod["metadata"]["annotations"] == {}
        assert environment(pod)["MINTAKA_GRACE_SECONDS"] == "5"

    def test_what_is_said_of_the_flow_is_said_of_its_container_whatever_that_is_called(self) -> None:
        pod = by_site(**PLAIN, **containers({"name": "crunch", "image": "crunch:1"}))
        assert [container["name"] for container in pod["spec"]["containers"]] == ["crunch", "tracer"]
        assert pod["spec"]["containers"][0]["resources"] == SITE["spec"]["containers"][0]["resources"]

    def test_our_security_contexts_can_be_left_out_and_replaced(self) -> None:
        out = by_site({"spec": {"securityContext": None, "containers": [{"name": "flow", "securityContext": None}]}})
        assert "securityContext" not in out["spec"]
        assert "securityContext" not in flow(out)
        other = by_site({"spec": {"securityContext": {"$patch": "replace", "fsGroup": 7}, "containers": [{"name": "flow", "securityContext": {"readOnlyRootFilesystem": True}}]}})  # fmt: skip
        assert other["spec"]["securityContext"] == {"fsGroup": 7}
        assert flow(other)["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}  # fmt: skip

    def test_an_image_of_the_installation_is_not_ours_to_restrict(self) -> None:
        pod = by_site({"spec": {"containers": [{"name": "flow", "image": "site:1"}]}})
        assert flow(pod)["image"] == "site:1"
        assert "securityContext" not in pod["spec"]

    def test_what_the_operator_relies_on_cannot_be_set_for_all(self) -> None:
        site = {"metadata": {"labels": {"mintaka.dev/attempt": "9"}}, "spec": {"restartPolicy": "Always"}}
        pod = by_site(site)
        assert (pod["metadata"]["labels"]["mintaka.dev/attempt"], pod["spec"]["restartPolicy"]) == ("1", "Never")

    def test_they_are_not_changed_by_being_used(self) -> None:
        before = json.dumps(SITE)
        by_site(podTemplate={"spec": {"nodeSelector": {"a": "b"}}})
        assert json.dumps(SITE) == before


class TestNames:
    @pytest.mark.parametrize("length", [1, 62, 63, 64, 200, 253])
    def test_names_and_labels_fit_their_limits(self, length: int) -> None:
        pod = built(flow_run("a" * length, deployment="d" * length), attempt=1234)
        assert len(pod["metadata"]["name"]) <= 253
        assert pod["metadata"]["name"].endswith("-1234")
        for value in pod["metadata"]["labels"].values():
            assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", value)

    def test_long_names_that_begin_alike_stay_apart(self) -> None:
        pods = [built(flow_run("a" * 250 + end)) for end in "xyz"]
        assert len({pod["metadata"]["name"] for pod in pods}) == 3
        assert len({pod["metadata"]["labels"]["mintaka.dev/flow-run"] for pod in pods}) == 3


class TestVariables:
    @pytest.mark.parametrize("text", ["$", "$$", "$(MINTAKA_NAMESPACE)", "$$(MINTAKA_NAMESPACE)", "$(", "a$b$$c", "$(x", "100 %"])
    def test_dollar_signs_reach_the_flow_unchanged(self, text: str) -> None:
        assert json.loads(environment(built(parameters={"text": text}))["MINTAKA_PARAMETERS"]) == {"text": text}

    def test_parameters_keep_their_types(self) -> None:
        parameters = {"number": 1.5, "none": None, "list": [True, "ü"], "nested": {"a": {}}}
        assert json.loads(environment(built(parameters=parameters))["MINTAKA_PARAMETERS"]) == parameters

    def test_a_run_overrides_parameters_one_by_one(self) -> None:
        pod = built(flow_run(parameters={"b": 2}), parameters={"a": 1, "b": 1})
        assert json.loads(environment(pod)["MINTAKA_PARAMETERS"]) == {"a": 1, "b": 2}

    def test_every_value_is_text(self) -> None:
        assert all(isinstance(entry["value"], str) for entry in flow(built())["env"])


REFERENCES = {"token": {"name": "billing", "key": "api-token"}, "größe": {"name": "billing", "key": "b"}}


class TestScheduledTime:
    def test_of_a_scheduled_run_is_known_to_its_code(self) -> None:
        """As `expected_start_time` of the run."""
        seen = environment(built(flow_run(scheduledTime="2026-11-22T03:00:00Z")))
        assert Environment.read(seen).scheduled_time == datetime(2026, 11, 22, 3, tzinfo=UTC)

    def test_is_not_there_for_others(self) -> None:
        seen = environment(built())
        assert "MINTAKA_SCHEDULED_TIME" not in seen
        assert Environment.read(seen).scheduled_time is None

    @pytest.mark.parametrize("text", ["soon", "2026-13-01T00:00:00Z", "3"])
    def test_that_is_none_is_refused(self, text: str) -> None:
        seen = environment(built()) | {"MINTAKA_SCHEDULED_TIME": text}
        with pytest.raises(InvalidEnvironment, match=f"MINTAKA_SCHEDULED_TIME should be a time in RFC 3339, not '{text}'"):
            Environment.read(seen)


class TestSecretParameters:
    def test_come_from_secrets_by_the_kubelet(self) -> None:
        """The operator does not read them; names of parameters need not be names of variables."""
        pod = built(secretParameters=REFERENCES, parameters={"token": "default", "region": "north"})
        variables = {entry["name"]: entry for entry in flow(pod)["env"]}
        assert json.loads(variables["MINTAKA_PARAMETERS_FROM_SECRETS"]["value"]) == ["token", "größe"]
        references = [variables[f"MINTAKA_PARAMETER_FROM_SECRET_{index}"]["valueFrom"] for index in (0, 1)]
        assert references == [{"secretKeyRef": reference} for reference in REFERENCES.values()]
        assert json.loads(environment(pod)["MINTAKA_PARAMETERS"]) == {"region": "north"}

    def test_are_overridden_by_the_run(self) -> None:
        """Also by null; what the run does not give still comes from its Secret."""
        pod = built(flow_run(parameters={"token": None}), secretParameters=REFERENCES)
        assert json.loads(environment(pod)["MINTAKA_PARAMETERS"]) == {"token": None}
        assert json.loads(environment(pod)["MINTAKA_PARAMETERS_FROM_SECRETS"]) == ["größe"]
        assert flow(pod)["env"][-1]["valueFrom"] == {"secretKeyRef": {"name": "billing", "key": "b"}}

    def test_of_none_nothing_is_said(self) -> None:
        assert "SECRET" not in json.dumps(built(flow_run(parameters={"token": "x"}), secretParameters={"token": REFERENCES["token"]}))

    def test_arrive_as_parameters_of_the_flow(self) -> None:
        """Without the line feed that a file may end with."""
        seen = environment(built(secretParameters=REFERENCES, parameters={"n": 1}))
        seen |= {"MINTAKA_PARAMETER_FROM_SECRET_0": "a$(b)\r\n", "MINTAKA_PARAMETER_FROM_SECRET_1": '{"a": 1}'}
        read = Environment.read(seen)
        assert read.parsed_parameters() == {"n": 1, "token": "a$(b)", "größe": '{"a": 1}'}
        assert "a$(b)" not in repr(read)

    def test_a_variable_that_is_not_there_is_told_by_its_parameter(self) -> None:
        seen = environment(built(secretParameters=REFERENCES))
        del seen["MINTAKA_PARAMETER_FROM_SECRET_1"]
        with pytest.raises(InvalidEnvironment, match="parameter 'größe' comes from a Secret"):
            Environment.read(seen).parsed_parameters()

    def test_are_not_missing_by_the_schema(self) -> None:
        """Of what the operator and the API validate; what a run gives itself is validated as ever."""
        schema = {"required": ["token", "n"], "properties": {"token": {"minLength": 2}}}
        template = FlowTemplate.model_validate({"entrypoint": "a:b", "secretParameters": REFERENCES, "parameterSchema": schema})
        assert template.schema_of_merged({"n": 1}) == {**schema, "required": ["n"]}
        assert template.schema_of_merged({"token": "x"}) == {**schema, "required": ["token", "n"]}
