"""`mintaka convert prefect.yaml`: how each part of the file is converted, and the notes on parts that cannot be."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from mintaka.cli import main
from mintaka.exceptions import InvalidSettingError
from mintaka.serving.converting import Converted, converted
from mintaka.serving.prefect_yaml import read_prefect_file

NOW = datetime(2026, 3, 3, tzinfo=UTC)


def conversions(text: str, folder: Path = Path("/nowhere"), **settings: Any) -> list[Converted]:
    """The deployments of a file in `folder`."""
    return converted(read_prefect_file(folder / "prefect.yaml", text), {"REGION": "north", "COUNT": "7"}, NOW, **settings)


def one(fields: str, around: str = "", **settings: Any) -> Converted:
    """A deployment of `flows.py:etl` with these fields, in lines."""
    lines = "\n".join(f"  {line}" for line in fields.splitlines())
    return conversions(f"{around}\ndeployments:\n- name: daily\n  entrypoint: flows.py:etl\n{lines}\n", **settings)[0]


def spec_of(found: Converted) -> dict[str, Any]:
    """The spec of a deployment that was converted."""
    assert found.manifest is not None, found.notes
    spec: dict[str, Any] = found.manifest["spec"]
    return spec


def noted(found: Converted, *beginnings: str) -> bool:
    """Whether there is a note for each beginning."""
    return all(any(note.startswith(beginning) for note in found.notes) for beginning in beginnings)


CARRIED = {
    "parameters": ("parameters: {region: north, day: 2024-01-02}", {"parameters": {"region": "north", "day": "2024-01-02"}}),
    "one tag": ("tags: nightly", {"tags": ["nightly"]}),
    "a version that is a number": ("version: 1.5", {"version": "1.5"}),
    "paused": ("paused: true", {"suspend": True}),
    "a cron schedule": (
        "schedules:\n- {cron: '0 6 * * *', timezone: Europe/Berlin, slug: Morning Run, active: false, parameters: {n: 1}}",
        {"schedules": [{"name": "morning-run", "cron": "0 6 * * *", "timeZone": "Europe/Berlin", "parameters": {"n": 1}, "suspend": True}]},
    ),
    "an interval in ISO 8601 with an anchor": (
        "schedules:\n- {interval: PT1H30M, anchor_date: '2024-01-01T00:00:00+02:00'}",
        {"schedules": [{"name": "main", "interval": "1h30m", "anchor": "2023-12-31T22:00:00Z", "timeZone": "UTC"}]},
    ),
    "a single schedule, as older files have it": (
        "schedule: {cron: '@daily'}",
        {"schedules": [{"name": "main", "cron": "@daily", "timeZone": "UTC"}]},
    ),
    "a rule as JSON": (
        """schedules:\n- {rrule: '{"rrule": "FREQ=DAILY", "timezone": "Asia/Tokyo"}'}""",
        {"schedules": [{"name": "main", "rrule": "FREQ=DAILY", "timeZone": "Asia/Tokyo"}]},
    ),
    "cron days that must both match": (
        "schedules:\n- {cron: '0 9 8-14 * FRI', day_or: false}",
        {"schedules": [{"name": "main", "cron": "0 9 * * FRI#2", "timeZone": "UTC"}]},
    ),
    "variables of the environment": ("parameters: {region: '{{ $REGION }}-{{$COUNT}}'}", {"parameters": {"region": "north-7"}}),
}


@pytest.mark.parametrize(("fields", "expected"), CARRIED.values(), ids=CARRIED)
def test_a_field_carries_over(fields: str, expected: dict[str, Any]) -> None:
    spec = spec_of(one(fields))
    assert {key: spec.get(key) for key in expected} == expected


NOTED = {
    "triggers: [{enabled: true}]": "triggers: ",
    "sla: [{name: x}]": "sla: ",
    "concurrency_limit: {limit: 1, collision_strategy: CANCEL_NEW}": "concurrency_limit: write it as spec.concurrency",
    "version_type: vcs:git": "version_type: ",
    "colour: blue": "colour: not a field",
    "enforce_parameter_schema: true": "enforce_parameter_schema: ",
    "work_pool: {name: k8s, work_queue_name: fast}": "work_pool.work_queue_name: 'fast'",
    "work_pool: {job_variables: {tolerate: 1}}": "work_pool.job_variables.tolerate: no counterpart",
    "parameters: {key: '{{ prefect.blocks.secret.api-key }}'}": "parameters.key: '{{ prefect.blocks.secret.api-key }}' is left out",
    "parameters: {key: '{{ prefect.variables.region }}'}": "parameters.key: '{{ prefect.variables.region }}' is left out, because variables are read",
    "parameters: {key: '{{ $NOT_THERE }}'}": "parameters.key: '{{ $NOT_THERE }}' is left out, because the environment variable",
    "parameters: {key: '{{ hash.stdout }}'}": "parameters.key: '{{ hash.stdout }}' is left out, because it is the output of a step",
    "schedules: [{rrule: 'FREQ=DAILY;COUNT=2'}]": "schedules[0]: rrule",
    "schedules: [{cron: '61 * * * *'}]": "schedules[0]: cron expression '61 * * * *' is not valid",
    "schedules: [{cron: '0 0 13 * FRI', day_or: false}]": "schedules[0]: day_or=False",
    "schedules: [{interval: 60}]": "schedules[0]: without anchor_date",
    "pull: [{prefect.deployments.steps.git_clone: {repository: 'https://x/y.git'}}]": "pull: git_clone https://x/y.git: code is not fetched",
    "pull: [{prefect_aws.deployments.steps.pull_from_s3: {bucket: code}}]": "pull: pull_from_s3 code: code is not fetched",
    "build: {prefect.deployments.steps.run_shell_script: {script: make all}}": "build: run_shell_script: nothing runs it; do it before this is applied, or in the image: make all",
    "push: [{prefect_docker.deployments.steps.push_docker_image: {image_name: r/x, tag: 2}}]": "push: push the image with its own tools: docker push r/x:2",
}


@pytest.mark.parametrize(("fields", "note"), NOTED.items(), ids=NOTED)
def test_what_does_not_carry_over_has_a_note_and_the_rest_is_converted(fields: str, note: str) -> None:
    found = one(fields)
    assert spec_of(found)["entrypoint"] == "flows.py:etl"
    assert noted(found, note), found.notes


def test_anchors_and_steps_of_the_file_hold_for_all_its_deployments() -> None:
    found = conversions(
        """
