"""Attempts run the revision that their run was created with, even if the deployment changes or is deleted meanwhile."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mintaka_controller import revision_collection
from mintaka_core.revisions import SOURCE_COPY_LIMIT_BYTES
from mintaka_kubernetes.resources import CONFIG_MAPS, CONTROLLER_REVISIONS, FLOW_DEPLOYMENTS, FLOW_RUNS, PODS
from mintaka_operator.cluster import ApiError
from revision_world import NAMESPACE, RevisionWorld

if TYPE_CHECKING:
    from collections.abc import Callable

FROM_CONFIG_MAP = {"source": {"configMap": {"name": "code"}}}
LATEST = {"mintaka.dev/revision": "latest"}


@pytest.fixture
def there() -> RevisionWorld:
    """A deployment whose image is `v1`."""
    world = RevisionWorld()
    world.apply("v1")
    return world


def revision_of(there: RevisionWorld, name: str = "r") -> str:
    """The revision in a run's status."""
    return str(there.status(name).get("revision", ""))


def is_restarted(there: RevisionWorld) -> None:
    """The controller knows only what is stored."""
    there.restart()


def goes_on(_there: RevisionWorld) -> None:
    """The controller remembers."""


REMEMBERS = pytest.mark.parametrize("controller", [goes_on, is_restarted], ids=["the controller continues", "the controller is restarted"])


# What is stored.


