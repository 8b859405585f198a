"""Settings: what the environment says, and complaints that name the variable."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mintaka_operator.__main__ import main
from mintaka_operator.settings import Settings

EVERYTHING = {
    "MINTAKA_NAMESPACES": "sales, research,,",
    "MINTAKA_FLOW_IMAGE": "flows:3",
    "MINTAKA_API_URL": "http://api:4200",
    "MINTAKA_MIRROR": "disabled",
    "MINTAKA_MIRROR_DEADLINE_SECONDS": "90",
    "MINTAKA_RELIST_SECONDS": "2.5",
    "MINTAKA_WORKERS": "4",
    "MINTAKA_CLUSTER_KEYS": '{"gpu": ["sales", "research"], "licence": ["*"]}',
    "MINTAKA_POD_NAME": "operator-7",
    "MINTAKA_LEASE_NAME": "lease",
    "MINTAKA_LEASE_NAMESPACE": "system",
    "MINTAKA_RELEASE_NAMESPACE": "release",
    "MINTAKA_POD_RETENTION_SECONDS": "60",
    "MINTAKA_FAILED_POD_RETENTION_SECONDS": "120",
    "MINTAKA_HTTP_PORT": "9090",
    "MINTAKA_LOG_LEVEL": "debug",
    "MINTAKA_LOG_FORMAT": "json",
}


class TestSettings:
    def test_an_empty_environment_gives_the_defaults(self) -> None:
        assert Settings.from_environment({}) == Settings()
        assert Settings().namespaces == (), "all namespaces"

    def test_every_variable_is_read(self) -> None:
        assert Settings.from_environment(EVERYTHING) == Settings(
            namespaces=("sales", "research"),
            flow_image="flows:3",
            api_url="http://api:4200",
            mirrored=False,
            mirror_patience=timedelta(seconds=90),
            relist=timedelta(seconds=2.5),
            workers=4,
            cluster_keys={"gpu": ("sales", "research"), "licence": ("*",)},
            identity="operator-7",
            lease_name="lease",
            lease_namespace="system",
            release_namespace="release",
            pod_retention=timedelta(minutes=1),
            failed_pod_retention=timedelta(minutes=2),
            http_port=9090,
            log_level="DEBUG",
            log_format="json",
        )

    def test_a_variable_that_is_set_to_nothing_is_not_set(self) -> None:
        assert Settings.from_environment(dict.fromkeys(EVERYTHING, "")) == Settings()

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("MINTAKA_WORKERS", "many"),
            ("MINTAKA_WORKERS", "0"),
            ("MINTAKA_RELIST_SECONDS", "0"),
            ("MINTAKA_RELIST_SECONDS", "nan"),
            ("MINTAKA_MIRROR_DEADLINE_SECONDS", "inf"),
            ("MINTAKA_MIRROR_DEADLINE_SECONDS", "-1"),
            ("MINTAKA_HTTP_PORT", "65536"),
            ("MINTAKA_CLUSTER_KEYS", "gpu"),
            ("MINTAKA_CLUSTER_KEYS", '{"gpu": "sales"}'),
            ("MINTAKA_CLUSTER_KEYS", '"gpu"'),
            ("MINTAKA_MIRROR", "yes"),
            ("MINTAKA_LOG_LEVEL", "loud"),
            ("MINTAKA_LOG_FORMAT", "xml"),
        ],
    )
    def test_a_value_that_makes_no_sense_is_named_with_its_variable(self, variable: str, value: str) -> None:
        with pytest.raises(ValueError, match=rf"^{variable} must be .*, not '{value}'$"):
            Settings.from_environment({variable: value})

    def test_the_operator_does_not_start_with_them(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setenv("MINTAKA_WORKERS", "many")
        assert main() == 2
        assert capsys.readouterr().err == "mintaka_operator: MINTAKA_WORKERS must be a number from 1 to 1000, not 'many'\n"
