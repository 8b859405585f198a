"""The memory that cached resources take is proportional to their bytes, whatever they contain."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from memory_cluster import MemoryCluster
from memory_controller import MemoryController
from mintaka_controller.deployment_cache import DeploymentCache
from mintaka_controller.json_cache import JsonCache
from mintaka_controller.memory_budget import LARGE_BYTES, MemoryBudget, parsed_bytes
from mintaka_controller.ports import Snapshot
from mintaka_controller.reading import read_deployment
from mintaka_controller.reconciler import Key
from mintaka_controller.run_cache import RunCache
from mintaka_core.limits import KUBECTL_COPY, RESOURCE_LIMIT_BYTES
from mintaka_core.resources import FlowDeployment
from mintaka_kubernetes.resources import FLOW_DEPLOYMENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from jumping import Clock

MIB = 1024 * 1024
#: The worst that fits: a list for every three bytes.
LISTS: list[Any] = [[]] * (RESOURCE_LIMIT_BYTES // 3 - 300)

WORST = orjson.Fragment(orjson.dumps({"entrypoint": "a:b", "parameterSchema": {"x": LISTS}}))
LARGE_SPEC = {"entrypoint": "a:b", "podTemplate": {"x": "y" * (RESOURCE_LIMIT_BYTES - 1000)}}
LARGE_TEMPLATE = {"template": {"podTemplate": {"x": "y" * (RESOURCE_LIMIT_BYTES - 1000)}}}
#: Below what counts as large.
MEDIUM_TEMPLATE = {"template": {"podTemplate": {"x": "y" * (LARGE_BYTES - 1000)}}}


def resource(name: str, spec: dict[str, Any] | orjson.Fragment, version: int = 1, **metadata: Any) -> Snapshot:
    """A resource as a decoder returns it: nothing in it is shared with another."""
    whole = {
        "metadata": {"namespace": "n", "name": name, "uid": name, "resourceVersion": str(version), **metadata},
        "spec": spec,
        "status": {},
    }
    return Snapshot(orjson.loads(orjson.dumps(whole)))


def taken(store: Callable[[], object]) -> float:
    """The MiB that `store` leaves behind."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = store()
        gc.collect()
        assert kept is not None
        return tracemalloc.get_traced_memory()[0] / MIB
    finally:
        tracemalloc.stop()


def deployments(count: int, spec: dict[str, Any] | orjson.Fragment) -> DeploymentCache:
    """A cache with so many of them."""
    cache = DeploymentCache()
    for number in range(count):
        assert cache.put(resource(f"d-{number}", spec))
    return cache