def test_a_run_stores_the_spec_that_it_was_created_with(there: RevisionWorld) -> None:
    there.create_run()
    ((name, stored),) = there.revisions.items()
    assert revision_of(there) == name
    assert name.startswith("etl-")
    assert stored["data"]["spec"]["image"] == "v1"
    assert stored["revision"] == 1
    assert stored["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "mintaka", "mintaka.dev/deployment": "etl"}
    assert [(owner["kind"], owner["name"], owner.get("controller", False)) for owner in stored["metadata"]["ownerReferences"]] == [
        ("FlowDeployment", "etl", True),
        ("FlowRun", "r", False),
    ]
    assert there.pod()["metadata"]["annotations"]["mintaka.dev/revision"] == name


def test_fifty_runs_of_one_spec_make_one_revision(there: RevisionWorld) -> None:
    """And no more requests than the first one: it is known to exist."""
    for number in range(50):
        there.create_run(f"r{number}")
    assert len(there.revisions) == 1
    assert [write for write in there.writes() if write[1] == "controllerrevisions"] == [("POST", "controllerrevisions")]
    assert {revision_of(there, f"r{number}") for number in range(50)} == set(there.revisions)


def test_a_controller_that_does_not_know_it_tries_to_create_it_once(there: RevisionWorld) -> None:
    """AlreadyExists means done."""
    there.create_run("a")
    there.restart()
    there.cluster.requests.clear()
    there.create_run("b")
    there.create_run("c")
    assert [write for write in there.writes() if write[1] == "controllerrevisions"] == [("POST", "controllerrevisions")]
    assert len(there.revisions) == 1
    assert revision_of(there, "a") == revision_of(there, "b") == revision_of(there, "c")


@pytest.mark.parametrize(
    ("change", "revisions"),
    [
        pytest.param({"schedules": [{"name": "nightly", "cron": "0 2 * * *"}]}, 1, id="a schedule concerns no run"),
        pytest.param({"suspend": True}, 1, id="nor does a suspension of the schedules"),
        pytest.param({"history": {"limit": 3}}, 1, id="nor the retention of its runs"),
        pytest.param({"description": "Loads sales."}, 1, id="nor what it is called"),
        pytest.param({"version": "2"}, 2, id="the version of its code does"),
        pytest.param({"parameters": {"region": "north"}}, 2, id="parameters do"),
        pytest.param({"timeoutSeconds": 60}, 2, id="timeouts do"),
    ],
)
def test_a_change_that_concerns_runs_makes_another_revision(there: RevisionWorld, change: dict[str, Any], revisions: int) -> None:
    there.create_run("a")
    there.apply("v1", **change)
    there.create_run("b")
    assert len(there.revisions) == revisions
    assert sorted(stored["revision"] for stored in there.revisions.values()) == list(range(1, revisions + 1))


def test_a_deployment_that_was_deleted_and_applied_again_has_revisions_of_its_own(there: RevisionWorld) -> None:
    """The earlier ones have owners that are gone: the garbage collector may delete them at any time."""
    there.create_run("a")
    there.delete_deployment()
    there.apply("v1")
    there.create_run("b")
    assert revision_of(there, "a") != revision_of(there, "b")
    assert len(there.revisions) == 2


def test_a_deployment_without_a_spec_has_a_revision_too(there: RevisionWorld) -> None:
    """An API server without validation stores one."""
    path = FLOW_DEPLOYMENTS.path(NAMESPACE, "etl")
    there.cluster.put(path, {**there.cluster.objects[path], "spec": None})
    there.restart()
    there.create_run()
    assert revision_of(there) in there.revisions


def test_a_run_with_a_template_of_its_own_has_none(there: RevisionWorld) -> None:
    there.create_run(deployment=None, template={"entrypoint": "a:b", "image": "own"})
    assert (there.revisions, revision_of(there), there.image()) == ({}, "", "own")
    assert "mintaka.dev/revision" not in there.pod()["metadata"]["annotations"]


def test_a_run_that_waits_for_its_time_has_the_spec_of_its_creation(there: RevisionWorld) -> None:
    there.create_run(scheduledTime=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert there.state() == "SCHEDULED"
    assert revision_of(there) in there.revisions
    there.apply("v2")
    there.cluster.objects[FLOW_RUNS.path(NAMESPACE, "r")]["status"]["nextTime"] = "2026-03-04T05:00:00Z"
    there.restart()
    there.reconcile()
    assert there.image() == "v1"


def test_a_run_that_was_applied_before_its_deployment_takes_the_first_spec_it_finds() -> None:
    there = RevisionWorld()
    there.create_run()
    assert (there.state(), revision_of(there)) == ("SCHEDULED DeploymentNotFound", "")
    there.apply("v1")
    there.reconcile()
    assert (there.image(), revision_of(there)) == ("v1", next(iter(there.revisions)))


# Further attempts.


@REMEMBERS
def test_a_second_attempt_runs_the_same_spec_although_the_deployment_was_changed(
    there: RevisionWorld, controller: Callable[[RevisionWorld], None]
) -> None:
    there.create_run()
    there.start()
    there.apply("v2", timeoutSeconds=7)
    controller(there)
    there.end()
    assert (there.image(2), there.state()) == ("v1", "PENDING")
    assert [attempt["revision"] for attempt in there.status()["attempts"]] == [revision_of(there)] * 2
    assert len(there.revisions) == 1
    there.create_run("other")
    assert there.image(1, "other") == "v2"


@REMEMBERS
def test_a_second_attempt_runs_although_the_deployment_was_deleted(
    there: RevisionWorld, controller: Callable[[RevisionWorld], None]
) -> None:
    there.create_run()
    there.start()
    there.delete_deployment()
    controller(there)
    there.end()
    assert (there.image(2), there.state()) == ("v1", "PENDING")


def test_the_retries_of_a_run_are_those_of_its_revision(there: RevisionWorld) -> None:
    """A budget that was taken from the deployment meanwhile is still the run's."""
    there.create_run()
    there.start()
    there.apply("v1", retries={})
    there.end()
    assert (there.state(), there.image(2)) == ("PENDING", "v1")


def test_an_unchanged_deployment_costs_a_second_attempt_no_read(there: RevisionWorld) -> None:
    there.create_run()
    there.start()
    there.cluster.requests.clear()
    there.end()
    assert there.image(2) == "v1"
    assert [path for method, path in there.cluster.requests if method in {"GET", "LIST"}] == []


@REMEMBERS
def test_a_rerun_keeps_its_revision(there: RevisionWorld, controller: Callable[[RevisionWorld], None]) -> None:
    there.create_run()
    there.start()
    there.end(exit_code=0)
    assert there.state() == "COMPLETED"
    there.apply("v2")
    controller(there)
    there.change_run(reruns=1)
    assert there.image(2) == "v1"


@pytest.mark.parametrize("exit_code", [0, 1], ids=["a rerun", "a retry"])
def test_a_run_may_ask_for_the_newest_revision(there: RevisionWorld, exit_code: int) -> None:
    there.create_run()
    there.start()
    first = revision_of(there)
    there.apply("v2")
    there.change_run(annotations=LATEST)
    assert revision_of(there) == first
    there.end(exit_code=exit_code)
    if exit_code == 0:
        there.change_run(reruns=1)
    assert there.image(2) == "v2"
    assert [attempt["revision"] for attempt in there.status()["attempts"]] == [first, revision_of(there)]
    assert revision_of(there) != first
    assert len(there.revisions) == 2


def test_a_pod_whose_creation_was_not_recorded_says_what_it_runs(there: RevisionWorld) -> None:
    """The controller ended before it wrote the status, and the deployment was changed before another one read the run."""
    there.create_run()
    first = revision_of(there)
    run = there.cluster.objects[FLOW_RUNS.path(NAMESPACE, "r")]
    there.cluster.put(FLOW_RUNS.path(NAMESPACE, "r"), {**run, "status": {}})
    there.apply("v2")
    there.restart()
    there.reconcile()
    assert (there.state(), revision_of(there)) == ("PENDING", first)
    there.start()
    there.end()
    assert there.image(2) == "v1"
    assert len(there.revisions) == 1


def test_a_pod_that_another_controller_created_meanwhile_says_what_it_runs(there: RevisionWorld) -> None:
    """This one did not know of it, and decided to run the changed deployment."""
    there.create_run()
    first = revision_of(there)
    run = there.cluster.objects[FLOW_RUNS.path(NAMESPACE, "r")]
    there.cluster.put(FLOW_RUNS.path(NAMESPACE, "r"), {**run, "status": {}})
    there.apply("v2")
    there.restart()
    there.world.context.workloads.remove((NAMESPACE, "r-1"))
    there.reconcile()
    assert there.status() == {}
    there.reconcile()
    assert (there.state(), revision_of(there), there.image()) == ("PENDING", first, "v1")


def test_a_run_that_no_pod_can_be_created_for_takes_a_corrected_deployment(there: RevisionWorld) -> None:
    """Its first attempt has not begun, because of the deployment: applying a corrected one helps it, as before there were revisions."""
    pods = PODS.path(NAMESPACE)
    refusal = ApiError(
        403, "Forbidden", 'pods "r-1" is forbidden: error looking up service account team/etl: serviceaccount "etl" not found'
    )
    there.cluster.fault = lambda method, path: refusal if method == "POST" and path == pods else None
    there.create_run()
    assert there.state() == "SCHEDULED ServiceAccountNotFound"
    there.cluster.fault = lambda _method, _path: None
    there.apply("v2")
    there.world.context.backoff.free_lane(NAMESPACE, "etl", datetime.now(UTC))
    there.reconcile()
    assert (there.state(), there.image()) == ("PENDING", "v2")
    assert there.revisions[revision_of(there)]["data"]["spec"]["image"] == "v2"


# Sources in ConfigMaps.


def files_of(there: RevisionWorld, attempt: int) -> dict[str, str] | str:
    """The files that a pod mounts as its source: with their contents, or the name of a ConfigMap."""
    pod = there.pod(attempt)
    (volume,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "mintaka-source"]
    if "configMap" in volume:
        return str(volume["configMap"]["name"])
    items = volume["downwardAPI"]["items"]
    keys = {item["path"]: item["fieldRef"]["fieldPath"].removeprefix("metadata.annotations['").removesuffix("']") for item in items}
    return {path: pod["metadata"]["annotations"][key] for path, key in keys.items()}


@pytest.fixture
def sourced() -> RevisionWorld:
    """A deployment whose code is in a ConfigMap, and a run whose first attempt has started."""
    world = RevisionWorld()
    world.write_files(flow="one", helpers="also one")
    world.apply("v1", **FROM_CONFIG_MAP)
    world.create_run()
    world.start()
    return world


def test_the_files_of_a_config_map_are_part_of_the_revision(sourced: RevisionWorld) -> None:
    (stored,) = sourced.revisions.values()
    copy = stored["data"]["spec"]["source"]["configMap"]
    assert (copy["name"], copy["files"]) == ("code", {"flow.py": "one", "helpers.py": "also one"})
    assert copy["resourceVersion"] == "101"
    assert files_of(sourced, 1) == "code"


@REMEMBERS
def test_a_second_attempt_runs_the_files_of_its_revision(sourced: RevisionWorld, controller: Callable[[RevisionWorld], None]) -> None:
    sourced.write_files(flow="two")
    controller(sourced)
    sourced.end()
    assert files_of(sourced, 2) == {"flow.py": "one", "helpers.py": "also one"}
    sourced.create_run("other")
    (volume,) = [each for each in sourced.pod(1, "other")["spec"]["volumes"] if each["name"] == "mintaka-source"]
    assert volume["configMap"] == {"name": "code"}
    assert len(sourced.revisions) == 2
    assert [stored["revision"] for stored in sourced.revisions.values()] == [1, 2]


@pytest.mark.parametrize("rewritten", [False, True], ids=["left alone", "written again with the same content"])
def test_an_unchanged_config_map_is_mounted(sourced: RevisionWorld, *, rewritten: bool) -> None:
    if rewritten:
        sourced.write_files(flow="one", helpers="also one")
    sourced.end()
    assert files_of(sourced, 2) == "code"
    assert len(sourced.revisions) == 1


@REMEMBERS
def test_a_second_attempt_needs_the_config_map_no_more(sourced: RevisionWorld, controller: Callable[[RevisionWorld], None]) -> None:
    """It was deleted, and the attempt after that waits for a retry or a rerun."""
    del sourced.cluster.objects[CONFIG_MAPS.path(NAMESPACE, "code")]
    controller(sourced)
    sourced.end(exit_code=0)
    sourced.change_run(reruns=1)
    assert sourced.state() == "PENDING"
    assert files_of(sourced, 2) == {"flow.py": "one", "helpers.py": "also one"}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"data": {"flow.py": "x" * (SOURCE_COPY_LIMIT_BYTES + 1)}}, id="too large"),
        pytest.param({"data": {"flow.py": "x"}, "binaryData": {"model.bin": "AAAA"}}, id="not text"),
    ],
)
def test_a_source_that_cannot_be_copied_is_kept_by_name(content: dict[str, Any]) -> None:
    there = RevisionWorld()
    there.cluster.put(CONFIG_MAPS.path(NAMESPACE, "code"), {"kind": "ConfigMap", **content})
    there.apply("v1", **FROM_CONFIG_MAP)
    there.create_run()
    copy = next(iter(there.revisions.values()))["data"]["spec"]["source"]["configMap"]
    assert (copy["name"], copy["resourceVersion"], "files" in copy) == ("code", "101", False)
    there.start()
    there.write_files(flow="two")
    there.end()
    assert files_of(there, 2) == "code"