build:
- prefect_docker.deployments.steps.build_docker_image: {id: img, image_name: registry/x, tag: "3", dockerfile: Dockerfile}
pull:
- prefect.deployments.steps.set_working_directory: {directory: /opt/code}
definitions:
  pool: &pool {name: k8s, job_variables: {image: "{{ img.image }}", cpu_limit: 2}}
deployments:
- {name: a, entrypoint: flows.py:one_flow, work_pool: *pool}
- {name: b, entrypoint: pkg.flows.two, work_pool: {<<: *pool, name: other}, pull: null, build: null}
"""
    )
    first, second = found
    container = spec_of(first)["podTemplate"]["spec"]["containers"][0]
    assert container == {"name": "flow", "resources": {"limits": {"cpu": "2"}}, "workingDir": "/opt/code"}
    assert spec_of(first)["image"] == "registry/x:3"
    assert first.title == "one-flow/a"
    assert noted(first, "build: build the image with its own tools: docker build --tag registry/x:3 --file Dockerfile .")
    assert "image" not in spec_of(second), "its own steps take the place of the file's"
    assert spec_of(second)["entrypoint"] == "pkg.flows:two"


def test_variables_of_a_kubernetes_pool_are_fields_of_the_pod() -> None:
    found = one(
        """work_pool:
  name: k8s
  job_variables:
    image: r/x:1
    namespace: team
    env: {LEVEL: debug, COUNT: 3, GONE: null}
    labels: {app: shop}
    annotations: {note: here}
    service_account_name: runner
    image_pull_policy: Always
    image_pull_secrets: [regcred]
    cpu_request: 100m
    memory_limit: 1Gi
    node_selector: {disk: ssd}
    finished_job_ttl: 60
    pod_watch_timeout_seconds: 90
    job_watch_timeout_seconds: 3600
    backoff_limit: 2