class TestDeployments:
    def test_forty_of_the_worst_take_little_more_than_their_bytes(self) -> None:
        """40 have 10 MiB of JSON; parsed they would take 240 MiB."""

        def put_and_read() -> DeploymentCache:
            cache = deployments(40, WORST)
            for key in cache.names()[:5]:
                deployment = cache.deployment(key)
                assert deployment
                assert len((deployment.spec.parameter_schema or {})["x"]) == len(LISTS)
            return cache

        assert taken(put_and_read) < 30

    def test_kubectls_copy_is_not_cached(self) -> None:
        cache = DeploymentCache()
        cache.put(resource("d", {"entrypoint": "a:b"}, annotations={KUBECTL_COPY: "x" * MIB, "team": "a"}))
        deployment = cache.deployment(("n", "d"))
        assert deployment
        assert deployment.metadata.annotations == {"team": "a"}

    def test_one_that_is_used_again_and_again_is_parsed_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every run of it reads it several times in each pass."""
        cache = deployments(300, {"entrypoint": "a:b"})
        parsed = FlowDeployment.model_validate
        calls = []

        def counted(document: Any) -> FlowDeployment:
            calls.append(document["metadata"]["name"])
            return parsed(document)

        monkeypatch.setattr(FlowDeployment, "model_validate", counted)
        for _ in range(3):
            for key in cache.names():
                assert cache.deployment(key) is cache.deployment(key)
        assert calls == []
        cache.put(resource("d-7", {"entrypoint": "a:c"}, version=2))
        deployment = cache.deployment(("n", "d-7"))
        assert deployment
        assert (deployment.spec.entrypoint, calls) == ("a:c", ["d-7"])

    def test_a_thousand_large_ones_take_no_more_than_the_limit(self) -> None:
        """Any user who may create them in one namespace could stop the operator otherwise: together they have 250 MiB of JSON.

        24 MiB stay as JSON and 16 parsed.
        """
        assert taken(lambda: deployments(1000, LARGE_SPEC)) < 42

    def test_one_whose_content_was_dropped_is_read_again(self) -> None:
        """Its summary stays, and every decision about its runs is based on the whole of it."""
        cluster = MemoryCluster()
        context = MemoryController(cluster).context
        for number in range(150):
            document = resource(f"d-{number}", LARGE_SPEC).document
            cluster.put(FLOW_DEPLOYMENTS.path("n", f"d-{number}"), {"kind": "FlowDeployment", **document})
            context.deployments.put(Snapshot(cluster.objects[FLOW_DEPLOYMENTS.path("n", f"d-{number}")]))
        assert context.deployments.deployment(("n", "d-0")) is None
        found = asyncio.run(read_deployment(context, ("n", "d-0")))
        assert found
        assert (found[0].spec.entrypoint, found[1]) == ("a:b", None)
        assert context.deployments.deployment(("n", "d-0")) is found[0]

    def test_one_that_is_gone_when_it_is_read_again_is_forgotten(self) -> None:
        context = MemoryController(MemoryCluster()).context
        for number in range(150):
            context.deployments.put(resource(f"d-{number}", LARGE_SPEC))
        assert asyncio.run(read_deployment(context, ("n", "d-0"))) is None
        assert context.deployments.get(("n", "d-0")) is None

    def test_one_that_is_not_valid_is_parsed_the_same_way_again(self) -> None:
        cache = DeploymentCache()
        cache.put(resource("bad", {"entrypoint": "a:b", "history": {"limit": "many"}}))
        entry = cache.get(("n", "bad"))
        for number in range(3):
            cache.put(resource(f"big-{number}", WORST))
        assert entry
        assert entry.problem
        assert entry.problem.reason == "InvalidResource"
        deployment = cache.deployment(("n", "bad"))
        assert deployment
        assert (deployment.metadata.name, deployment.spec.entrypoint) == ("bad", None)

    def test_what_is_removed_takes_nothing(self) -> None:
        def put_and_remove() -> DeploymentCache:
            cache = deployments(3, WORST)
            for key in cache.names():
                cache.remove(key)
            return cache

        assert taken(put_and_remove) < 0.5


class TestRuns:
    @pytest.mark.parametrize("state", ["RUNNING", "COMPLETED"])
    def test_no_number_of_large_ones_fills_the_memory(self, state: str) -> None:
        """200 have 50 MiB of JSON. Those that were not used lately are read when they are needed."""

        def runs() -> RunCache:
            cache = RunCache()
            for number in range(200):
                found = resource(f"r-{number}", LARGE_TEMPLATE)
                found.document["status"] = {"state": {"type": state}, "endTime": "2026-03-04T05:00:00Z"}
                assert cache.put(found)
                assert cache.raw(("n", f"r-{number}")), "the latest one is always there"
            assert cache.raw(("n", "r-0")) is None
            return cache

        assert taken(runs) < 36

    def test_one_that_was_not_used_lately_can_be_restored(self) -> None:
        cache = RunCache()
        for number in range(200):
            cache.put(resource(f"r-{number}", LARGE_TEMPLATE))
        assert not cache.put(resource("r-0", LARGE_TEMPLATE)), "it is already known"
        assert cache.raw(("n", "r-0"))

    def test_small_unfinished_ones_stay(self) -> None:
        cache = RunCache()
        for number in range(2000):
            cache.put(resource(f"r-{number}", {"template": {"podTemplate": {"x": "y" * 1000}}}))
        assert all(cache.raw(key) for key in cache.names())

    def test_no_number_of_medium_ones_fills_the_memory(self) -> None:
        """3,000 have 90 MiB of JSON; each alone is not large."""

        def runs() -> RunCache:
            cache = RunCache()
            for number in range(3000):
                cache.put(resource(f"r-{number}", MEDIUM_TEMPLATE))
            assert cache.raw(("n", "r-0")) is None
            assert cache.raw(("n", "r-2999"))
            return cache

        assert taken(runs) < 56

    def test_one_that_grows_or_ends_is_cached_once(self) -> None:
        cache = RunCache()
        small, large = {"template": {}}, {"template": {"podTemplate": {"x": "y" * LARGE_BYTES}}}
        for version, spec in enumerate((small, large, small, large), 1):
            cache.put(resource("r", spec, version))
        assert cache.raw(("n", "r"))
        cache.remove(("n", "r"))
        assert cache.raw(("n", "r")) is None


@pytest.mark.parametrize(
    "value",
    [
        LISTS,
        [{}] * 20_000,
        [{"a": 1}] * 10_000,
        [str(number) for number in range(10_000)],
        {str(number): number for number in range(10_000)},
        [0.5 + number for number in range(10_000)],
        [{"name": f"field-{number}", "type": "string", "description": "what it is for"} for number in range(1000)],
    ],
    ids=["lists", "objects", "small objects", "texts", "names", "numbers", "an ordinary schema"],
)
def test_the_estimate_is_an_upper_bound(value: Any) -> None:
    """And not a wild one."""
    raw = orjson.dumps(value)
    actual = taken(lambda: orjson.loads(raw)) * MIB
    assert actual < parsed_bytes(raw) < 4 * actual


class TestReservations:
    def key_with(self, controller: MemoryController, kind: str, run: Any, deployment: Any) -> Key:
        """A key of that kind; its run is not cached in full any more."""
        context = controller.context
        context.deployments.put(resource("d", deployment))
        context.runs.put(resource("r", {"deployment": "d", **run}))
        for number in range(150):
            context.runs.put(resource(f"other-{number}", LARGE_TEMPLATE))
        return Key("run", "n", "r") if kind == "run" else Key("deployment", "n", "d")

    @pytest.mark.parametrize("kind", ["run", "deployment"])
    def test_a_key_with_small_resources_reserves_nothing(self, kind: str) -> None:
        controller = MemoryController(MemoryCluster())
        assert controller.reconciler._reservation(self.key_with(controller, kind, {}, {"entrypoint": "a:b"})) == 0

    @pytest.mark.parametrize("kind", ["run", "deployment"])
    def test_what_its_deployment_may_take_is_reserved(self, kind: str) -> None:
        controller = MemoryController(MemoryCluster())
        assert controller.reconciler._reservation(self.key_with(controller, kind, {}, WORST)) > 6 * MIB

    def test_what_a_run_itself_may_take_is_reserved(self) -> None:
        controller = MemoryController(MemoryCluster())
        key = self.key_with(controller, "run", {"template": {"podTemplate": {"x": LISTS}}}, {"entrypoint": "a:b"})
        assert controller.context.runs.raw(key.pair) is None
        assert controller.reconciler._reservation(key) > 6 * MIB

    @pytest.mark.parametrize("kind", ["run", "deployment"])
    def test_an_unknown_key_reserves_nothing(self, kind: Any) -> None:
        assert MemoryController(MemoryCluster()).reconciler._reservation(Key(kind, "n", "gone")) == 0

    def test_a_key_waits_until_there_is_memory(self, clock: Clock) -> None:
        controller = MemoryController(MemoryCluster())
        controller.context.deployments.put(resource("d", WORST))

        async def story() -> None:
            async with controller.context.memory.reserve(10**9):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(controller.reconciler.reconcile(Key("deployment", "n", "d")), 1)
                await asyncio.wait_for(controller.reconciler.reconcile(Key("deployment", "n", "small")), 1)
            await asyncio.wait_for(controller.reconciler.reconcile(Key("deployment", "n", "d")), 1)

        clock.run(story())


class TestJsonCache:
    def test_texts_that_were_replaced_or_removed_do_not_count(self) -> None:
        cache = JsonCache(100)
        for _ in range(5):
            cache.put(("n", "a"), b"x" * 60)
        cache.put(("n", "b"), b"x" * 40)
        assert cache.get(("n", "a"))
        cache.remove(("n", "a"))
        cache.put(("n", "c"), b"x" * 60)
        assert (cache.get(("n", "a")), cache.get(("n", "b")), cache.get(("n", "c"))) == (None, b"x" * 40, b"x" * 60)

    def test_the_least_recently_used_is_dropped_first(self) -> None:
        cache = JsonCache(100, limit_count=2)
        cache.put(("n", "a"), b"a")
        cache.put(("n", "b"), b"b")
        assert cache.get(("n", "a"))
        cache.put(("n", "c"), b"c")
        assert (cache.get(("n", "a")), cache.get(("n", "b")), cache.get(("n", "c"))) == (b"a", None, b"c")


class TestBudget:
    def test_no_more_is_reserved_at_once_than_there_is(self, clock: Clock) -> None:
        """A reservation that alone exceeds it waits for all of it."""
        reserved, most = 0, 0

        async def use(budget: MemoryBudget, size: int) -> None:
            nonlocal reserved, most
            async with budget.reserve(size):
                reserved += min(size, 100)
                most = max(most, reserved)
                await asyncio.sleep(1)
                reserved -= min(size, 100)

        async def story() -> None:
            budget = MemoryBudget(100)
            await asyncio.gather(*(use(budget, size) for size in (60, 60, 30, 500, 40, 100, 1)))

        clock.run(story())
        assert (reserved, most) == (0, 100)

    def test_what_takes_nothing_never_waits(self, clock: Clock) -> None:
        async def story() -> None:
            budget = MemoryBudget(100)
            async with budget.reserve(100), asyncio.timeout(1), budget.reserve(0):
                pass

        clock.run(story())

    def test_one_that_is_cancelled_while_it_waits_takes_nothing(self, clock: Clock) -> None:
        async def story() -> None:
            budget = MemoryBudget(100)
            async with budget.reserve(100):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1), budget.reserve(1):
                        pass
            async with asyncio.timeout(1), budget.reserve(100):
                pass

        clock.run(story())