def test_many_runs_read_the_content_of_a_config_map_once(sourced: RevisionWorld) -> None:
    """Each requests its version, as each requested whether it exists."""
    sourced.cluster.requests.clear()
    for number in range(10):
        sourced.create_run(f"r{number}")
    path = CONFIG_MAPS.path(NAMESPACE, "code")
    assert [request for request in sourced.cluster.requests if request[1] == path] == [("GET", path)] * 10


def test_a_missing_config_map_is_said_before_there_is_a_revision() -> None:
    there = RevisionWorld()
    there.apply("v1", **FROM_CONFIG_MAP)
    there.create_run()
    assert (there.state(), there.revisions) == ("SCHEDULED ConfigMapNotFound", {})
    there.write_files(flow="one")
    there.reconcile()
    assert (there.state(), len(there.revisions)) == ("PENDING", 1)


# Revisions that are gone, or may not be stored.


def test_one_that_was_deleted_by_hand_is_not_missed_while_the_deployment_is_the_same(there: RevisionWorld) -> None:
    there.create_run()
    there.start()
    there.delete_revisions()
    there.restart()
    there.end()
    assert (there.state(), there.image(2)) == ("PENDING", "v1")


def changed(there: RevisionWorld) -> None:
    """The deployment has another spec."""
    there.apply("v2")