"""
    )
    spec = spec_of(found)
    assert found.manifest is not None
    assert found.manifest["metadata"] == {"name": "etl-daily", "namespace": "team"}
    assert spec["podTemplate"] == {
        "metadata": {"labels": {"app": "shop"}, "annotations": {"note": "here"}},
        "spec": {
            "serviceAccountName": "runner",
            "imagePullSecrets": [{"name": "regcred"}],
            "nodeSelector": {"disk": "ssd"},
            "containers": [
                {
                    "name": "flow",
                    "imagePullPolicy": "Always",
                    "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}},
                    "env": [{"name": "LEVEL", "value": "debug"}, {"name": "COUNT", "value": "3"}],
                }
            ],
        },
    }
    assert (spec["image"], spec["pendingTimeoutSeconds"], spec["retries"]) == ("r/x:1", 90, {"onCrash": {"limit": 2}})
    assert spec["podRetention"] == {"completedSeconds": 60, "failedSeconds": 60}
    variables = "work_pool.job_variables."
    assert noted(found, f"{variables}env: GONE", f"{variables}job_watch_timeout_seconds", f"{variables}backoff_limit")


def test_the_name_of_a_flow_is_read_from_its_file_without_importing_it(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text("import no_such_module\n@flow(name='Sales report')\ndef etl(): ...\n", encoding="utf-8")
    found = one("", folder=tmp_path)
    assert found.manifest is not None
    assert (found.title, found.manifest["metadata"]["name"]) == ("Sales report/daily", "sales-report-daily")


def test_inline_puts_the_code_into_the_manifest_unless_an_image_has_it(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text("def etl(): ...\n", encoding="utf-8")
    spec = spec_of(one("", folder=tmp_path, inline=True))
    assert (spec["source"], spec["entrypoint"]) == ({"inline": "def etl(): ...\n"}, "flows.py:etl")
    assert "source" not in spec_of(one("work_pool: {job_variables: {image: x}}", folder=tmp_path, inline=True))


def test_deployments_with_one_name_get_names_of_their_own_and_a_note() -> None:
    found = conversions("deployments: [{name: a, entrypoint: f.py:x}, {name: a, entrypoint: g.py:x}]")
    assert [each.manifest["metadata"]["name"] for each in found if each.manifest] == ["x-a", "x-a-2"]
    assert noted(found[1], "name: x-a is the name of an earlier deployment")


REFUSED = {
    "no entrypoint": ("{name: a}", "it has no entrypoint"),
    "an entrypoint without a module": ("{name: a, entrypoint: etl}", "is not of the form"),
    "an entrypoint with a space": ("{name: a, entrypoint: 'my flows.py:etl'}", "entrypoint"),
    "parameters over the limit": ("{name: a, entrypoint: 'f.py:x', parameters: {text: '" + "x" * 17000 + "'}}", "parameters"),
}


@pytest.mark.parametrize(("fields", "why"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_deployment_says_why(fields: str, why: str) -> None:
    [found] = conversions(f"deployments: [{fields}]")
    assert found.manifest is None
    assert found.notes[-1].startswith("not converted: ")
    assert why in found.notes[-1]


@pytest.mark.parametrize("text", ["deployments: 3", "- a", "a: [", "name: x", "deployments: [x]"])
def test_what_is_not_a_prefect_yaml_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettingError, match=r"is it a prefect\.yaml|is not YAML"):
        read_prefect_file(Path("prefect.yaml"), text)


def test_the_command_prints_documents_that_are_read_again_and_says_if_some_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prefect.yaml"
    file.write_text(
        'extra: 1\ndeployments:\n- {name: "a\\n---\\nkind: Pod", entrypoint: "f.py:x"}\n- {name: b}\n- {name: c, entrypoint: m.n.f}\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(sys, "argv", ["mintaka", "convert", str(file)])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr().out
    documents = [document for document in yaml.safe_load_all(printed) if document]
    assert [document["metadata"]["name"] for document in documents] == ["x-a-kind-pod", "f-c"]
    assert printed.startswith(
        "# prefect.yaml: extra is not a key that Mintaka knows\n# deployment 2, b\n#   not converted: it has no entrypoint"
    )
    assert ended.value.code == 1
