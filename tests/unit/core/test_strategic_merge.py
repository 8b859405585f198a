"""Strategic merge: what `kubectl patch --type=strategic` makes of the same pod."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintaka_core.strategic_merge import strategic_merge

BUILD = Path(__file__).parents[3] / "cluster" / "build"

A, B, C = ({"name": name, "value": name.lower()} for name in "ABC")
FLOW = {"name": "flow", "image": "i"}


def pod(**spec: Any) -> dict[str, Any]:
    """A pod with the flow's container and `spec`."""
    return {"metadata": {"name": "x", "labels": {"a": "1"}}, "spec": {"containers": [FLOW], **spec}}


def env(*entries: dict[str, Any]) -> dict[str, Any]:
    """A spec whose flow has these variables."""
    return {"containers": [{**FLOW, "env": list(entries)}]}


#: sentence: (base, patch, result), each a pod's spec
MERGES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "a field of the flow's container is set": ({}, {"containers": [{"name": "flow", "tty": True}]}, {"containers": [{**FLOW, "tty": True}]}),
    "a sidecar is put after ours": ({}, {"containers": [{"name": "side", "image": "s"}]}, {"containers": [FLOW, {"name": "side", "image": "s"}]}),
    "the order of the template counts where it names both": (
        {},
        {"containers": [{"name": "side", "image": "s"}, {"name": "flow"}]},
        {"containers": [{"name": "side", "image": "s"}, FLOW]},
    ),
    "variables are merged by name": (env(A, B), env({"name": "B", "value": "9"}), env(A, {"name": "B", "value": "9"})),
    "a new variable comes after ours": (env(A, B), env(C), env(A, B, C)),
    "a variable put before one of ours comes before it": (env(A, B), env(C, {"name": "B"}), env(A, C, B)),
    "variables in another order than ours": (env(A, B, C), env({"name": "C"}, {"name": "A"}), env(B, C, A)),
    "a variable that follows in ours keeps its place": (env(A, B, C), env({"name": "A", "value": "9"}), env({"name": "A", "value": "9"}, B, C)),
    "a variable is deleted": (env(A, B), env({"name": "A", "$patch": "delete"}), env(B)),
    "deleting what is not there changes nothing": (env(A), env({"name": "Z", "$patch": "delete"}), env(A)),
    "all variables are replaced": (env(A, B), env(C, {"$patch": "replace"}), env(C)),
    "a variable takes its value from a Secret instead": (
        env(A),
        env({"name": "A", "value": None, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
        env({"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
    ),
    "a port may be there once for each protocol": (
        {},
        {"containers": [{**FLOW, "ports": [{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]}]},
        {"containers": [{**FLOW, "ports": [{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]}]},
    ),
    "ports are merged by their number": (
        {"containers": [{**FLOW, "ports": [{"containerPort": 80, "protocol": "TCP"}]}]},
        {"containers": [{"name": "flow", "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 81, "protocol": "TCP"}]}]},
        {"containers": [{**FLOW, "ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}, {"containerPort": 81, "protocol": "TCP"}]}]},
    ),
    "mounts are merged by their path": (
        {"containers": [{**FLOW, "volumeMounts": [{"name": "a", "mountPath": "/a"}]}]},
        {"containers": [{"name": "flow", "volumeMounts": [{"name": "b", "mountPath": "/a"}, {"name": "a", "mountPath": "/b"}]}]},
        {"containers": [{**FLOW, "volumeMounts": [{"name": "b", "mountPath": "/a"}, {"name": "a", "mountPath": "/b"}]}]},
    ),
    "volumes are merged by name": (
        {"volumes": [{"name": "a", "emptyDir": {}}]},
        {"volumes": [{"name": "a", "emptyDir": {"medium": "Memory"}}, {"name": "b", "emptyDir": {}}]},
        {"containers": [FLOW], "volumes": [{"name": "a", "emptyDir": {"medium": "Memory"}}, {"name": "b", "emptyDir": {}}]},
    ),
    "image pull secrets are merged by name": (
        {"imagePullSecrets": [{"name": "a"}]},
        {"imagePullSecrets": [{"name": "b"}]},
        {"containers": [FLOW], "imagePullSecrets": [{"name": "a"}, {"name": "b"}]},
    ),
    "tolerations are replaced as a whole": (
        {"tolerations": [{"key": "a", "operator": "Exists"}]},
        {"tolerations": [{"key": "b", "operator": "Exists"}]},
        {"containers": [FLOW], "tolerations": [{"key": "b", "operator": "Exists"}]},
    ),
    "a command is replaced as a whole": (
        {"containers": [{**FLOW, "command": ["python", "-m", "x"]}]},
        {"containers": [{"name": "flow", "command": ["sh"]}]},
        {"containers": [{**FLOW, "command": ["sh"]}]},
    ),
    "envFrom is replaced as a whole": (
        {"containers": [{**FLOW, "envFrom": [{"secretRef": {"name": "a"}}]}]},
        {"containers": [{"name": "flow", "envFrom": [{"secretRef": {"name": "b"}}]}]},
        {"containers": [{**FLOW, "envFrom": [{"secretRef": {"name": "b"}}]}]},
    ),
    "maps are merged": (
        {"securityContext": {"runAsUser": 5}},
        {"securityContext": {"fsGroup": 7}, "nodeSelector": {"disk": "ssd"}},
        {"containers": [FLOW], "securityContext": {"runAsUser": 5, "fsGroup": 7}, "nodeSelector": {"disk": "ssd"}},
    ),
    "null deletes a field": ({"securityContext": {"runAsUser": 5, "fsGroup": 7}}, {"securityContext": {"fsGroup": None}}, {"containers": [FLOW], "securityContext": {"runAsUser": 5}}),
    "null deletes a map": ({"securityContext": {"runAsUser": 5}}, {"securityContext": None}, {"containers": [FLOW]}),
    "null for what is not there leaves no trace": ({}, {"nodeSelector": {"a": None, "b": "c"}}, {"containers": [FLOW], "nodeSelector": {"b": "c"}}),
    "a map is replaced": ({"securityContext": {"runAsUser": 5}}, {"securityContext": {"fsGroup": 7, "$patch": "replace"}}, {"containers": [FLOW], "securityContext": {"fsGroup": 7}}),
    "a map is emptied": ({"securityContext": {"runAsUser": 5}}, {"securityContext": {"$patch": "delete"}}, {"containers": [FLOW], "securityContext": {}}),
    "init containers keep the template's order": (
        {},
        {"initContainers": [{"name": "b", "image": "b"}, {"name": "a", "image": "a"}]},
        {"containers": [FLOW], "initContainers": [{"name": "b", "image": "b"}, {"name": "a", "image": "a"}]},
    ),
}  # fmt: skip

#: What the schema of PodSpec gives no merge key to here is the API server's to refuse.
NONSENSE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a list where its elements should be maps": ({"containers": ["x"]}, {"containers": ["x"]}),
    "a map in place of a list": ({"containers": {"name": "flow"}}, {"containers": {"name": "flow"}}),
    "elements without a name": ({"containers": [{"image": "a"}, {"image": "b"}]}, {"containers": [{"image": "a"}, {"image": "b"}]}),
    "a name that is no word": ({"containers": [{"name": {}}]}, {"containers": [{"name": {}}]}),
    "a list in place of a map": ({"securityContext": [1]}, {"containers": [FLOW], "securityContext": [1]}),
    "text in place of a list": ({"containers": "flow"}, {"containers": "flow"}),
}


@pytest.fixture(scope="session")
def kubectl() -> str:
    """Path of kubectl: the one on the PATH, or the cluster's own."""
    if found := shutil.which("kubectl"):
        return found
    built = subprocess.run([BUILD, "kubectl"], check=True, capture_output=True, text=True)
    return str(Path(built.stdout.strip()) / "kubectl")


def patched(kubectl: str, folder: Path, base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """What kubectl makes of it, without asking any cluster."""
    file = folder / "pod.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", **base}), encoding="utf-8")
    command = [kubectl, "patch", "--local", "-f", file, "--type=strategic", "-o", "json", "-p", json.dumps(patch)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout)["spec"])


def unordered(value: Any) -> Any:
    """The same with each list of maps in the order of their JSON."""
    if isinstance(value, dict):
        return {key: unordered(part) for key, part in value.items()}
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        return sorted((unordered(part) for part in value), key=lambda part: json.dumps(part, sort_keys=True))
    return value


class TestMerging:
    @pytest.mark.parametrize("sentence", MERGES)
    def test_a_template_over_ours(self, sentence: str) -> None:
        base, patch, expected = MERGES[sentence]
        ours, theirs = pod(**base), {"spec": patch}
        before = copy.deepcopy((ours, theirs))
        assert strategic_merge(ours, theirs)["spec"] == expected
        assert (ours, theirs) == before, "neither is changed"

    @pytest.mark.parametrize("sentence", MERGES)
    def test_kubectl_makes_the_same_of_it(self, sentence: str, kubectl: str, tmp_path: Path) -> None:
        base, patch, expected = MERGES[sentence]
        assert unordered(patched(kubectl, tmp_path, pod(**base), {"spec": patch})) == unordered(expected), (
            "but for the order of new elements"
        )

    @pytest.mark.parametrize("sentence", [sentence for sentence in MERGES if " order" in sentence or "place" in sentence])
    def test_kubectl_puts_what_both_name_into_the_same_order(self, sentence: str, kubectl: str, tmp_path: Path) -> None:
        base, patch, expected = MERGES[sentence]
        assert patched(kubectl, tmp_path, pod(**base), {"spec": patch}) == expected

    @pytest.mark.parametrize("sentence", NONSENSE)
    def test_nonsense_is_passed_on_for_the_api_server_to_refuse(self, sentence: str) -> None:
        patch, expected = NONSENSE[sentence]
        assert strategic_merge(pod(), {"spec": patch})["spec"] == expected

    def test_nothing_over_ours_is_ours(self) -> None:
        assert strategic_merge(pod(), {}) == pod()

    def test_labels_are_merged_one_by_one(self) -> None:
        merged = strategic_merge(pod(), {"metadata": {"labels": {"b": "2"}, "annotations": {"c": "3"}}})
        assert merged["metadata"] == {"name": "x", "labels": {"a": "1", "b": "2"}, "annotations": {"c": "3"}}


json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["containers", "env", "ports", "volumes", "name", "containerPort", "$patch", "spec", "x"]), inner, max_size=4), max_leaves=12)  # fmt: skip
objects = st.dictionaries(st.sampled_from(["containers", "env", "spec", "x", "$patch"]), json_values, max_size=4)


NUMBERS = range(20_000)
MANY = [{"name": f"v{number}", "value": "x"} for number in NUMBERS]
SAME = [{"name": "same", f"k{number}": 1} for number in NUMBERS]

#: sentence: (base, patch), each a pod's spec with thousands of elements
LARGE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "new variables": (env(A), env(*MANY)),
    "variables over the same variables": (env(*MANY), env(*MANY)),
    "variables in the opposite order": (env(*MANY), env(*reversed(MANY))),
    "variables before ours": (env(*MANY), env(*({"name": f"w{number}"} for number in NUMBERS), {"name": "v0"})),
    "deleted variables": (env(*MANY), env(*({"name": entry["name"], "$patch": "delete"} for entry in MANY))),
    "one variable again and again": (env(A, {"name": "same"}), env(*SAME)),
    "one container again and again": (env(A), {"containers": [{"name": "flow", "env": [entry]} for entry in MANY]}),
    "one container again and again, ours too": ({"containers": [FLOW] * 20_000}, {"containers": [{"name": "flow", "env": [A]}] * 20_000}),
    "mounts": ({"containers": [{**FLOW, "volumeMounts": [{"mountPath": "/a"}]}]}, {"containers": [{**FLOW, "volumeMounts": [{"mountPath": f"/{number}"} for number in NUMBERS]}]}),
    "ports": ({"containers": [{**FLOW, "ports": [{"containerPort": 1}]}]}, {"containers": [{**FLOW, "ports": [{"containerPort": number} for number in NUMBERS]}]}),
}  # fmt: skip


class TestLargeTemplate:
    @pytest.mark.timeout(20)
    @pytest.mark.parametrize("sentence", LARGE)
    def test_thousands_of_elements_are_merged_in_linear_time(self, sentence: str) -> None:
        base, patch = LARGE[sentence]
        merged = strategic_merge(pod(**base), {"spec": patch})
        assert merged["spec"]["containers"][0]["name"] == "flow"

    @pytest.mark.timeout(20)
    def test_repeated_elements_within_repeated_elements_are_merged_in_linear_time(self) -> None:
        patch: dict[str, Any] = {"name": "flow"}
        for _ in range(12):
            patch = {"name": "flow", "containers": [patch, patch]}
        base: dict[str, Any] = {"name": "flow", "env": [A] * 20_000}
        for _ in range(12):
            base = {"name": "flow", "containers": [base]}
        assert strategic_merge(base, patch)["name"] == "flow"

    def test_elements_with_the_same_key_are_merged_one_with_one(self) -> None:
        """The last variable of a name counts, as in Kubernetes; a port is there once for each protocol."""
        first, second = {"name": "A", "value": "1"}, {"name": "A", "value": "2"}
        assert strategic_merge(pod(**env(A, B)), {"spec": env(first, second)})["spec"] == env(first, B, second)
        tcp, udp = ({"containerPort": 53, "protocol": protocol} for protocol in ("TCP", "UDP"))
        base, patch = {"ports": [tcp, udp]}, {"ports": [{"containerPort": 53, "name": "dns"}]}
        assert strategic_merge(base, patch) == {"ports": [{**tcp, "name": "dns"}, udp]}


class TestAnyTemplate:
    @given(objects)
    def test_no_template_makes_the_merge_fail(self, patch: dict[str, Any]) -> None:
        before = copy.deepcopy(patch)
        strategic_merge(pod(), {"spec": patch})
        assert patch == before

    @given(objects, objects)
    def test_no_template_makes_the_merge_over_another_fail(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        once = strategic_merge(strategic_merge(pod(), {"spec": first}), {"spec": second})
        assert isinstance(once, dict)

    @given(st.permutations(["A", "B", "C", "D"]), st.sets(st.sampled_from("ABCD")), st.sets(st.sampled_from("ABCD")))
    def test_merging_twice_is_merging_once(self, order: list[str], ours: set[str], theirs: set[str]) -> None:
        base = env(*({"name": name, "value": "1"} for name in sorted(ours)))
        patch = env(*({"name": name, "value": "2"} for name in order if name in theirs))
        once = strategic_merge(base, patch)
        assert strategic_merge(once, patch) == once
        assert {entry["name"]: entry["value"] for entry in once["containers"][0]["env"]} == dict.fromkeys(ours, "1") | dict.fromkeys(
            theirs, "2"
        )