def deleted(there: RevisionWorld) -> None:
    """The deployment is gone."""
    there.delete_deployment()


@pytest.mark.parametrize(("happens", "said"), [(changed, "has changed since"), (deleted, "was deleted since")])
def test_one_that_was_deleted_by_hand_ends_the_run_with_what_to_do(
    there: RevisionWorld, happens: Callable[[RevisionWorld], None], said: str
) -> None:
    there.create_run()
    there.start()
    there.end(exit_code=0)
    name = revision_of(there)
    happens(there)
    there.delete_revisions()
    there.restart()
    there.change_run(reruns=1)
    assert there.state() == "FAILED RevisionNotFound"
    message = there.status()["state"]["message"]
    assert name in message
    assert said in message
    assert "mintaka.dev/revision=latest" in message
    there.apply("v3")
    there.change_run(annotations=LATEST, reruns=2)
    assert (there.state(), there.image(2)) == ("PENDING", "v3")


def test_one_that_was_deleted_by_hand_is_missed_if_its_source_has_changed(sourced: RevisionWorld) -> None:
    """The deployment is the same; what its ConfigMap had is lost."""
    sourced.write_files(flow="two")
    sourced.delete_revisions()
    sourced.restart()
    sourced.end()
    assert sourced.state() == "FAILED RevisionNotFound"
    assert "ConfigMap 'code' with the code has changed since" in sourced.status()["state"]["message"]


