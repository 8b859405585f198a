"""The hook before `helm uninstall`: what it runs, and under which conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from mintaka.cli import app_of

if TYPE_CHECKING:
    from tests.unit.chart.conftest import Render


def test_it_runs_a_command_that_exists(render: Render) -> None:
    """With the release's name and namespace, the namespaces it serves, and no question."""
    job = render({"watchNamespaces": ["team-a", "team-b"]}, release="try").one("Job", "try-mintaka-uninstall")
    program, name, *arguments = job["spec"]["template"]["spec"]["containers"][0]["command"]
    assert (program, name) == ("mintaka", "uninstall")
    command = typer.main.get_command(app_of(name))
    assert command.make_context("uninstall", arguments).params == {
        "namespace": "mintaka-system",
        "release": "try",
        "runs_of": ["team-a", "team-b"],
        "timeout": 3600,
        "yes": True,
        "json": False,
        "context": None,
    }


def test_it_is_bounded_and_tells_helm_what_it_did(render: Render) -> None:
    """Helm's own --timeout decides; its log is shown, it is tried again, and nothing of it stays when it succeeded."""
    job = render().one("Job", "mintaka-uninstall")
    assert job["metadata"]["annotations"] == {
        "helm.sh/hook": "pre-delete",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
        "helm.sh/hook-output-log-policy": "hook-succeeded,hook-failed",
    }
    assert job["spec"]["activeDeadlineSeconds"] == job["spec"]["ttlSecondsAfterFinished"] == 3600
    assert job["spec"]["backoffLimit"] > 0
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_its_role_is_there_before_it(render: Render) -> None:
    """Hooks run in the order of their weights."""
    release = render()
    weights = {
        found["kind"]: int(found["metadata"]["annotations"].get("helm.sh/hook-weight", 0))
        for found in release.objects
        if found["metadata"]["name"] == "mintaka-uninstall"
    }
    assert weights == {"Role": -1, "RoleBinding": -1, "Job": 0}


def test_it_runs_where_the_operator_does(render: Render) -> None:
    """On its nodes, with its pull secrets and security context, or it could not start."""
    operator = {"nodeSelector": {"pool": "system"}, "tolerations": [{"key": "system"}], "podSecurityContext": {"runAsUser": 7}}
    release = render({"operator": operator, "imagePullSecrets": [{"name": "registry"}]})
    pod = release.one("Job", "mintaka-uninstall")["spec"]["template"]["spec"]
    same = ("nodeSelector", "tolerations", "securityContext", "imagePullSecrets", "serviceAccountName")
    assert {name: pod[name] for name in same} == {name: release.pod("operator")["spec"][name] for name in same}


def test_it_can_be_switched_off(render: Render) -> None:
    """For sites that run `mintaka uninstall` themselves."""
    release = render({"uninstall": {"enabled": False}, "networkPolicy": {"enabled": True}})
    assert [found for found in release.objects if "uninstall" in found["metadata"]["name"]] == []
