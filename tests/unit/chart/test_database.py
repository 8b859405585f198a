"""SQLite on a volume for one, PostgreSQL for several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from tests.unit.chart.conftest import Release, Render

ROOT = Path(__file__).parents[3]


def _volume(release: Release) -> dict[str, Any] | None:
    volumes = release.one("Deployment", "mintaka-api")["spec"]["template"]["spec"]["volumes"]
    return next((volume for volume in volumes if volume["name"] == "data"), None)


def _sqlite(**persistence: Any) -> dict[str, Any]:
    return {"api": {"database": {"sqlite": {"persistence": persistence}}}}


def test_sqlite_is_held_by_one_process_at_a_time(render: Render) -> None:
    """One replica, replaced by Recreate, on a claim that outlives the release."""
    release = render()
    deployment = release.one("Deployment", "mintaka-api")["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}
    assert release.environment("api")["MINTAKA_DATABASE_URL"] == "sqlite:////var/lib/mintaka/mintaka.db"
    assert _volume(release) == {"name": "data", "persistentVolumeClaim": {"claimName": "mintaka-api"}}
    claim = release.one("PersistentVolumeClaim", "mintaka-api")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_an_existing_claim_is_used_as_it_is(render: Render) -> None:
    """No second claim is made."""
    release = render(_sqlite(existingClaim="history"))
    assert _volume(release) == {"name": "data", "persistentVolumeClaim": {"claimName": "history"}}
    assert release.of("PersistentVolumeClaim") == []


def test_without_persistence_the_file_goes_with_the_pod(render: Render) -> None:
    """An emptyDir, for clusters without a provisioner."""
    release = render(_sqlite(enabled=False))
    assert _volume(release) == {"name": "data", "emptyDir": {}}
    assert release.of("PersistentVolumeClaim") == []


def test_postgresql_comes_from_a_secret(render: Render) -> None:
    """Several replicas, rolled, no volume, and no password in any object."""
    release = render({"api": {"replicas": 3, "database": {"existingSecret": {"name": "database", "key": "dsn"}}}})
    deployment = release.one("Deployment", "mintaka-api")["spec"]
    assert deployment["replicas"] == 3
    assert "strategy" not in deployment
    assert release.environment("api")["MINTAKA_DATABASE_URL"] == {"secretKeyRef": {"name": "database", "key": "dsn"}}
    assert _volume(release) is None
    assert release.of("PersistentVolumeClaim") == []


def test_postgresql_may_stand_in_the_values(render: Render) -> None:
    """A URL without a password, as with certificates or a trusted network."""
    url = "postgresql://mintaka@database:5432/mintaka"
    assert render({"api": {"database": {"url": url}}}).environment("api")["MINTAKA_DATABASE_URL"] == url


def test_the_password_may_be_in_a_secret_of_its_own(render: Render) -> None:
    """As it is, without any encoding; the URL may be in the values or in another Secret."""
    secret = {"passwordSecret": {"name": "login", "key": "pw"}}
    for place in ({"url": "postgresql://mintaka@database/mintaka"}, {"existingSecret": {"name": "database"}}):
        environment = render({"api": {"database": {**place, **secret}}}).environment("api")
        assert environment["MINTAKA_DATABASE_PASSWORD"] == {"secretKeyRef": {"name": "login", "key": "pw"}}
    assert "MINTAKA_DATABASE_PASSWORD" not in render().environment("api")


def test_a_pooler_is_named_to_the_api(render: Render) -> None:
    """And to no one if there is none."""
    database = {"url": "postgresql://mintaka@pooler:6432/mintaka", "pooler": "transaction"}
    assert render({"api": {"database": database}}).environment("api")["MINTAKA_DATABASE_POOLER"] == "transaction"
    assert "MINTAKA_DATABASE_POOLER" not in render().environment("api")


def test_the_example_of_cloudnative_pg_fits_its_values(render: Render) -> None:
    """CloudNativePG names the Secret after the cluster, and the URL in it `uri`."""
    example = ROOT / "examples" / "postgresql"
    cluster = yaml.safe_load((example / "cluster.yaml").read_text(encoding="utf-8"))
    reference = render(example / "values.yaml").environment("api")["MINTAKA_DATABASE_URL"]["secretKeyRef"]
    assert reference == {"name": f"{cluster['metadata']['name']}-app", "key": "uri"}