def test_where_none_may_be_read_a_run_with_a_changed_source_waits_and_says_so(sourced: RevisionWorld) -> None:
    sourced.write_files(flow="two")
    sourced.restart()
    forbid(sourced, "GET")
    sourced.end()
    assert sourced.state() == "SCHEDULED RevisionNotReadable"


def test_one_that_somebody_else_wrote_is_not_run(there: RevisionWorld) -> None:
    """Who may create ControllerRevisions, and no FlowDeployments, must not decide what runs."""
    there.create_run()
    there.start()
    (name,) = there.revisions
    path = CONTROLLER_REVISIONS.path(NAMESPACE, name)
    stored = there.cluster.objects[path]
    there.cluster.put(path, {**stored, "data": {"spec": {**stored["data"]["spec"], "image": "evil"}}})
    there.apply("v2")
    there.restart()
    there.end(exit_code=0)
    there.change_run(reruns=1)
    assert there.state() == "FAILED RevisionNotFound"


def forbid(there: RevisionWorld, *methods: str) -> None:
    """The operator's Role does not know ControllerRevisions."""
    refusal = ApiError(403, "Forbidden", "controllerrevisions.apps is forbidden")
    there.cluster.fault = lambda method, path: refusal if "controllerrevisions" in path and method in methods else None


def test_where_none_may_be_created_runs_start_all_the_same(there: RevisionWorld) -> None:
    """Each gets one event; its further attempts run the deployment as it is then."""
    forbid(there, "POST", "LIST", "GET")
    there.create_run("a")
    there.create_run("b")
    there.start(1, "a")
    assert [(event["involvedObject"]["name"], event["reason"]) for event in there.events] == [
        ("a", "RevisionNotStored"),
        ("b", "RevisionNotStored"),
    ]
    assert "is forbidden" in there.events[0]["message"]
    assert (revision_of(there, "a"), there.image(1, "a")) == ("", "v1")
    there.apply("v2")
    there.end(1, "a")
    assert (there.state("a"), there.image(2, "a"), revision_of(there, "a")) == ("PENDING", "v2", "")
    assert len([write for write in there.writes() if write[1] == "events"]) == 2 + 1  # and the retry


