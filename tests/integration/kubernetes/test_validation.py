"""The recorded answers, which `mintaka_validation` must match, are those of a real API server."""

from __future__ import annotations

from typing import Any

import pytest

import cel_expressions
import validated_documents
from api_server_answers import ApiServer
from mintaka_validation import InvalidDocument, validate_new
from validated_documents import deployment, faults, run


@pytest.fixture(scope="module")
def server(kubeconfig: str) -> ApiServer:
    """A real API server with our CRDs."""
    return ApiServer(kubeconfig)


def _comparable(answer: Any) -> Any:
    """An answer without the order of its errors, which varies."""
    return [answer[0], faults(answer[1])] if isinstance(answer, list) else answer


def test_the_answers_to_documents_are_the_recorded_ones(server: ApiServer) -> None:
    """Record them again with `python tests/support/api_server_answers.py KUBECONFIG` when the CRDs change."""
    recorded = validated_documents.recorded()
    for group, answers in server.documents().items():
        assert {case: _comparable(answer) for case, answer in answers.items()} == {
            case: _comparable(answer) for case, answer in recorded[group].items()
        }, group


def test_the_answers_to_expressions_are_the_recorded_ones(server: ApiServer) -> None:
    """Record them again with the same command for another version of Kubernetes."""
    assert server.expressions() == cel_expressions.recorded()


@pytest.mark.parametrize(
    "document",
    [
        run(deployment="d", scheduledTime="soon", tags=[""] * 60, parameters="x"),
        deployment(entrypoint="/f", source={}, schedules=[{"name": "A"}, {"name": "A", "cron": "@daily", "interval": "1h"}]),
    ],
    ids=["a run with many faults", "a deployment with many faults"],
)
def test_a_real_api_server_and_ours_find_the_same(server: ApiServer, document: dict[str, Any]) -> None:
    """Compare them directly, without the recorded answers."""
    with pytest.raises(InvalidDocument) as refused:
        validate_new(document["kind"], document)
    path = f"/apis/mintaka.dev/v1alpha1/namespaces/default/{document['kind'].lower()}s"
    status, answer = server.ask("POST", path, document, dryRun="All")
    assert (status, faults(answer["message"])) == (refused.value.status, faults(str(refused.value)))
