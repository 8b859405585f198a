"""The answers of a real Kubernetes API server to `validated_documents` and `cel_expressions`.

python tests/support/api_server_answers.py KUBECONFIG      records the answers of one that has our CRDs
"""

from __future__ import annotations

import json
import re
import sys
import time
from typing import Any

from kubernetes import config

import cel_expressions
import validated_documents

_GROUP = "/apis/mintaka.dev/v1alpha1/namespaces"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_PROBES = "probes.cel.test"
_ADDED = ("uid", "creationTimestamp", "generation", "managedFields", "resourceVersion")
_DEADLINE_SECONDS = 60


class ApiServer:
    """An API server; requests have strict field validation, as those of kubectl."""

    def __init__(self, kubeconfig: str) -> None:
        self._client = config.new_client_from_config(kubeconfig)

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of an answer."""
        request = self._client.param_serialize(
            method,
            path,
            query_params=list(({"fieldValidation": "Strict"} | query).items()) if body is not None else [],
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = self._client.call_api(*request)
        content = answer.read()
        is_json = (answer.headers.get("Content-Type") or "").startswith("application/json")
        return answer.status, dict(json.loads(content)) if is_json else {"message": content.decode()}

    def documents(self) -> dict[str, dict[str, Any]]:
        """The answers to all documents, in the form in which they are recorded."""
        return {
            "refused": {case: self._create(document) for case, document in validated_documents.REFUSED.items()},
            "refused updates": {case: self._update(*both) for case, both in validated_documents.REFUSED_UPDATES.items()},
            "accepted": {case: self._create(document) for case, document in validated_documents.ACCEPTED.items()},
            "accepted updates": {case: self._update(*both) for case, both in validated_documents.ACCEPTED_UPDATES.items()},
        }

    def _create(self, document: dict[str, Any]) -> Any:
        # The case with another kind sends a FlowDeployment as a FlowRun.
        kind = "FlowRun" if document is validated_documents.REFUSED["another kind"] else document["kind"]
        return _answer(*self.ask("POST", _path(kind), document, dryRun="All"))

    def _update(self, old: dict[str, Any], new: dict[str, Any]) -> Any:
        path, name = _path(old["kind"]), old["metadata"]["name"]
        self.ask("DELETE", f"{path}/{name}")
        status, stored = self.ask("POST", path, old)
        assert status == 201, stored
        version = {"resourceVersion": stored["metadata"]["resourceVersion"]}
        answer = _answer(*self.ask("PUT", f"{path}/{name}", new | {"metadata": new["metadata"] | version}, dryRun="All"))
        self.ask("DELETE", f"{path}/{name}")
        return answer

    def expressions(self) -> dict[str, list[str]]:
        """The answers to all expressions: each is the rule of one field of a CRD, and one object has all these fields."""
        numbered = dict(enumerate(cel_expressions.EXPRESSIONS))
        self._delete_probes()
        answers: dict[int, list[str]] = {}
        _, refusal = self.ask("POST", _CRDS, _definition(numbered), dryRun="All")
        for cause in refusal.get("details", {}).get("causes", []):
            if (field := re.search(r"properties\[e(\d+)\]", cause["field"])) is not None:
                answers[int(field[1])] = ["invalid", ""]
        compiled = {number: expression for number, expression in numbered.items() if number not in answers}
        status, answer = self.ask("POST", _CRDS, _definition(compiled))
        assert status == 201, answer
        probe = {"apiVersion": "cel.test/v1", "kind": "Probe", "metadata": {"name": "p"}}
        probe["spec"] = {f"e{number}": cel_expressions.VALUE for number in compiled}
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while (found := self.ask("POST", "/apis/cel.test/v1/namespaces/default/probes", probe, dryRun="All"))[0] in {404, 429}:
            assert time.monotonic() < deadline, "the CRD of the expressions is not served"
            time.sleep(0.2)
        answers |= {number: ["true", ""] for number in compiled}
        for cause in found[1]["details"]["causes"]:
            fault = cause["message"].removeprefix('Invalid value: "object": ')
            what = fault.partition(" evaluating rule: ")[0].partition("': call arguments did not match")[0]
            answers[int(cause["field"].removeprefix("spec.e"))] = (
                ["false", ""] if fault.startswith("failed rule: ") else ["error", what.removeprefix("'")]
            )
        self._delete_probes()
        return {expression: answers[number] for number, expression in numbered.items()}

    def _delete_probes(self) -> None:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while self.ask("DELETE", f"{_CRDS}/{_PROBES}")[0] != 404:
            assert time.monotonic() < deadline, "the CRD of the expressions is not deleted"
            time.sleep(0.2)


def _path(kind: str) -> str:
    return f"{_GROUP}/{validated_documents.NAMESPACE}/{kind.lower()}s"


def _answer(status: int, answer: dict[str, Any]) -> Any:
    if answer["kind"] == "Status":
        return [status, answer["message"]]
    metadata = {name: value for name, value in answer["metadata"].items() if name not in _ADDED}
    return answer | {"metadata": metadata}


def _definition(expressions: dict[int, str]) -> dict[str, Any]:
    fields = {f"e{number}": cel_expressions.SCHEMA | {"x-kubernetes-validations": [{"rule": rule}]} for number, rule in expressions.items()}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "Probe", "listKind": "ProbeList", "plural": "probes", "singular": "probe"}
    spec = {"group": "cel.test", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": _PROBES}, "spec": spec}


if __name__ == "__main__":
    server = ApiServer(sys.argv[1])
    validated_documents.write(server.documents())
    cel_expressions.write(server.expressions())