def test_where_none_may_be_created_that_is_not_tried_for_each_run(there: RevisionWorld) -> None:
    forbid(there, "POST")
    for number in range(10):
        there.create_run(f"r{number}")
    assert [write for write in there.writes() if write[1] == "controllerrevisions"] == [("POST", "controllerrevisions")]


def test_one_that_is_refused_for_itself_does_not_concern_other_deployments(there: RevisionWorld) -> None:
    """It is too large, for instance."""
    there.apply("other", name="web")
    forbid(there, "POST")
    there.create_run("a")
    there.cluster.fault = lambda _method, _path: None
    there.create_run("b", deployment="web")
    there.create_run("c")
    assert (revision_of(there, "a"), revision_of(there, "c")) == ("", "")
    assert revision_of(there, "b") in there.revisions


def test_where_none_may_be_read_a_run_waits_and_says_so(there: RevisionWorld) -> None:
    there.create_run()
    there.start()
    there.end(exit_code=0)
    there.apply("v2")
    there.restart()
    forbid(there, "GET")
    there.change_run(reruns=1)
    assert there.state() == "SCHEDULED RevisionNotReadable"
    there.cluster.fault = lambda _method, _path: None
    there.reconcile()
    assert (there.state(), there.image(2)) == ("PENDING", "v1")


def test_an_outage_while_a_revision_is_created_delays_the_run(there: RevisionWorld) -> None:
    """It is not a refusal: the same request may succeed later."""
    away = ApiError(0, "Unreachable", "no answer")
    there.cluster.fault = lambda method, path: away if "controllerrevisions" in path and method == "POST" else None
    there.create_run()
    assert there.status() == {}
    there.cluster.fault = lambda _method, _path: None
    there.reconcile()
    assert revision_of(there) in there.revisions


# Collection.


def settle(there: RevisionWorld) -> None:
    """All revisions are from long ago, and the controller was started since."""
    for name, stored in there.revisions.items():
        metadata = {**stored["metadata"], "creationTimestamp": "2026-01-01T00:00:00Z"}
        there.cluster.put(CONTROLLER_REVISIONS.path(NAMESPACE, name), {**stored, "metadata": metadata})
    there.restart()


def images(there: RevisionWorld) -> set[str]:
    """The images of the stored revisions."""
    return {stored["data"]["spec"]["image"] for stored in there.revisions.values()}


def completed(there: RevisionWorld) -> None:
    """The run completed."""
    there.end(exit_code=0)


def crashed_for_good(there: RevisionWorld) -> None:
    """The run failed, and its owner may run it again."""
    for attempt in range(1, 7):
        there.end(attempt)
    assert there.state() == "FAILED NonZeroExit"


@pytest.mark.parametrize(
    ("then", "left"),
    [
        pytest.param(completed, {"v2"}, id="its run has completed"),
        pytest.param(crashed_for_good, {"v1", "v2"}, id="its run has failed and may be run again"),
        pytest.param(goes_on, {"v1", "v2"}, id="its run is running"),
    ],
)
def test_a_revision_goes_when_no_run_needs_it(there: RevisionWorld, then: Callable[[RevisionWorld], None], left: set[str]) -> None:
    there.create_run()
    there.start()
    then(there)
    there.apply("v2")
    there.create_run("other")
    settle(there)
    there.collect()
    assert images(there) == left


