"""Objects that no decoder reads, created with kubectl on a real kube-apiserver: the mirror stores what it can and goes on."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from api_testing import API, Namespace, eventually, running, status
from mintaka_api.settings import Settings
from mintaka_kubernetes import client as client_module
from mintaka_kubernetes import informer
from poison import LARGE_BYTES, flow_deployment_json, flow_run_json, nested, nested_objects

if TYPE_CHECKING:
    import httpx

#: On a loaded machine a connection to the API server is occasionally closed by the garbage collector, which warns in whichever test runs
#: at that time. The test that leaves it open has not been found.
_LEFT = r"ignore:Exception ignored in. <(function _SelectorTransport.__del__|socket.socket):pytest.PytestUnraisableExceptionWarning"
pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(_LEFT)]

POISONS = {
    "deep-260": f'{{"x":{nested(260)}}}',
    "deep-1500": f'{{"x":{nested(1500)}}}',
    "deep-9000": nested_objects(9000),
    "large": f'{{"x":"{"y" * LARGE_BYTES}"}}',
    "many": f'{{"x":[{"[]," * 400_000}[]]}}',
}


def kubectl(kubeconfig: str, *arguments: str, given: bytes | str = b"") -> str:
    """What kubectl prints."""
    text = given if isinstance(given, bytes) else given.encode()
    done = subprocess.run(["kubectl", "--kubeconfig", kubeconfig, *arguments], input=text, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-1000:]
    return done.stdout.decode()


def create(kubeconfig: str, raw: bytes) -> None:
    """Create an object as a user does."""
    kubectl(kubeconfig, "create", "--validate=false", "--filename", "-", given=raw)


async def names(client: httpx.AsyncClient, kind: str = "flow-runs") -> set[str]:
    """What is mirrored."""
    return {item["name"] for item in (await client.get(f"{API}/{kind}")).json()["items"]}


async def run(client: httpx.AsyncClient, namespace: str, name: str) -> dict[str, Any]:
    """A mirrored run."""
    return dict((await client.get(f"{API}/namespaces/{namespace}/flow-runs/{name}")).json())


async def test_what_cannot_be_read_is_mirrored_without_its_parameters(database_url: str, kubeconfig: str, namespace: Namespace) -> None:
    """Listed at the start or watched later: every other run arrives, the API stays ready, and a finished one leaves the cluster."""
    settings = Settings(database_url=database_url, kubeconfig=kubeconfig, namespaces=(namespace.name,), release_namespace=namespace.name)
    early, late = list(POISONS)[::2], list(POISONS)[1::2]
    for name in early:
        create(kubeconfig, flow_run_json(name, POISONS[name], namespace=namespace.name))
    await namespace.create("listed")
    async with running(settings) as client:
        await eventually(lambda: names(client), lambda seen: {"listed", *early} <= seen)
        for name in late:
            create(kubeconfig, flow_run_json(name, POISONS[name], namespace=namespace.name))
        await namespace.create("watched")
        await eventually(lambda: names(client), lambda seen: {"watched", *POISONS} <= seen)
        for name in POISONS:
            await namespace.set_status(name, status(("SCHEDULED", "FAILED")))
            seen = await eventually(lambda name=name: run(client, namespace.name, name), lambda seen: seen["sequence"] == 2)
            assert (seen["state"]["type"], seen["deployment"], seen["parameters"]) == ("FAILED", "nightly", {})
            await namespace.delete(name)
        assert await eventually(namespace.names, lambda left: not left & POISONS.keys()) == {"listed", "watched"}
        ready = await client.get("/readyz")
        assert ready.status_code == 200, ready.text
        counted = (await client.get("/metrics")).text
        assert float(counted.split("\nmintaka_mirror_unreadable_total ")[1].split()[0]) >= len(POISONS)


async def test_a_deployment_that_cannot_be_read_does_not_hide_the_others(database_url: str, kubeconfig: str, namespace: Namespace) -> None:
    """Nor can runs be created of it, which is said with the limit."""
    settings = Settings(database_url=database_url, kubeconfig=kubeconfig, namespaces=(namespace.name,), release_namespace=namespace.name)
    for name, parameters in POISONS.items():
        create(kubeconfig, flow_deployment_json(name, parameters, namespace=namespace.name))
    async with running(settings) as client:
        create(kubeconfig, flow_deployment_json("good", "{}", namespace=namespace.name))
        await eventually(lambda: names(client, "flow-deployments"), lambda seen: {"good", *POISONS} <= seen)
        answer = await client.post(f"{API}/namespaces/{namespace.name}/flow-deployments/deep-9000/runs", json={})
        assert (answer.status_code, answer.json()["reason"]) == (409, "TooDeep")
        assert "100 levels" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("parameters", "code", "words"),
    [
        ('{"x": 18446744073709551616}', 422, "more than 64 bits"),
        (f'{{"x": {nested(101)}}}', 413, "100 levels"),
        (f'{{"x": {nested(260)}}}', 413, "100 levels"),
        (f'{{"x": "{"y" * 17_000}"}}', 413, "16384"),
    ],
    ids=["64 bits", "101 levels", "260 levels", "17 KB"],
)
async def test_parameters_that_kubernetes_would_not_keep_are_refused(
    database_url: str, kubeconfig: str, namespace: Namespace, parameters: str, code: int, words: str
) -> None:
    """With a sentence, never with an internal error."""
    settings = Settings(database_url=database_url, kubeconfig=kubeconfig, namespaces=(namespace.name,), release_namespace=namespace.name)
    create(kubeconfig, flow_deployment_json("good", "{}", namespace=namespace.name))
    async with running(settings) as client:
        path = f"{API}/namespaces/{namespace.name}/flow-deployments/good/runs"
        answer = await client.post(path, content=f'{{"parameters": {parameters}}}', headers={"Content-Type": "application/json"})
        assert answer.status_code == code, answer.text
        assert words in answer.json()["detail"]


def restricted(kubeconfig: str, namespace: str, folder: Path) -> str:
    """The kubeconfig of a service account that has rights in one namespace alone."""
    kubectl(kubeconfig, "create", "serviceaccount", "mirror", "--namespace", namespace)
    grant(kubeconfig, namespace, namespace)
    config = yaml.safe_load(Path(kubeconfig).read_text(encoding="utf-8"))
    config["users"][0]["user"] = {"token": kubectl(kubeconfig, "create", "token", "mirror", "--namespace", namespace).strip()}
    path = folder / "restricted"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return str(path)


def grant(kubeconfig: str, namespace: str, of: str) -> None:
    """Let the account of namespace `of` mirror a namespace."""
    rights = [
        "--verb=get,list,watch,patch,delete",
        "--resource=flowruns.mintaka.dev,flowdeployments.mintaka.dev,configmaps,namespaces,controllerrevisions.apps",
    ]
    kubectl(kubeconfig, "create", "role", "mirror", "--namespace", namespace, *rights)
    kubectl(kubeconfig, "create", "rolebinding", "mirror", "--namespace", namespace, "--role=mirror", f"--serviceaccount={of}:mirror")


async def test_a_namespace_that_is_missing_does_not_stop_the_others(
    database_url: str, kubeconfig: str, namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one request is refused meanwhile, and /readyz says what is missing; once it is there, with a Role, it is mirrored as well."""
    monkeypatch.setattr(informer, "_REFUSED_WAIT_SECONDS", 0.5)
    refusals: list[int] = []
    refusal = client_module.refusal_of

    def noted(response: Any, payload: bytes) -> Any:
        refusals.append(response.status)
        return refusal(response, payload)

    monkeypatch.setattr(client_module, "refusal_of", noted)
    missing = f"{namespace.name}-later"
    settings = Settings(
        database_url=database_url,
        kubeconfig=restricted(kubeconfig, namespace.name, tmp_path),
        namespaces=(missing, namespace.name),
        release_namespace=namespace.name,
    )
    await namespace.create("there")
    async with running(settings) as client:
        await eventually(lambda: names(client), lambda seen: seen == {"there"})
        await namespace.create("new")
        await eventually(lambda: names(client), lambda seen: seen == {"there", "new"})
        assert refusals == []
        ready = await client.get("/readyz")
        assert f"in namespace {missing}, or no such namespace" in ready.text
        later = Namespace(namespace.cluster, missing)
        await namespace.cluster.request("POST", "/api/v1/namespaces", body={"metadata": {"name": missing}})
        await later.create("later")
        grant(kubeconfig, missing, namespace.name)
        await eventually(lambda: names(client), lambda seen: seen == {"there", "new", "later"})
        await later.drop_finalizers("later")
        await namespace.cluster.request("DELETE", f"/api/v1/namespaces/{missing}")