def test_one_pass_deletes_a_bounded_number(there: RevisionWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest first; the next pass continues."""
    monkeypatch.setattr(revision_collection, "DELETED_AT_ONCE", 2)
    for number in range(1, 6):
        there.apply(f"v{number}")
        there.create_run(f"r{number}")
        there.start(1, f"r{number}")
        there.end(1, f"r{number}", exit_code=0)
    settle(there)
    assert [there.collect(), there.collect(), there.collect()] == [2, 2, 0]
    assert images(there) == {"v5"}


def test_the_newest_revision_stays(there: RevisionWorld) -> None:
    there.create_run()
    there.start()
    there.end(exit_code=0)
    settle(there)
    assert (there.collect(), images(there)) == (0, {"v1"})


def test_one_that_was_just_created_or_taken_stays(there: RevisionWorld) -> None:
    """A run may have taken it although its status does not show it yet."""
    there.create_run()
    there.start()
    there.end(exit_code=0)
    there.apply("v2")
    there.create_run("other")
    assert (there.collect(), images(there)) == (0, {"v1", "v2"})


def test_a_deployment_that_was_rolled_back_keeps_what_it_runs(there: RevisionWorld) -> None:
    """The earlier revision is taken again; it is not the one with the highest number."""
    there.create_run("a")
    there.apply("v2")
    there.create_run("b")
    settle(there)
    there.apply("v1")
    there.create_run("c")
    assert revision_of(there, "c") == revision_of(there, "a")
    for name in ("a", "b", "c"):
        there.start(1, name)
        there.end(1, name, exit_code=0)
    there.collect()
    assert images(there) == {"v1", "v2"}


def test_revisions_of_others_are_left_alone(there: RevisionWorld) -> None:
    """StatefulSets and DaemonSets have theirs in the same collection."""
    path = CONTROLLER_REVISIONS.path(NAMESPACE, "web-5f6d")
    there.cluster.put(path, {"metadata": {"uid": "w", "creationTimestamp": "2026-01-01T00:00:00Z"}, "data": {}, "revision": 1})
    there.collect()
    assert path in there.cluster.objects


def test_collecting_ends_no_operator(there: RevisionWorld, caplog: pytest.LogCaptureFixture) -> None:
    """Where revisions may not be listed, that is logged."""
    forbid(there, "LIST")
    there.world.controller.resync._rounds_to_collection = 1
    asyncio.run(there.world.controller.resync.collect())
    assert "cannot collect revisions of flow deployments" in caplog.text


# Writes.


def test_attempts_travel_with_the_writes_of_an_ordinary_run(there: RevisionWorld) -> None:
    """One more write than without revisions for the first run of a spec, none for the others."""
    for name, more in (("a", [("POST", "controllerrevisions")]), ("b", [])):
        there.cluster.requests.clear()
        there.create_run(name)
        assert there.writes() == [*more, ("POST", "pods"), ("PUT", "flowruns/status")]
        (pending,) = there.status(name)["attempts"]
        assert (pending["number"], pending["podName"], bool(pending["podUid"]), bool(pending["created"])) == (1, f"{name}-1", True, True)
        assert pending["node"] == ""
        there.start(1, name)
        (running,) = there.status(name)["attempts"]
        assert (running["node"], running["started"][:19]) == ("node-1", "2026-03-04T05:00:02")
        assert "ended" not in running
        there.end(1, name, exit_code=0)
        (ended,) = there.status(name)["attempts"]
        assert (ended["state"], ended["exitCode"], bool(ended["ended"])) == ("COMPLETED", 0, True)
        there.reconcile(name)
        assert [write for write in there.writes() if write[0] == "PUT"] == [("PUT", "flowruns/status")] * 3


def test_an_attempt_has_the_end_of_its_output_and_its_diagnosis(there: RevisionWorld) -> None:
    there.apply("v1", retries={}, entrypoint=None, podTemplate={"spec": {"containers": [{"name": "flow", "image": "v1"}]}})
    there.create_run()
    there.start()
    there.end(message="\x1b[31mTraceback\x1b[0m\nValueError: no such file\n", exit_code=3)
    (attempt,) = there.status()["attempts"]
    assert (attempt["state"], attempt["reason"], attempt["exitCode"]) == ("FAILED", "NonZeroExit", 3)
    assert attempt["logTail"] == "Traceback\nValueError: no such file"
    assert "exit code 3" in attempt["diagnosis"]
